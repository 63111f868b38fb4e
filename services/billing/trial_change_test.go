package billing_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/sandbox/fault"
	"github.com/trivet-dev/trivet/services/billing/internal/billingtest"
)

const trialFile = `
plans:
  - {id: free, name: Free, price: "0.00", included_credit: "5.00"}
  - {id: starter, name: Starter, price: "10.00", yearly_price: "100.00", included_credit: "12.00", trial: {days: 14, credit: "3.00"}}
  - {id: plus, name: Plus, price: "30.00", included_credit: "40.00", trial: {days: 7, credit: "9.00"}}
  - {id: pro, name: Pro, price: "20.00", yearly_price: "200.00", included_credit: "25.00"}
`

// onTrial runs a test with a trial of the plan starter, on both databases.
func onTrial(t *testing.T, test func(t *testing.T, h *fixture)) {
	t.Helper()
	sell(t, func(t *testing.T, h *fixture) {
		h.apply(trialFile)
		require.True(t, h.buy(purchase("starter", "")).GetApplied())
		require.Equal(t, trialAccess, h.subscription().GetAccess())
		require.EqualValues(t, 8_000_000_000, h.account().GetBalanceNanoUsd())
		test(t, h)
	})
}

const (
	trialAccess  = billingv1.SubscriptionAccess_SUBSCRIPTION_ACCESS_TRIAL
	activeAccess = billingv1.SubscriptionAccess_SUBSCRIPTION_ACCESS_ACTIVE
)

// A plan without a trial cannot be used for nothing: changing to it ends the trial and charges the first period, which the preview shows with its credit.
func TestAChangeFromATrialToAPlanWithoutOne(t *testing.T) {
	for name, c := range map[string]struct {
		after    time.Duration
		interval billingv1.BillingInterval
		cents    int64
	}{
		"in the same second": {0, month, 2_000},
		"a month":            {3 * 24 * time.Hour, month, 2_000},
		"a year":             {3 * 24 * time.Hour, year, 20_000},
	} {
		t.Run(name, func(t *testing.T) {
			onTrial(t, func(t *testing.T, h *fixture) {
				h.news() // the invoice of the trial is known
				h.Add(c.after)
				p, err := h.preview("pro", 0, c.interval)
				require.NoError(t, err)
				require.Equal(t, c.cents, p.GetAmountMinorUnits())
				require.Equal(t, c.cents, p.GetNextAmountMinorUnits())
				require.EqualValues(t, 25_000_000_000, p.GetCreditNanoUsd())
				for range 2 {
					done, err := h.change(p)
					require.NoError(t, err)
					require.Equal(t, activeAccess, done.GetSubscription().GetAccess())
					require.Equal(t, "pro", done.GetSubscription().GetPlanId())
				}
				require.Equal(t, []int64{c.cents, 0}, h.invoiced())
				h.news()
				require.EqualValues(t, 30_000_000_000, h.account().GetBalanceNanoUsd(), "free credit, and that of the month: that of the trial ended with it")
			})
		})
	}
}

// A plan with a trial of its own continues the one that has begun: nothing is charged and no credit is given until its end, also when a year begins then.
func TestAChangeWithinATrial(t *testing.T) {
	for name, c := range map[string]struct {
		plan     string
		interval billingv1.BillingInterval
		cents    int64
		credit   int64
	}{
		"a dearer plan": {"plus", month, 3_000, 40_000_000_000},
		"a year":        {"starter", year, 10_000, 12_000_000_000},
	} {
		t.Run(name, func(t *testing.T) {
			onTrial(t, func(t *testing.T, h *fixture) {
				end := h.subscription().GetTrialEndTime().AsTime()
				h.Add(24 * time.Hour)
				p, err := h.preview(c.plan, 0, c.interval)
				require.NoError(t, err)
				require.Zero(t, p.GetAmountMinorUnits())
				require.Zero(t, p.GetCreditNanoUsd())
				require.Equal(t, c.cents, p.GetNextAmountMinorUnits())
				done, err := h.change(p)
				require.NoError(t, err)
				require.Equal(t, trialAccess, done.GetSubscription().GetAccess())
				require.Equal(t, c.plan, done.GetSubscription().GetPlanId())
				require.Equal(t, c.interval, done.GetSubscription().GetInterval())
				require.Equal(t, end, done.GetSubscription().GetTrialEndTime().AsTime())
				require.Equal(t, []int64{0}, h.invoiced())
				require.EqualValues(t, 8_000_000_000, h.account().GetBalanceNanoUsd())
				h.reach(end)
				h.reach(end.Add(2 * time.Hour))
				require.Equal(t, []int64{c.cents, 0}, h.invoiced())
				require.Equal(t, activeAccess, h.subscription().GetAccess())
				require.Equal(t, 5_000_000_000+c.credit, h.account().GetBalanceNanoUsd(), "free credit, and that of the month")
			})
		})
	}
}

