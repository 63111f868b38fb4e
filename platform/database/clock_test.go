package database_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
)

// A question that takes longer than the clock is wrong says nothing about the clock. The quickest of several does.
func TestASlowAnswerDoesNotHideAWrongClock(t *testing.T) {
	const wrong = 10 * time.Minute
	for name, tc := range map[string]struct {
		took      []time.Duration // of each question, by the clock
		questions int
		want      time.Duration
	}{
		"quick":                  {[]time.Duration{0}, 1, wrong},
		"slow, then quick":       {[]time.Duration{20 * time.Minute, 0}, 2, wrong},
		"slow, slow, then quick": {[]time.Duration{20 * time.Minute, 30 * time.Minute, 0}, 3, wrong},
		"the quickest is second": {[]time.Duration{20 * time.Minute, 4 * time.Minute, 30 * time.Minute}, 3, wrong - 4*time.Minute},
		"slow":                   {[]time.Duration{20 * time.Minute, 30 * time.Minute, 40 * time.Minute}, 3, 0},
		"set back meanwhile":     {[]time.Duration{-time.Hour, 0}, 2, wrong},
	} {
		t.Run(name, func(t *testing.T) {
			databasetest.Each(t, wallet, func(t *testing.T, db *database.DB) {
				begun, calls := time.Now(), 0
				behind, err := db.Behind(t.Context(), func() time.Time {
					clock := begun.Add(-wrong)
					if calls%2 == 1 {
						clock = clock.Add(tc.took[calls/2])
					}
					calls++
					return clock
				})
				require.NoError(t, err)
				if db.Dialect() == database.SQLite {
					require.Zero(t, behind)
					require.Zero(t, calls)
					return
				}
				require.Equal(t, 2*tc.questions, calls)
				require.InDelta(t, tc.want, behind, float64(2*time.Minute))
			})
		})
	}
}
