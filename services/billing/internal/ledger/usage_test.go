package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

// reportStore has so many rows on each day and counts what it is asked for.
type reportStore struct {
	ledger.Store
	perDay  func(day time.Time) int
	largest int
	fail    error
}

func (s *reportStore) Usage(_ context.Context, q ledger.UsageQuery) (rows []ledger.UsageRow, err error) {
	for day := q.From; day.Before(q.To); day = day.AddDate(0, 0, 1) {
		for i := range s.perDay(day) {
			if len(rows) == q.Limit {
				return rows, s.fail
			}
			rows = append(rows, ledger.UsageRow{Day: day.Format(time.DateOnly), UserID: fmt.Sprintf("user_%06d", i)})
		}
	}
	s.largest = max(s.largest, len(rows))
	return rows, s.fail
}

func TestUsageRowsReadFewAtATime(t *testing.T) {
	from := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	errStop := errors.New("the caller stops")
	for name, c := range map[string]struct {
		perDay  int
		busiest int
		want    int
	}{
		"few":             {perDay: 3, busiest: 3, want: 90},
		"none":            {},
		"some days apart": {perDay: 400, busiest: 400, want: 12_000},
		"a day alone":     {perDay: 4_000, busiest: 4_000, want: 120_000},
		"one busy day":    {perDay: 1, busiest: 100_000, want: 100_029},
		"too busy a day":  {perDay: 1, busiest: 100_001, want: 14},
	} {
		t.Run(name, func(t *testing.T) {
			store := &reportStore{perDay: func(day time.Time) int {
				if day.Day() == 15 {
					return c.busiest
				}
				return c.perDay
			}}
			book := ledger.New(ledger.Options{Store: store, Now: time.Now})
			var last ledger.UsageRow
			n := 0
			err := book.UsageRows(t.Context(), ledger.UsageQuery{From: from.Add(time.Hour), To: from.AddDate(0, 0, 29).Add(time.Microsecond)}, func(row ledger.UsageRow) (bool, error) {
				require.Positive(t, row.Compare(last))
				last = row
				n++
				return true, nil
			})
			if c.busiest > 100_000 {
				tooLarge, ok := errors.AsType[*ledger.ReportTooLargeError](err)
				require.True(t, ok)
				require.Equal(t, "2026-11-15", tooLarge.Day)
			} else {
				require.NoError(t, err)
				require.LessOrEqual(t, store.largest, max(5_000, c.busiest))
			}
			require.Equal(t, c.want, n)
		})
	}
	store := &reportStore{perDay: func(time.Time) int { return 4_000 }}
	book := ledger.New(ledger.Options{Store: store, Now: time.Now})
	n := 0
	count := func(stop int, err error) func(ledger.UsageRow) (bool, error) {
		return func(ledger.UsageRow) (bool, error) { n++; return n < stop, err }
	}
	q := ledger.UsageQuery{From: from, To: from.AddDate(0, 0, 30)}
	require.NoError(t, book.UsageRows(t.Context(), q, count(5_500, nil)))
	require.Equal(t, 5_500, n, "it ends when the caller has enough")
	require.ErrorIs(t, book.UsageRows(t.Context(), q, count(1, errStop)), errStop)
	store.fail = ledger.ErrUnavailable
	require.ErrorIs(t, book.UsageRows(t.Context(), q, count(1, nil)), ledger.ErrUnavailable)
}
