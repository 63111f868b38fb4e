package billing_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/sandbox/fault"
	fake "github.com/trivet-dev/trivet/sandbox/stripe"
	"github.com/trivet-dev/trivet/services/billing/internal/billingtest"
)

const yearFile = `
plans:
  - {id: free, name: Free, price: "0.00", included_credit: "5.00"}
  - {id: pro, name: Pro, price: "20.00", yearly_price: "200.00", included_credit: "25.00", renewal_advance_percent: 25, grace_days: 7}
  - {id: team, name: Team, price: "100.00", included_credit: "130.00", seats: {min: 1, max: 5}}
packs:
  - {id: credit_20, name: $20 of credit, price: "20.00", credit: "21.00", expire_months: 12}
`

// reach moves the clock of all to a time. Stripe does what is due by then, and the news comes.
func (h *fixture) reach(at time.Time) {
	h.t.Helper()
	h.Set(at)
	_, err := h.stripe.Advance()
	require.NoError(h.t, err)
	h.news()
}

// news brings what has changed at Stripe, without webhooks.
func (h *fixture) news() {
	h.t.Helper()
	_, err := h.reconcile(&billingv1.ReconcileRequest{})
	require.NoError(h.t, err)
}

// due waits until what time alone has changed is done.
func (h *fixture) due(access billingv1.SubscriptionAccess) {
	h.t.Helper()
	stop := h.run()
	defer stop()
	require.Eventually(h.t, func() bool { return h.subscription().GetAccess() == access }, time.Minute, 5*time.Millisecond)
}

func (h *fixture) totals() (all []int64) {
	h.t.Helper()
	page, err := h.from("gateway").ListInvoices(h.as(admin), &billingv1.ListInvoicesRequest{PageSize: 100})
	require.NoError(h.t, err)
	for _, inv := range page.GetInvoices() {
		all = append(all, inv.GetTotalMinorUnits())
	}
	return all
}

// A year and a month of an account, from the last day of January. Each invoice and each balance is worked out by hand: cents, and nano-dollars.
func TestAYear(t *testing.T) {
	sell(t, func(t *testing.T, h *fixture) {
		at := func(month time.Month, day, hour int) time.Time {
			return time.Date(2026, month, day, hour, 0, 0, 0, time.UTC)
		}
		balance := func(want int64, what string) {
			t.Helper()
			require.Equal(t, want, h.account().GetBalanceNanoUsd(), what)
		}
		renewal := func(month time.Month, day int) {
			t.Helper()
			h.reach(at(month, day, 10))
			balance(27_250_000_000, "the pack, and a quarter of the month's $25 in advance")
			h.reach(at(month, day, 11))
			balance(46_000_000_000, "the pack and $25: the invoice is paid after an hour")
		}
		h.Set(at(1, 31, 10))
		h.apply(yearFile)
		balance(5_000_000_000, "free")
		h.call("call_1", "org_1", "user_admin")
		balance(4_999_580_000, "less 800 tokens of input and 500 of output")
		require.True(t, h.buy(purchase("", "credit_20")).GetApplied())
		require.True(t, h.buy(purchase("pro", "")).GetApplied())
		balance(50_999_580_000, "and a pack of $21, and $25 of the plan")
		require.Equal(t, []int64{2000, 2000}, h.totals())

		renewal(2, 28)
		h.Set(at(3, 10, 10))
		p, err := h.preview("team", 2, month)
		require.NoError(t, err)
		require.EqualValues(t, 12_193, p.GetAmountMinorUnits(), "21 of 31 days: 200 dollars are 13,548 cents, 20 dollars are 1,355")
		_, err = h.change(p)
		require.NoError(t, err)
		balance(205_193_548_388, "21/31 of the $235 that two seats have more than the plan before, rounded up")
		h.Set(at(3, 15, 10))
		h.schedule()
		renewal(3, 31)
		require.Equal(t, "pro", h.account().GetPlanId())

		h.Set(at(4, 5, 10))
		h.at(http.MethodPost, "/v1/refunds", url.Values{"charge": {h.listed("/v1/charges")[0]}, "amount": {"1000"}})
		h.news()
		balance(33_500_000_000, "half of the month was refunded, and with it half of its $25")
		renewal(4, 30)

		h.useCard("chargeCustomerFail")
		h.reach(at(5, 31, 10))
		balance(27_250_000_000, "in advance")
		h.reach(at(5, 31, 11))
		balance(27_250_000_000, "the card was declined")
		require.Equal(t, billingv1.SubscriptionAccess_SUBSCRIPTION_ACCESS_GRACE, h.subscription().GetAccess())
		h.reach(at(6, 7, 10))
		h.due(billingv1.SubscriptionAccess_SUBSCRIPTION_ACCESS_SUSPENDED)
		require.Equal(t, "free", h.account().GetPlanId(), "grace is over after 7 days")
		balance(27_250_000_000, "what was given stays")
		h.reach(at(6, 10, 10))
		h.useCard("visa")
		h.at(http.MethodPost, "/v1/invoices/"+h.listed("/v1/invoices?status=open")[0]+"/pay", nil)
		h.news()
		balance(46_000_000_000, "the rest of the month")
		require.Equal(t, "pro", h.account().GetPlanId())
		renewal(6, 30)

		h.Set(at(7, 10, 10))
		p, err = h.preview("pro", 0, year)
		require.NoError(t, err)
		require.EqualValues(t, 18_645, p.GetAmountMinorUnits(), "$200, less 21/31 of $20")
		_, err = h.change(p)
		require.NoError(t, err)
		balance(71_000_000_000, "a new month of credit, and what was given until the end of July")
		h.reach(at(7, 31, 10))
		balance(46_000_000_000, "the end of July")
		h.reach(at(8, 10, 10))
		balance(46_000_000_000, "the second month of the year: no advance, it is paid")

		h.reach(at(9, 1, 10))
		_, err = h.from("gateway").CancelSubscription(h.as(admin), &billingv1.CancelSubscriptionRequest{Now: true})
		require.NoError(t, err)
		balance(21_000_000_000, "the pack")
		h.reach(at(9, 30, 10))
		balance(26_000_000_000, "and free credit, from the next month of the account's own")
		h.reach(at(12, 31, 10))
		balance(26_000_000_000, "the last month of the pack")
		h.reach(at(13, 31, 10))
		balance(5_000_000_000, "the pack is a year old")
		require.Equal(t, []int64{18_645, 2000, 2000, 2000, 2000, 12_193, 2000, 2000, 2000}, h.totals())
	})
}