// Until its first period is paid, a change to a plan without a trial gives nothing of it.
func TestAChangeFromATrialThatIsNotPaid(t *testing.T) {
	onTrial(t, func(t *testing.T, h *fixture) {
		h.useCard("chargeCustomerFail")
		p, err := h.preview("pro", 0, month)
		require.NoError(t, err)
		done, err := h.change(p)
		require.NoError(t, err)
		require.NotEmpty(t, done.GetPaymentUrl())
		require.Equal(t, "starter", done.GetSubscription().GetPlanId())
		require.Equal(t, trialAccess, done.GetSubscription().GetAccess())
		require.EqualValues(t, 8_000_000_000, h.account().GetBalanceNanoUsd())
		h.useCard("visa")
		h.at(http.MethodPost, "/v1/invoices/"+h.listed("/v1/invoices?status=open")[0]+"/pay", nil)
		h.news()
		require.Equal(t, "pro", h.account().GetPlanId())
		require.EqualValues(t, 30_000_000_000, h.account().GetBalanceNanoUsd(), "free credit, and that of the month: that of the trial ended with it")
	})
}

// A trial may have begun without a card. Stripe refuses to charge the change then.
func TestAChangeFromATrialWithoutACard(t *testing.T) {
	onTrial(t, func(t *testing.T, h *fixture) {
		billingtest.Fail(t, h.stripe, fault.Fault{
			Kind: fault.Status, Status: http.StatusBadRequest, Method: "POST", Path: "/v1/subscriptions/*", Count: 1,
			Body: `{"error":{"type":"invalid_request_error","code":"resource_missing","message":"This customer has no attached payment source or default payment method."}}`,
		})
		p, err := h.preview("pro", 0, month)
		require.NoError(t, err)
		_, err = h.change(p)
		require.Contains(t, requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, err).Message, "Add a card in the portal first.")
		require.Equal(t, trialAccess, h.subscription().GetAccess())
	})
}

// A scheduled change leaves a trial as it is, although its price is off sale. The first period has the new price.
func TestAMigrationAtTheEndOfATrial(t *testing.T) {
	onTrial(t, func(t *testing.T, h *fixture) {
		end := h.subscription().GetTrialEndTime().AsTime()
		h.apply(strings.ReplaceAll(trialFile, `price: "10.00"`, `price: "11.00"`))
		moved, err := h.from("gateway").MigratePlan(h.as(operator), &billingv1.MigratePlanRequest{From: "starter@1", To: "starter@2", AtRenewal: true})
		require.NoError(t, err)
		require.Len(t, moved.GetMigrations(), 1)
		require.Equal(t, billingv1.PlanMigrationResult_PLAN_MIGRATION_RESULT_SCHEDULED, moved.GetMigrations()[0].GetResult(), moved.GetMigrations()[0].GetReason())
		require.Equal(t, trialAccess, h.subscription().GetAccess())
		require.Equal(t, end, h.subscription().GetTrialEndTime().AsTime())
		require.EqualValues(t, 2, h.subscription().GetScheduledChange().GetPlanVersion())
		h.reach(end)
		h.reach(end.Add(2 * time.Hour))
		require.Equal(t, []int64{1_100, 0}, h.invoiced())
		require.EqualValues(t, 2, h.subscription().GetPlanVersion())
	})
}
