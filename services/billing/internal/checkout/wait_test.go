package checkout_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/checkout"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
)

// late is an account that has what it bought some time after its session is complete.
type late struct {
	checkout.Store
	begin time.Time
	// mode, status and payment are the session's.
	mode, status, payment string
	// applied is when the account has it, and fails when Stripe stops answering; 0 for never.
	applied, fails time.Duration
	// reads counts the fetches of the session.
	reads int
}

var errStripe = errors.New("stripe does not answer")

func (l *late) since(d time.Duration) bool { return d != 0 && time.Since(l.begin) >= d }

func (l *late) Look(_ context.Context, kind mirror.Kind, id string) (mirror.Object, error) {
	return l.object(kind, id), nil
}

func (l *late) Sync(_ context.Context, kind mirror.Kind, id string) (mirror.Object, error) {
	if kind == mirror.CheckoutSession {
		l.reads++
	}
	if l.since(l.fails) {
		return mirror.Object{}, errStripe
	}
	return l.object(kind, id), nil
}

func (l *late) object(kind mirror.Kind, id string) mirror.Object {
	body := fmt.Sprintf(`{"id":%q,"mode":%q,"status":%q,"payment_status":%q,"subscription":"sub_1","expires_at":1795600000}`, id, l.mode, l.status, l.payment)
	return mirror.Object{Kind: kind, ID: id, Customer: "cus_1", Body: []byte(body)}
}

func (l *late) AccountOfCustomer(context.Context, string) (string, error) { return "org_1", nil }

func (l *late) GrantGiven(_ context.Context, account, source string) (bool, error) {
	return account == "org_1" && source == subscriptions.PackSource("cs_1") && l.since(l.applied), nil
}

// Subscription is that of an earlier purchase until the new one is applied.
func (l *late) Subscription(context.Context, string) (subscriptions.State, error) {
	switch {
	case l.since(l.applied):
		return subscriptions.State{SubscriptionID: "sub_1", Access: subscriptions.Active}, nil
	case time.Since(l.begin) < time.Second:
		return subscriptions.State{}, ledger.ErrNotFound
	default:
		return subscriptions.State{SubscriptionID: "sub_0", Access: subscriptions.Active}, nil
	}
}

// The page after a purchase waits up to ten seconds until the account has what was paid for. It answers as soon as that is so, and at once
// when there is nothing to wait for.
func TestThePageAfterAPurchaseWaits(t *testing.T) {
	const now = time.Nanosecond
	for name, c := range map[string]struct {
		late
		leaves time.Duration
		want   time.Duration
		have   bool
		err    error
		reads  int
	}{
		"a subscription that is there":        {late: late{mode: "subscription", status: "complete", payment: "paid", applied: now}, have: true, reads: 1},
		"a pack that is there":                {late: late{mode: "payment", status: "complete", payment: "paid", applied: now}, have: true, reads: 1},
		"a trial without a payment":           {late: late{mode: "subscription", status: "complete", payment: "no_payment_required", applied: now}, have: true, reads: 1},
		"an open page":                        {late: late{mode: "subscription", status: "open", payment: "unpaid"}, reads: 1},
		"an expired page":                     {late: late{mode: "payment", status: "expired", payment: "unpaid"}, reads: 1},
		"a bank transfer under way":           {late: late{mode: "payment", status: "complete", payment: "unpaid"}, reads: 1},
		"a subscription after three seconds":  {late: late{mode: "subscription", status: "complete", payment: "paid", applied: 3 * time.Second}, want: 3 * time.Second, have: true, reads: 7},
		"a pack after 9.9 seconds":            {late: late{mode: "payment", status: "complete", payment: "paid", applied: 9900 * time.Millisecond}, want: 10 * time.Second, have: true, reads: 21},
		"a pack after eleven seconds":         {late: late{mode: "payment", status: "complete", payment: "paid", applied: 11 * time.Second}, want: 10 * time.Second, reads: 21},
		"a subscription that never comes":     {late: late{mode: "subscription", status: "complete", payment: "paid"}, want: 10 * time.Second, reads: 21},
		"Stripe fails at once":                {late: late{mode: "payment", status: "complete", payment: "paid", fails: now}, err: errStripe, reads: 1},
		"Stripe fails after two seconds":      {late: late{mode: "payment", status: "complete", payment: "paid", fails: 2 * time.Second}, want: 2 * time.Second, err: errStripe, reads: 5},
		"the caller leaves after 3.9 seconds": {late: late{mode: "payment", status: "complete", payment: "paid"}, leaves: 3900 * time.Millisecond, want: 3900 * time.Millisecond, err: context.DeadlineExceeded, reads: 8},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &c.late
				l.begin = time.Now().Add(-now)
				ctx := t.Context()
				if c.leaves != 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, c.leaves)
					defer cancel()
				}
				begin := time.Now()
				session, have, err := checkout.New(checkout.Options{Store: l, Mirror: l}).Get(ctx, "org_1", "cs_1")
				require.ErrorIs(t, err, c.err)
				require.Equal(t, c.want, time.Since(begin))
				require.Equal(t, c.have, have)
				require.Equal(t, c.reads, l.reads)
				if c.err == nil {
					require.Equal(t, checkout.Session{ID: "cs_1", Status: c.status, ExpireTime: time.Unix(1795600000, 0).UTC()}, session)
				}
			})
		})
	}
}

// Stripe charges at most $999,999.99 at once: more seats are refused before Stripe is asked, in each interval by its own price.
func TestMoreSeatsThanStripeCharges(t *testing.T) {
	catalog := proCatalog(t)
	fleet := plans.Plan{ID: "fleet", Version: 1, Price: 20_000_00 * plans.Cent, YearlyPrice: 200_000_00 * plans.Cent, Seats: &plans.Seats{Min: 1, Max: 100}}
	catalog.Set([]plans.Offer{{Plan: &fleet, Current: true, Prices: map[plans.Interval]string{plans.Month: "price_m", plans.Year: "price_y"}}})
	for _, c := range []struct {
		interval plans.Interval
		seats    int64
		most     int64
	}{
		{plans.Month, 50, 49},
		{plans.Month, 101, 49},
		{plans.Year, 5, 4},
	} {
		_, err := checkout.New(checkout.Options{Catalog: catalog}).Create(t.Context(), checkout.Request{AccountID: "org_1", PlanID: "fleet", Interval: c.interval, Seats: c.seats})
		refused := new(checkout.SeatsError)
		require.ErrorAs(t, err, &refused)
		require.Equal(t, checkout.SeatsError{Min: 1, Max: c.most}, *refused)
	}
}