// A renewal that is never paid: grace, then the default plan's limits, at Stripe past_due, unpaid and canceled. Only the advance was given.
func TestDunning(t *testing.T) {
	sell(t, func(t *testing.T, h *fixture) {
		begin := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
		h.Set(begin)
		h.apply(yearFile)
		require.True(t, h.buy(purchase("pro", "")).GetApplied())
		h.useCard("chargeCustomerFail")
		end := begin.AddDate(0, 1, 0)
		const day = 24 * time.Hour
		for _, step := range []struct {
			after   time.Duration
			status  string
			access  billingv1.SubscriptionAccess
			plan    string
			balance int64
		}{
			{0, "active", billingv1.SubscriptionAccess_SUBSCRIPTION_ACCESS_ACTIVE, "pro", 6_250_000_000},
			{time.Hour, "past_due", billingv1.SubscriptionAccess_SUBSCRIPTION_ACCESS_GRACE, "pro", 6_250_000_000},
			{7*day - time.Second, "past_due", billingv1.SubscriptionAccess_SUBSCRIPTION_ACCESS_GRACE, "pro", 6_250_000_000},
			{7 * day, "past_due", billingv1.SubscriptionAccess_SUBSCRIPTION_ACCESS_SUSPENDED, "free", 6_250_000_000},
			{15*day + time.Hour, "unpaid", billingv1.SubscriptionAccess_SUBSCRIPTION_ACCESS_SUSPENDED, "free", 6_250_000_000},
			{31 * day, "unpaid", billingv1.SubscriptionAccess_SUBSCRIPTION_ACCESS_SUSPENDED, "free", 0},
		} {
			h.reach(end.Add(step.after))
			h.due(step.access)
			account := h.account()
			require.Equal(t, step.status, h.subscription().GetStatus(), step.after)
			require.Equal(t, step.plan, account.GetPlanId(), step.after)
			require.Equal(t, step.balance, account.GetBalanceNanoUsd(), step.after)
		}
		_, err := h.from("gateway").CancelSubscription(h.as(admin), &billingv1.CancelSubscriptionRequest{Now: true})
		require.NoError(t, err)
		require.Equal(t, billingv1.SubscriptionAccess_SUBSCRIPTION_ACCESS_ENDED, h.subscription().GetAccess())
		require.Equal(t, "canceled", h.subscription().GetStatus())
		require.Zero(t, h.account().GetBalanceNanoUsd())
	})
}

