package reconcile_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/reconcile"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
)

// happens adds an event, the newest.
func (a *fakeStripe) happens(object, id string) {
	e := fmt.Sprintf(`{"id":"evt_%d","type":"x.updated","data":{"object":{"id":%q,"object":%q}}}`, len(a.events), id, object)
	a.events = slices.Insert(a.events, 0, e)
}

func (a *fakeStripe) change(id string) {
	a.bodies[id] = fmt.Sprintf(`{"id":%q,"object":"customer","created":1800000000,"balance":%d}`, id, len(a.events))
	a.happens("customer", id)
}

func since(t *testing.T, r *reconcile.Reconciler, at time.Time) (reconcile.Counts, error) {
	t.Helper()
	var last reconcile.Counts
	err := r.Run(t.Context(), at, func(p reconcile.Progress) error {
		if p.Kind == mirror.Customer {
			last = p.Counts
		}
		return nil
	})
	return last, err
}

// TestSince: what happened to old objects is repaired too, and nothing but that is fetched.
func TestSince(t *testing.T) {
	each(t, func(t *testing.T, a *fakeStripe, r *reconcile.Reconciler, rows *store.Store) {
		for i := range 9 {
			a.add(fmt.Sprintf("cus_%d", i))
		}
		_, err := run(t, r)
		require.NoError(t, err)
		for range 3 { // more than a page of events, of the same objects
			a.change("cus_1")
			a.change("cus_2")
		}
		a.happens("customer", "cus_3") // nothing is different
		a.happens("thing", "thing_1")
		a.happens("customer", "../x")
		a.bodies["cus_4"], a.order = "", slices.DeleteFunc(a.order, func(id string) bool { return id == "cus_4" })
		a.happens("customer", "cus_4")
		a.bodies["cus_new"] = `{"id":"cus_new","object":"customer","created":1700000000}`
		a.happens("customer", "cus_new")
		a.bodies["cus_5"] = `{"id":"cus_5","object":"customer","created":1800000000,"balance":9}` // without an event
		a.asked = nil
		at := time.Unix(1_800_000_001, 0).UTC()
		a.listed = nil
		counts, err := since(t, r, at)
		require.NoError(t, err)
		require.Equal(t, reconcile.Counts{Same: 1, Repaired: 2, Created: 1, Removed: 1}, counts)
		require.ElementsMatch(t, []string{"cus_1", "cus_2", "cus_3", "cus_4", "cus_new"}, a.asked)
		o, err := rows.Object(t.Context(), mirror.Customer, "cus_4")
		require.NoError(t, err)
		require.True(t, o.Deleted)
		require.Contains(t, a.listed, at, "what was made since is listed as well")

		counts, err = since(t, r, time.Unix(1_800_000_000, 0)) // and what was made at that time is counted once
		require.NoError(t, err)
		require.EqualValues(t, 10, counts.Same+counts.Repaired+counts.Created+counts.Removed, "%+v", counts)
	})
}

func TestSinceResumesWhereItStopped(t *testing.T) {
	each(t, func(t *testing.T, a *fakeStripe, r *reconcile.Reconciler, _ *store.Store) {
		for i := range 9 {
			a.bodies[fmt.Sprintf("cus_%d", i)] = fmt.Sprintf(`{"id":"cus_%d","object":"customer","created":1700000000}`, i)
			a.happens("customer", fmt.Sprintf("cus_%d", i))
		}
		at := time.Unix(1_800_000_000, 0)
		a.fail = func(call int) error {
			if call > 7 {
				return errors.New("down")
			}
			return nil
		}
		before, err := since(t, r, at)
		require.ErrorIs(t, err, reconcile.ErrAway)
		require.Positive(t, before.Created)
		a.fail = nil
		a.asked = nil
		after, err := since(t, r, at)
		require.NoError(t, err)
		require.EqualValues(t, 9, after.Created)
		require.Less(t, len(a.asked), 9)

		a.happens("customer", "cus_0")
		a.calls = 0
		a.fail = func(call int) error { // the event that it was to continue after expires
			if call > 3 {
				return errors.New("down")
			}
			return nil
		}
		_, err = since(t, r, at)
		require.ErrorIs(t, err, reconcile.ErrAway)
		a.fail, a.events = nil, a.events[:1]
		_, err = since(t, r, at)
		require.NoError(t, err)
	})
}

func TestStripeForgetsAfterAMonth(t *testing.T) {
	each(t, func(t *testing.T, a *fakeStripe, _ *reconcile.Reconciler, _ *store.Store) {
		var log bytes.Buffer
		r := a.with(func(o *reconcile.Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		_, err := since(t, r, time.Now().Add(-29*24*time.Hour))
		require.NoError(t, err)
		require.Empty(t, log.String())
		_, err = since(t, r, time.Now().Add(-31*24*time.Hour))
		require.NoError(t, err)
		require.Contains(t, log.String(), "Stripe keeps events for 30 days")
		a.events = []string{`{"id":7}`}
		_, err = since(t, r, time.Now().Add(-time.Hour))
		require.NoError(t, err)
		require.Contains(t, log.String(), "cannot be read")
	})
}

func TestStripeAsksToWait(t *testing.T) {
	each(t, func(t *testing.T, a *fakeStripe, _ *reconcile.Reconciler, _ *store.Store) {
		a.add("cus_1")
		var slept []time.Duration
		r := a.with(func(o *reconcile.Options) {
			o.Sleep = func(_ context.Context, d time.Duration) error { slept = append(slept, d); return nil }
		})
		a.fail = func(call int) error {
			switch call {
			case 1:
				return &mirror.LaterError{Err: errors.New("429"), After: 90 * time.Second}
			case 2:
				return errors.New("429 without Retry-After")
			case 3:
				return &mirror.LaterError{Err: errors.New("429"), After: time.Millisecond}
			}
			return nil
		}
		_, err := run(t, r)
		require.NoError(t, err)
		require.Equal(t, []time.Duration{90 * time.Second, 2 * time.Second, 4 * time.Second}, slept)

		slept, a.calls = nil, 0
		a.fail = func(int) error {
			return fmt.Errorf("wrapped: %w", &mirror.LaterError{Err: errors.New("503"), After: time.Hour})
		}
		_, err = run(t, r)
		require.ErrorIs(t, err, reconcile.ErrAway, "the lease is not held for an hour")
		require.Empty(t, slept)
		require.Equal(t, 1, a.calls)
	})
}

// TestResumingCostsLittle: what an earlier process compared is listed again, and not fetched one by one.
func TestResumingCostsLittle(t *testing.T) {
	each(t, func(t *testing.T, a *fakeStripe, r *reconcile.Reconciler, rows *store.Store) {
		for i := range 40 {
			a.add(fmt.Sprintf("cus_%02d", i))
		}
		_, err := run(t, r)
		require.NoError(t, err)
		a.bodies["cus_03"], a.order = "", slices.DeleteFunc(a.order, func(id string) bool { return id == "cus_03" })
		a.calls = 0
		a.fail = func(call int) error {
			if call > 10 {
				return errors.New("down")
			}
			return nil
		}
		_, err = run(t, r)
		require.ErrorIs(t, err, reconcile.ErrAway)
		a.fail, a.asked = nil, nil
		counts, err := run(t, r)
		require.NoError(t, err)
		require.Equal(t, reconcile.Counts{Same: 39, Removed: 1}, counts)
		require.Equal(t, []string{"cus_00", "cus_03"}, a.asked) // the first shows that it is the account
		o, err := rows.Object(t.Context(), mirror.Customer, "cus_03")
		require.NoError(t, err)
		require.True(t, o.Deleted)
	})
}
