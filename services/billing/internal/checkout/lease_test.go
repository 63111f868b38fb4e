package checkout_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/job"
	"github.com/trivet-dev/trivet/services/billing/internal/billingtest"
	"github.com/trivet-dev/trivet/services/billing/internal/checkout"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
)

// slow is a Stripe whose every call takes a while. It has a subscription with a scheduled change.
type slow struct {
	checkout.Changer
	checkout.Store
	t     *testing.T
	db    *database.DB
	clock *billingtest.Clock
	takes time.Duration
	calls []string
}

// call lets the time pass, and has another process try to act for the account.
func (s *slow) call(ctx context.Context, name string) error {
	s.calls = append(s.calls, name)
	s.clock.Add(s.takes)
	return job.Run(ctx, s.db, checkout.JobName("org_1"), job.Options{Lease: time.Minute, Process: "another", Now: s.clock.Now},
		func(context.Context, *job.Holder) error { return nil })
}

func (s *slow) Subscription(context.Context, string) (subscriptions.State, error) {
	return subscriptions.State{SubscriptionID: "sub_1", Access: subscriptions.Active}, nil
}

func (s *slow) Sync(ctx context.Context, kind mirror.Kind, id string) (mirror.Object, error) {
	_ = s.call(ctx, "read "+string(kind))
	now := s.clock.Now().Unix()
	body := fmt.Sprintf(`{"id":%q,"status":"active","schedule":"sub_sched_1","current_period_start":%d,"current_period_end":%d,
		"items":{"data":[{"id":"si_1","quantity":1,"price":{"id":"price_1"}}]}}`, id, now-60, now+86_400)
	return mirror.Object{Kind: kind, ID: id, Body: []byte(body)}, nil
}

func (s *slow) Look(context.Context, mirror.Kind, string) (mirror.Object, error) {
	return mirror.Object{}, nil
}

func (s *slow) ReleaseSchedule(ctx context.Context, _ string) error {
	require.ErrorIs(s.t, s.call(ctx, "release"), job.ErrBusy)
	return nil
}

func (s *slow) CancelAtPeriodEnd(ctx context.Context, _ string, _ bool) error {
	require.ErrorIs(s.t, s.call(ctx, "cancel"), job.ErrBusy)
	return nil
}

// proCatalog sells one plan.
func proCatalog(t *testing.T) *plans.Catalog {
	t.Helper()
	catalog, err := plans.Load("", "free", nil)
	require.NoError(t, err)
	pro := plans.Plan{ID: "pro", Version: 1, Price: 20 * plans.Cent}
	catalog.Set([]plans.Offer{{Plan: &pro, Current: true, Prices: map[plans.Interval]string{plans.Month: "price_1"}}})
	return catalog
}

// However slow Stripe is, one process at a time acts for an account: each call renews the lease, and whoever has lost it calls nothing.
func TestASlowStripeLetsOneProcessAct(t *testing.T) {
	catalog := proCatalog(t)
	for name, c := range map[string]struct {
		takes time.Duration
		want  error
		calls []string
	}{
		"30 s for each call":  {30 * time.Second, nil, []string{"read subscription", "release", "cancel", "read subscription", "read subscription_schedule"}},
		"longer than a lease": {time.Minute, job.ErrLost, []string{"read subscription"}},
	} {
		t.Run(name, func(t *testing.T) {
			databasetest.Each(t, job.Migrations(), func(t *testing.T, db *database.DB) {
				s := &slow{t: t, db: db, clock: billingtest.NewClock(time.Date(2026, 11, 29, 9, 0, 0, 0, time.UTC)), takes: c.takes}
				service := checkout.New(checkout.Options{Database: db, Store: s, Changer: s, Mirror: s, Catalog: catalog, Now: s.clock.Now})
				require.ErrorIs(t, service.Cancel(t.Context(), "org_1", false), c.want)
				require.Equal(t, c.calls, s.calls)
			})
		})
	}
}

// A change of the subscription leaves the key that a checkout has stored: its outcome may be unknown.
func TestAChangeLeavesTheKeyOfACheckout(t *testing.T) {
	databasetest.Each(t, job.Migrations(), func(t *testing.T, db *database.DB) {
		s := &slow{t: t, db: db, clock: billingtest.NewClock(time.Date(2026, 11, 29, 9, 0, 0, 0, time.UTC))}
		service := checkout.New(checkout.Options{Database: db, Store: s, Changer: s, Mirror: s, Catalog: proCatalog(t), Now: s.clock.Now})
		stored := checkout.Attempt{Request: "a plan", Key: "trivet/org_1/checkout/1", Time: s.clock.Now()}
		turn := func(fn func(ctx context.Context, h *job.Holder) error) {
			require.NoError(t, job.Run(t.Context(), db, checkout.JobName("org_1"), job.Options{Now: s.clock.Now, Aside: true}, fn))
		}
		turn(func(ctx context.Context, h *job.Holder) error { return h.Save(ctx, stored) }) // as an earlier version does
		require.NoError(t, service.Cancel(t.Context(), "org_1", false))
		turn(func(ctx context.Context, h *job.Holder) error {
			require.Equal(t, stored, checkout.SavedCheckout(h))
			migration := checkout.Attempt{Request: "migrate", Key: "trivet/org_1/migrate/1", Time: s.clock.Now()}
			require.NoError(t, checkout.SaveMigration(ctx, h, migration))
			require.Equal(t, stored, checkout.SavedCheckout(h))
			require.NoError(t, checkout.SaveCheckout(ctx, h, checkout.Attempt{}))
			return nil
		})
		turn(func(ctx context.Context, h *job.Holder) error {
			require.Empty(t, checkout.SavedCheckout(h))
			require.Equal(t, "trivet/org_1/migrate/1", checkout.SavedMigration(h).Key)
			require.NoError(t, checkout.SaveMigration(ctx, h, checkout.Attempt{}))
			require.Empty(t, checkout.SavedMigration(h))
			return nil
		})
	})
}