// A trial without a card ends as the plan says. A card at its end continues it with the month's credit.
func TestTheEndOfATrial(t *testing.T) {
	for name, c := range map[string]struct {
		without, card string
		status        string
		access        billingv1.SubscriptionAccess
		balance       int64
	}{
		"paused":          {"pause", "", "paused", billingv1.SubscriptionAccess_SUBSCRIPTION_ACCESS_SUSPENDED, 0},
		"canceled":        {"cancel", "", "canceled", billingv1.SubscriptionAccess_SUBSCRIPTION_ACCESS_ENDED, 0},
		"paid":            {"pause", "visa", "active", billingv1.SubscriptionAccess_SUBSCRIPTION_ACCESS_ACTIVE, 12_000_000_000},
		"a declined card": {"pause", "chargeCustomerFail", "past_due", billingv1.SubscriptionAccess_SUBSCRIPTION_ACCESS_GRACE, 3_000_000_000},
	} {
		t.Run(name, func(t *testing.T) {
			sell(t, func(t *testing.T, h *fixture) {
				begin := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
				h.Set(begin)
				h.apply(`
plans:
  - {id: free, name: Free, price: "0.00", included_credit: "0.00"}
  - {id: pro, name: Pro, price: "10.00", included_credit: "12.00", renewal_advance_percent: 25, trial: {days: 14, credit: "3.00", card_required: false, without_card: ` + c.without + `}}
`)
				session := h.checkout(purchase("pro", ""))
				_, err := h.stripe.PayAs(session.GetId(), fake.Payer{Email: "ann@example.test", Card: c.card})
				require.NoError(t, err)
				h.news()
				require.EqualValues(t, 3_000_000_000, h.account().GetBalanceNanoUsd())
				require.Equal(t, billingv1.SubscriptionAccess_SUBSCRIPTION_ACCESS_TRIAL, h.subscription().GetAccess())
				h.reach(begin.AddDate(0, 0, 14).Add(time.Hour))
				require.Equal(t, c.balance, h.account().GetBalanceNanoUsd())
				require.Equal(t, c.status, h.subscription().GetStatus())
				require.Equal(t, c.access, h.subscription().GetAccess())
				if c.status != "paused" {
					return
				}
				client := h.from("gateway")
				_, err = client.ResumeSubscription(h.as(admin), &billingv1.ResumeSubscriptionRequest{})
				require.Contains(t, requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, err).Message, "Add a card")
				_, err = h.preview("pro", 0, month)
				require.Contains(t, requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, err).Message, "Resume the subscription")
				h.Add(20 * 24 * time.Hour)
				h.useCard("visa")
				h.news()
				billingtest.Fail(t, h.stripe, fault.Fault{Kind: fault.Status, Status: 500, Method: "POST", Path: "/v1/subscriptions/*", Count: 1})
				_, err = client.ResumeSubscription(h.as(admin), &billingv1.ResumeSubscriptionRequest{})
				_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, err)
				billingtest.Fail(t, h.stripe, fault.Fault{Kind: fault.CommitTimeout, Method: "POST", Path: "/v1/subscriptions/*", Count: 1})
				_, _ = client.ResumeSubscription(h.as(admin), &billingv1.ResumeSubscriptionRequest{}) // its answer is lost
				got, err := client.ResumeSubscription(h.as(admin), &billingv1.ResumeSubscriptionRequest{})
				require.NoError(t, err)
				require.Equal(t, billingv1.SubscriptionAccess_SUBSCRIPTION_ACCESS_ACTIVE, got.GetSubscription().GetAccess())
				resumed := begin.AddDate(0, 0, 34).Add(time.Hour)
				require.Equal(t, resumed, got.GetSubscription().GetPeriodStartTime().AsTime(), "the time of the pause is not charged")
				require.Equal(t, resumed.AddDate(0, 1, 0), got.GetSubscription().GetPeriodEndTime().AsTime())
				require.Equal(t, "pro", h.account().GetPlanId())
				h.reach(h.Now().Add(time.Hour))
				require.EqualValues(t, 12_000_000_000, h.account().GetBalanceNanoUsd())
				require.Equal(t, []int64{1000, 0}, h.invoiced())
			})
		})
	}
}
