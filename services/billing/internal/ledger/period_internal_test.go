package ledger

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestPeriod(t *testing.T) {
	at := func(text string) time.Time {
		parsed, err := time.Parse(time.RFC3339Nano, text)
		require.NoError(t, err)
		return parsed
	}
	cases := []struct{ opened, now, start, end string }{
		{"2026-11-23T09:30:00Z", "2026-11-23T09:30:00Z", "2026-11-23", "2026-12-23"},
		{"2026-11-23T09:30:00Z", "2026-12-22T23:59:59.999999999Z", "2026-11-23", "2026-12-23"},
		{"2026-11-23T09:30:00Z", "2026-12-23T00:00:00Z", "2026-12-23", "2027-01-23"},
		{"2026-11-23T09:30:00Z", "2028-02-29T00:00:00Z", "2028-02-23", "2028-03-23"},
		// Days that a month lacks are its last day, and the days after do not drift.
		{"2027-01-31T00:00:00Z", "2027-02-27T00:00:00Z", "2027-01-31", "2027-02-28"},
		{"2027-01-31T00:00:00Z", "2027-02-28T00:00:00Z", "2027-02-28", "2027-03-31"},
		{"2027-01-31T00:00:00Z", "2027-04-30T00:00:00Z", "2027-04-30", "2027-05-31"},
		{"2027-12-31T00:00:00Z", "2028-02-29T12:00:00Z", "2028-02-29", "2028-03-31"},
		{"2028-02-29T00:00:00Z", "2029-02-28T00:00:00Z", "2029-02-28", "2029-03-29"},
		// The zone of the clock does not matter, nor one that goes back.
		{"2026-11-23T23:30:00-05:00", "2026-11-24T05:00:00Z", "2026-11-24", "2026-12-24"},
		{"2026-11-23T09:30:00Z", "2026-10-01T00:00:00Z", "2026-11-23", "2026-12-23"},
	}
	for _, c := range cases {
		start, end := period(at(c.opened), at(c.now))
		require.Equal(t, c.start, start.Format(time.DateOnly), "%+v", c)
		require.Equal(t, c.end, end.Format(time.DateOnly), "%+v", c)
	}
}

// Periods follow one another without a gap, and each moment lies in its own.
func TestPeriodsTile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		opened := time.Unix(rapid.Int64Range(0, 4_000_000_000).Draw(t, "opened"), 0).UTC()
		now := opened.Add(time.Duration(rapid.Int64Range(0, 1_000_000_000).Draw(t, "seconds later")) * time.Second)
		start, end := period(opened, now)
		require.False(t, now.Before(start))
		require.True(t, now.Before(end))
		next, _ := period(opened, end)
		require.Equal(t, end, next)
		same, _ := period(opened, end.Add(-1))
		require.Equal(t, start, same)
		require.InDelta(t, 29.5, end.Sub(start).Hours()/24, 1.5)
	})
}
