package erasure_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/services/auth/internal/erasure"
)

// store remembers which erasures started and were confirmed.
type store struct {
	erasure.Store
	confirmed []string
	again     []bool
	down      error
	full      error // of ConfirmErasure
}

func (s *store) Erasure(context.Context, string) (erasure.Erasure, error) {
	return erasure.Erasure{UserID: "user_1", ConfirmedBy: slices.Clone(s.confirmed)}, s.down
}

func (s *store) ConfirmErasure(_ context.Context, _, service string, _ time.Time) error {
	if s.full != nil {
		return s.full
	}
	s.confirmed = append(s.confirmed, service)
	return nil
}

func (s *store) BeginErasure(_ context.Context, _ string, again bool, _ erasure.Put) error {
	s.again = append(s.again, again)
	return nil
}

func newEraser(s *store, steps ...erasure.Step) *erasure.Eraser {
	put := func(context.Context, database.Tx, string, time.Time) error { return nil }
	return erasure.New(s, put, steps, time.Now, slog.New(slog.DiscardHandler))
}

// TestOnlyARequestBeginsAnew: Clerk's lists miss an erased person each night, and must not begin the erasure each night.
func TestOnlyARequestBeginsAnew(t *testing.T) {
	s := &store{}
	e := newEraser(s)
	require.NoError(t, e.Removed(t.Context(), "user_1"))
	_, err := e.Request(t.Context(), "user_1")
	require.NoError(t, err)
	require.Equal(t, []bool{false, true}, s.again)
}

// TestAServiceThatIsDown keeps no other from erasing, wherever it stands in the order.
func TestAServiceThatIsDown(t *testing.T) {
	for down := range 3 {
		s, done := &store{}, map[string]int{}
		failing := errors.New("connection refused")
		steps := make([]erasure.Step, 3)
		for n, name := range []string{"auth", "ai", "billing"} {
			steps[n] = erasure.Step{Service: name, Erase: func(context.Context, string) error {
				if n == down && failing != nil {
					return failing
				}
				done[name]++
				return nil
			}}
		}
		e := newEraser(s, steps...)
		err := e.Carry(t.Context(), "user_1")
		require.ErrorIs(t, err, failing)
		require.ErrorContains(t, err, steps[down].Service)
		require.Len(t, s.confirmed, 2)
		require.NotContains(t, s.confirmed, steps[down].Service)

		failing = nil
		require.NoError(t, e.Carry(t.Context(), "user_1"))
		require.Len(t, s.confirmed, 3)
		require.Equal(t, map[string]int{"auth": 1, "ai": 1, "billing": 1}, done, "a service that has confirmed is not asked again")

		failing = errors.New("connection refused")
		require.ErrorIs(t, e.Repeat(t.Context(), "user_1"), failing)
		require.Len(t, s.confirmed, 3, "the record stays")
		for n, step := range steps {
			require.Equal(t, map[bool]int{true: 1, false: 2}[n == down], done[step.Service], "all are asked once more")
		}
	}
}

// TestAServiceThatHangs has 30 s, and the services after it get their turn.
func TestAServiceThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		e := newEraser(s,
			erasure.Step{Service: "ai", Erase: func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() }},
			erasure.Step{Service: "billing", Erase: func(context.Context, string) error { return nil }})
		for _, erase := range []func(context.Context, string) error{e.Carry, e.Repeat} {
			begin := time.Now()
			require.ErrorIs(t, erase(t.Context(), "user_1"), context.DeadlineExceeded)
			require.Equal(t, 30*time.Second, time.Since(begin))
		}
		require.Equal(t, []string{"billing"}, s.confirmed)
	})
}

// TestAConfirmationThatIsNotStored leaves the erasure open.
func TestAConfirmationThatIsNotStored(t *testing.T) {
	s := &store{full: errors.New("disk full")}
	e := newEraser(s, erasure.Step{Service: "auth", Erase: func(context.Context, string) error { return nil }})
	require.ErrorIs(t, e.Carry(t.Context(), "user_1"), s.full)
}

func TestAnUnknownErasureIsNotCarried(t *testing.T) {
	e := newEraser(&store{down: erasure.ErrNotFound}, erasure.Step{Service: "auth", Erase: func(context.Context, string) error {
		t.Error("must not be asked")
		return nil
	}})
	require.ErrorIs(t, e.Carry(t.Context(), "user_1"), erasure.ErrNotFound)
}
