package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/reconcile"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
)

// account is a Stripe with customers only.
type account struct {
	bodies map[string]string
	order  []string
	events []string
	fail   func(call int) error
	calls  int
	asked  []string
	listed []time.Time
}

func (a *account) add(id string) {
	a.bodies[id] = fmt.Sprintf(`{"id":%q,"object":"customer","created":1800000000}`, id)
	a.order = append(a.order, id)
}

func (a *account) call() error {
	a.calls++
	if a.fail == nil {
		return nil
	}
	return a.fail(a.calls)
}

// Events gives two events a page, newest first.
func (a *account) Events(_ context.Context, _ time.Time, after string) (page mirror.Page, err error) {
	if err := a.call(); err != nil {
		return page, err
	}
	from := 0
	if after != "" {
		from = slices.IndexFunc(a.events, func(e string) bool { return strings.Contains(e, `"`+after+`"`) }) + 1
		if from == 0 {
			return page, mirror.ErrGone
		}
	}
	for _, e := range a.events[from:min(from+2, len(a.events))] {
		page.Bodies = append(page.Bodies, []byte(e))
	}
	page.More = from+2 < len(a.events)
	return page, nil
}

// List gives two objects a page.
func (a *account) List(_ context.Context, q mirror.Query) (page mirror.Page, err error) {
	if err := a.call(); err != nil || q.Kind != mirror.Customer {
		return page, err
	}
	a.listed = append(a.listed, q.Since)
	begun := q.After == ""
	for _, id := range a.order {
		if begun && len(page.Bodies) == 2 {
			page.More = true
			break
		}
		if begun {
			page.Bodies = append(page.Bodies, []byte(a.bodies[id]))
		}
		begun = begun || id == q.After
	}
	return page, nil
}

func (a *account) Get(_ context.Context, _ mirror.Kind, id string) ([]byte, error) {
	a.asked = append(a.asked, id)
	if err := a.call(); err != nil {
		return nil, err
	}
	if a.bodies[id] == "" {
		return nil, mirror.ErrGone
	}
	return []byte(a.bodies[id]), nil
}

func each(t *testing.T, test func(t *testing.T, a *account, r *reconcile.Reconciler, rows *store.Store)) {
	databasetest.Each(t, store.Migrations(), func(t *testing.T, db *database.DB) {
		a, rows := &account{bodies: map[string]string{}}, store.New(db)
		m := mirror.New(mirror.Options{Store: rows, Source: a, Now: time.Now})
		test(t, a, reconcile.New(reconcile.Options{
			Store: rows, Source: a, Mirror: m, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
			Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
		}), rows)
	})
}

func run(t *testing.T, r *reconcile.Reconciler) (reconcile.Counts, error) {
	t.Helper()
	var last reconcile.Counts
	err := r.Run(t.Context(), time.Time{}, func(p reconcile.Progress) error {
		if p.Kind == mirror.Customer {
			last = p.Counts
		}
		return nil
	})
	return last, err
}

func TestARunThatWasCutShortGoesOn(t *testing.T) {
	each(t, func(t *testing.T, a *account, r *reconcile.Reconciler, _ *store.Store) {
		for i := range 9 {
			a.add(fmt.Sprintf("cus_%d", i))
		}
		a.fail = func(call int) error {
			if call > 3 {
				return errors.New("down")
			}
			return nil
		}
		before, err := run(t, r)
		require.ErrorIs(t, err, reconcile.ErrAway)
		require.Positive(t, before.Created)
		require.Less(t, before.Created, int64(9))
		a.fail = nil
		after, err := run(t, r)
		require.NoError(t, err)
		require.GreaterOrEqual(t, after.Created, before.Created)
		require.EqualValues(t, 9, after.Created)
		anew, err := run(t, r)
		require.NoError(t, err)
		require.Equal(t, reconcile.Counts{Same: 9}, anew)
	})
}

func TestStripeStumbles(t *testing.T) {
	each(t, func(t *testing.T, a *account, r *reconcile.Reconciler, _ *store.Store) {
		a.add("cus_1")
		a.fail = func(call int) error {
			if call%3 != 0 {
				return errors.New("429")
			}
			return nil
		}
		counts, err := run(t, r)
		require.NoError(t, err)
		require.Equal(t, reconcile.Counts{Created: 1}, counts)
	})
}

func TestAnotherAccountsKeyChangesNothing(t *testing.T) {
	each(t, func(t *testing.T, a *account, r *reconcile.Reconciler, rows *store.Store) {
		for i := range 50 {
			a.add(fmt.Sprintf("cus_%02d", i))
		}
		_, err := run(t, r)
		require.NoError(t, err)
		a.bodies, a.order = map[string]string{}, nil
		a.add("cus_theirs")
		_, err = run(t, r)
		require.ErrorIs(t, err, reconcile.ErrStranger)
		living, err := rows.Objects(t.Context(), mirror.Customer, "", 100)
		require.NoError(t, err)
		require.Len(t, living, 50)
		require.Equal(t, "cus_00", living[0].ID)

		a.add("cus_49")
		found, err := run(t, r)
		require.NoError(t, err)
		require.Equal(t, reconcile.Counts{Same: 1, Created: 1, Removed: 49}, found, "it is the account, and has lost a lot")
	})
}

