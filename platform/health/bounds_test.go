package health_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/health"
)

// A failure counts for the twelve slots of five seconds that make the last minute, and no longer, even when nobody calls.
func TestTheLastMinuteEnds(t *testing.T) {
	now := time.Unix(1_800_000_000, 0) // the beginning of a slot
	p := health.NewProvider(func() time.Time { return now })
	note(p, 0, 3)
	note(p, 4, 0)
	now = now.Add(time.Minute - 1)
	require.Equal(t, health.Degraded, p.Condition().GetStatus())
	now = now.Add(1)
	require.Equal(t, health.Operational, p.Condition().GetStatus())
}

// A service whose vital check fails is down, whatever else fails, and in whichever order.
func TestTheVitalCheckDecides(t *testing.T) {
	for name, pauses := range map[string][2]time.Duration{"vital first": {0, time.Millisecond}, "vital last": {time.Millisecond, 0}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				failing := func(after time.Duration) func(context.Context) error {
					return func(context.Context) error { time.Sleep(after); return errors.New("down") }
				}
				s := health.NewService(time.Now, "store", func() map[string]func(context.Context) error {
					return map[string]func(context.Context) error{"store": failing(pauses[0]), "keys": failing(pauses[1])}
				})
				got, err := s.Condition(t.Context())
				require.NoError(t, err)
				require.Equal(t, health.Down, got.GetStatus())
			})
		})
	}
}
