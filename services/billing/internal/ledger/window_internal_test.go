package ledger

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWindowAt(t *testing.T) {
	account := Account{PeriodStart: time.Date(2026, 11, 3, 12, 30, 0, 0, time.UTC), PeriodEnd: time.Date(2026, 12, 3, 12, 30, 0, 0, time.UTC)}
	for _, c := range []struct {
		period          time.Duration
		now, start, end string
	}{
		{PeriodHour, "2026-11-23T09:30:00Z", "2026-11-23T09:00:00Z", "2026-11-23T10:00:00Z"},
		{PeriodHour, "2026-11-23T10:00:00Z", "2026-11-23T10:00:00Z", "2026-11-23T11:00:00Z"},
		{PeriodDay, "2026-11-23T23:59:59.999999Z", "2026-11-23T00:00:00Z", "2026-11-24T00:00:00Z"},
		{PeriodWeek, "2026-11-23T00:00:00Z", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"},        // a Monday
		{PeriodWeek, "2026-11-22T23:59:59.999999Z", "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z"}, // a Sunday
		{PeriodWeek, "2027-01-01T01:00:00Z", "2026-12-28T00:00:00Z", "2027-01-04T00:00:00Z"},
		{PeriodMonth, "2026-11-30T23:59:59.999999Z", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"},
		{PeriodMonth, "2026-12-31T23:00:00Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"},
		{PeriodMonth, "2028-02-29T12:00:00Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"},
		{PeriodMonth, "2027-01-31T12:00:00Z", "2027-01-01T00:00:00Z", "2027-02-01T00:00:00Z"},
		{PeriodBilling, "2026-11-23T09:30:00Z", "2026-11-03T12:30:00Z", "2026-12-03T12:30:00Z"},
		{90 * time.Minute, "1970-01-01T04:00:00Z", "1970-01-01T03:00:00Z", "1970-01-01T04:30:00Z"},
	} {
		now, err := time.Parse(time.RFC3339Nano, c.now)
		require.NoError(t, err)
		w := windowAt(c.period, account, now)
		require.Equal(t, c.period, w.Period)
		require.Equal(t, c.start+" "+c.end, w.Start.Format(time.RFC3339)+" "+w.End.Format(time.RFC3339), "%s at %s", c.period, c.now)
		if c.period != PeriodBilling { // windows follow each other without a gap
			require.Equal(t, w.End, windowAt(c.period, account, w.End).Start)
			require.Equal(t, w, windowAt(c.period, account, w.End.Add(-time.Microsecond)))
		}
	}
}