func TestAFewMayAllBeGone(t *testing.T) {
	each(t, func(t *testing.T, a *account, r *reconcile.Reconciler, _ *store.Store) {
		for i := range 9 {
			a.add(fmt.Sprintf("cus_%d", i))
		}
		_, err := run(t, r)
		require.NoError(t, err)
		a.bodies, a.order = map[string]string{}, nil
		found, err := run(t, r)
		require.NoError(t, err)
		require.Equal(t, reconcile.Counts{Removed: 9}, found)
	})
}

// TestALookAtWhatChangedLatelyIsNoFullRun: it does not put the scheduled one off, and leaves the progress of one that was cut
// short alone.
func TestALookAtWhatChangedLatelyIsNoFullRun(t *testing.T) {
	each(t, func(t *testing.T, a *account, r *reconcile.Reconciler, _ *store.Store) {
		for i := range 9 {
			a.add(fmt.Sprintf("cus_%d", i))
		}
		cut := errors.New("cut")
		pages := 0
		require.ErrorIs(t, r.Run(t.Context(), time.Time{}, func(reconcile.Progress) error {
			if pages++; pages == 3 {
				return cut
			}
			return nil
		}), cut)
		since := time.Now().Add(-time.Hour)
		require.NoError(t, r.Run(t.Context(), since, func(reconcile.Progress) error { return nil }))
		calls := a.calls
		r.Due(t.Context(), time.Hour)
		require.Greater(t, a.calls, calls, "the full run is still due")
		found, err := run(t, r)
		require.NoError(t, err)
		require.Equal(t, reconcile.Counts{Same: 9}, found)
	})
}

// TestADeadProcessHoldsNobodyUp where there can be no other.
func TestADeadProcessHoldsNobodyUp(t *testing.T) {
	each(t, func(t *testing.T, a *account, r *reconcile.Reconciler, rows *store.Store) {
		a.add("cus_1")
		_, held, err := rows.AcquireReconcile(t.Context(), "dead", time.Now(), time.Hour, time.Time{})
		require.NoError(t, err)
		require.True(t, held)
		_, err = run(t, r)
		require.ErrorIs(t, err, reconcile.ErrBusy)
		alone := reconcile.New(r.Options)
		alone.Alone = true
		_, err = run(t, alone)
		require.NoError(t, err)
		_, held, err = rows.AcquireReconcile(t.Context(), "another", time.Now(), time.Hour, time.Time{})
		require.NoError(t, err)
		require.True(t, held)
		_, err = run(t, alone)
		require.ErrorIs(t, err, reconcile.ErrBusy, "only what was held before it began is taken")
	})
}

func TestOneAtATime(t *testing.T) {
	each(t, func(t *testing.T, a *account, r *reconcile.Reconciler, _ *store.Store) {
		a.add("cus_1")
		err := r.Run(t.Context(), time.Time{}, func(reconcile.Progress) error {
			_, err := run(t, r)
			return err
		})
		require.ErrorIs(t, err, reconcile.ErrBusy)
		_, err = run(t, r)
		require.NoError(t, err, "the lease was given back")
		calls := a.calls
		r.Due(t.Context(), time.Hour)
		require.Equal(t, calls, a.calls, "done a moment ago")
	})
}

// TestARefusedKeyIsSaidAtOnce: to ask again is of no use.
func TestARefusedKeyIsSaidAtOnce(t *testing.T) {
	each(t, func(t *testing.T, a *account, r *reconcile.Reconciler, _ *store.Store) {
		a.fail = func(int) error { return fmt.Errorf("%w: 401", mirror.ErrRefused) }
		_, err := run(t, r)
		require.ErrorIs(t, err, mirror.ErrRefused)
		require.NotErrorIs(t, err, reconcile.ErrAway)
		require.Equal(t, 1, a.calls)
	})
}

// TestAResumedRunReportsAll: also the kinds that an earlier process was through with.
func TestAResumedRunReportsAll(t *testing.T) {
	each(t, func(t *testing.T, a *account, r *reconcile.Reconciler, _ *store.Store) {
		a.add("cus_1")
		cut := errors.New("cut")
		require.ErrorIs(t, r.Run(t.Context(), time.Time{}, func(p reconcile.Progress) error {
			if p.Kind == mirror.Invoice {
				return cut
			}
			return nil
		}), cut)
		done := map[mirror.Kind]reconcile.Counts{}
		require.NoError(t, r.Run(t.Context(), time.Time{}, func(p reconcile.Progress) error {
			if p.Done {
				done[p.Kind] = p.Counts
			}
			return nil
		}))
		require.Len(t, done, len(mirror.Kinds()))
		require.Equal(t, reconcile.Counts{Created: 1}, done[mirror.Customer])
	})
}
