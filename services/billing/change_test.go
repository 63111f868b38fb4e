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
	"github.com/trivet-dev/trivet/services/billing/internal/billingtest"
)

const changeFile = `
plans:
  - {id: free, name: Free, price: "0.00", included_credit: "5.00"}
  - {id: pro, name: Pro, price: "20.00", yearly_price: "200.00", included_credit: "25.00"}
  - {id: team, name: Team, price: "100.00", included_credit: "130.00", seats: {min: 1, max: 5}}
`

func (h *fixture) preview(plan string, seats int32, interval billingv1.BillingInterval) (*billingv1.SubscriptionPreview, error) {
	h.t.Helper()
	got, err := h.from("gateway").PreviewSubscriptionChange(h.as(admin), &billingv1.PreviewSubscriptionChangeRequest{PlanId: plan, Seats: seats, Interval: interval})
	return got.GetSubscriptionPreview(), err
}

func (h *fixture) change(p *billingv1.SubscriptionPreview) (*billingv1.ChangeSubscriptionResponse, error) {
	h.t.Helper()
	return h.from("gateway").ChangeSubscription(h.as(admin), &billingv1.ChangeSubscriptionRequest{PreviewId: p.GetId()})
}

// subscribed runs a test with a subscription of the plan pro, on both databases.
func subscribed(t *testing.T, test func(t *testing.T, h *fixture)) {
	t.Helper()
	sell(t, func(t *testing.T, h *fixture) {
		h.apply(changeFile)
		require.True(t, h.buy(purchase("pro", "")).GetApplied())
		test(t, h)
	})
}

const month, year = billingv1.BillingInterval_BILLING_INTERVAL_MONTH, billingv1.BillingInterval_BILLING_INTERVAL_YEAR

// What a preview shows is charged and granted, once, whatever is repeated. paddle-node-sdk#106 and useautumn/autumn#3160 charged something else.
func TestAChangeChargesWhatItsPreviewShows(t *testing.T) {
	subscribed(t, func(t *testing.T, h *fixture) {
		before := h.account().GetBalanceNanoUsd()
		p, err := h.preview("team", 2, month)
		require.NoError(t, err)
		require.InDelta(t, 18_000, p.GetAmountMinorUnits(), 1)
		require.EqualValues(t, 20_000, p.GetNextAmountMinorUnits())
		require.Equal(t, p.GetEffectiveTime().AsTime().Add(15*time.Minute), p.GetExpireTime().AsTime())
		h.Add(14 * time.Minute) // what the rest of the period costs has fallen
		for range 2 {
			done, err := h.change(p)
			require.NoError(t, err)
			require.Equal(t, "team", done.GetSubscription().GetPlanId())
			require.EqualValues(t, 2, done.GetSubscription().GetSeats())
			require.Empty(t, done.GetPaymentUrl())
		}
		invoices, err := h.from("gateway").ListInvoices(h.as(admin), &billingv1.ListInvoicesRequest{})
		require.NoError(t, err)
		require.Len(t, invoices.GetInvoices(), 2)
		require.Equal(t, p.GetAmountMinorUnits(), invoices.GetInvoices()[0].GetTotalMinorUnits())
		account := h.account()
		require.Equal(t, "team", account.GetPlanId())
		require.Equal(t, before+p.GetCreditNanoUsd(), account.GetBalanceNanoUsd())
		_, err = h.preview("team", 2, month)
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, err)
	})
}

// A year begins at once, with a new period and the credit that its preview promised, also in the very second in which the month began. That credit is given
// once, and so is that of the next month.
func TestAChangeToAYear(t *testing.T) {
	for name, after := range map[string]time.Duration{"in the same second": 0, "a second later": time.Second, "days later": 10 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			subscribed(t, func(t *testing.T, h *fixture) {
				h.Add(after)
				before := h.account().GetBalanceNanoUsd()
				p, err := h.preview("pro", 0, year)
				require.NoError(t, err)
				require.InDelta(t, 18_000, p.GetAmountMinorUnits(), 700)
				require.EqualValues(t, 25_000_000_000, p.GetCreditNanoUsd())
				done, err := h.change(p)
				require.NoError(t, err)
				require.Equal(t, year, done.GetSubscription().GetInterval())
				for range 2 {
					require.Equal(t, before+25_000_000_000, h.account().GetBalanceNanoUsd())
					h.news()
				}
				h.reach(h.account().GetPeriodEndTime().AsTime())
				require.EqualValues(t, 25_000_000_000, h.account().GetBalanceNanoUsd(), "the next month")
			})
		})
	}
}

// A preview that is too old, was replaced, belongs to another account or is of a subscription that has changed since changes nothing.
func TestExpiredPreviews(t *testing.T) {
	subscribed(t, func(t *testing.T, h *fixture) {
		refused := func(p *billingv1.SubscriptionPreview) {
			_, err := h.change(p)
			e := requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, err)
			require.Equal(t, "previewId", e.Fields[0].Name)
			require.Len(t, h.listed("/v1/invoices"), 1)
		}
		first, err := h.preview("team", 1, month)
		require.NoError(t, err)
		second, err := h.preview("team", 2, month)
		require.NoError(t, err)
		refused(first)
		_, err = h.from("gateway").ChangeSubscription(h.as(elsewhere), &billingv1.ChangeSubscriptionRequest{PreviewId: second.GetId()})
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, err)
		begin := h.Now()
		h.Set(second.GetExpireTime().AsTime())
		refused(second)
		h.Set(begin)
		_, err = h.from("gateway").CancelSubscription(h.as(admin), &billingv1.CancelSubscriptionRequest{})
		require.NoError(t, err)
		refused(second)
	})
}

// A lost answer, and a failure that Stripe repeats, charge once.
func TestAChangeAfterFailures(t *testing.T) {
	for name, f := range map[string]fault.Fault{
		"a lost answer": {Kind: fault.CommitTimeout, Method: "POST", Path: "/v1/subscriptions/*", Count: 3},
		"an error":      {Kind: fault.Status, Status: 500, Method: "POST", Path: "/v1/subscriptions/*", Count: 1},
		"a limit":       {Kind: fault.RateLimit, Method: "POST", Path: "/v1/subscriptions/*", Count: 1},
	} {
		t.Run(name, func(t *testing.T) {
			subscribed(t, func(t *testing.T, h *fixture) {
				billingtest.Fail(t, h.stripe, f)
				for try := 0; h.account().GetPlanId() != "team"; try++ {
					require.Less(t, try, 5)
					p, err := h.preview("team", 1, month)
					require.NoError(t, err)
					if _, err := h.change(p); err != nil {
						_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, err)
						_, _ = h.change(p) // the caller retries
					}
				}
				require.Len(t, h.listed("/v1/invoices"), 2)
			})
		})
	}
}

// A subscription that is canceled stays until its period ends, and can be resumed.
func TestCancelAndResume(t *testing.T) {
	subscribed(t, func(t *testing.T, h *fixture) {
		client := h.from("gateway")
		for range 2 {
			got, err := client.CancelSubscription(h.as(admin), &billingv1.CancelSubscriptionRequest{})
			require.NoError(t, err)
			require.Equal(t, got.GetSubscription().GetPeriodEndTime().AsTime(), got.GetSubscription().GetCancelTime().AsTime())
			require.Equal(t, "pro", h.account().GetPlanId())
		}
		_, err := h.preview("team", 1, month)
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, err)
		for range 2 {
			got, err := client.ResumeSubscription(h.as(admin), &billingv1.ResumeSubscriptionRequest{})
			require.NoError(t, err)
			require.Nil(t, got.GetSubscription().GetCancelTime())
		}
		got, err := client.CancelSubscription(h.as(admin), &billingv1.CancelSubscriptionRequest{Now: true})
		require.NoError(t, err)
		require.Equal(t, billingv1.SubscriptionAccess_SUBSCRIPTION_ACCESS_ENDED, got.GetSubscription().GetAccess())
		require.Equal(t, "free", h.account().GetPlanId())
		_, err = client.ResumeSubscription(h.as(admin), &billingv1.ResumeSubscriptionRequest{})
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, err)
		_, err = client.CancelSubscription(h.as(member), &billingv1.CancelSubscriptionRequest{})
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, err)
	})
}

// What cannot be changed is refused with its field.
func TestRefusedChanges(t *testing.T) {
	sell(t, func(t *testing.T, h *fixture) {
		h.apply(changeFile)
		_, err := h.preview("team", 1, month)
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, err)
		require.True(t, h.buy(purchase("pro", "")).GetApplied())
		for name, c := range map[string]struct {
			plan     string
			seats    int32
			interval billingv1.BillingInterval
			reason   errorsv1.ErrorReason
			field    string
		}{
			"an unknown plan": {"gold", 0, month, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, "planId"},
			"a free plan":     {"free", 0, month, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "planId"},
			"too many seats":  {"team", 6, month, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "seats"},
			"not by the year": {"team", 1, year, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "interval"},
		} {
			_, err := h.preview(c.plan, c.seats, c.interval)
			require.Equal(t, c.field, requireReason(t, c.reason, err).Fields[0].Name, name)
		}
	})
}

// What costs less begins with the next period, and can be taken back: unkeyed/unkey#7010 took it away at once; polarsource/polar#5478 and
// polarsource/polar#6880 asked for it.
func TestADowngradeWaitsForThePeriod(t *testing.T) {
	sell(t, func(t *testing.T, h *fixture) {
		h.apply(changeFile)
		client := h.from("gateway")
		require.True(t, h.buy(purchase("team", "")).GetApplied())
		before := h.account().GetBalanceNanoUsd()
		id := h.listed("/v1/subscriptions")[0]
		down := func() {
			p, err := h.preview("pro", 0, month)
			require.NoError(t, err)
			require.Zero(t, p.GetAmountMinorUnits())
			require.Zero(t, p.GetCreditNanoUsd())
			require.EqualValues(t, 2_000, p.GetNextAmountMinorUnits())
			for range 2 {
				done, err := h.change(p)
				require.NoError(t, err)
				require.Equal(t, "team", done.GetSubscription().GetPlanId())
				require.Equal(t, p.GetEffectiveTime().AsTime(), done.GetSubscription().GetPeriodEndTime().AsTime())
				next := done.GetSubscription().GetScheduledChange()
				require.Equal(t, "pro", next.GetPlanId())
				require.EqualValues(t, 1, next.GetPlanVersion())
				require.EqualValues(t, 1, next.GetSeats())
				require.Equal(t, month, next.GetInterval())
				require.Equal(t, p.GetEffectiveTime().AsTime(), next.GetEffectiveTime().AsTime())
			}
		}
		down()
		_, err := client.ResumeSubscription(h.as(admin), &billingv1.ResumeSubscriptionRequest{})
		require.NoError(t, err)
		down()
		_, err = client.CancelSubscription(h.as(admin), &billingv1.CancelSubscriptionRequest{})
		require.NoError(t, err, "it takes the change back")
		resumed, err := client.ResumeSubscription(h.as(admin), &billingv1.ResumeSubscriptionRequest{})
		require.NoError(t, err)
		require.Nil(t, resumed.GetSubscription().GetScheduledChange())
		down()
		require.Equal(t, before, h.account().GetBalanceNanoUsd())
		renewed, err := h.stripe.Renew(id)
		require.NoError(t, err)
		h.Set(time.Unix(renewed.CurrentPeriodStart, 0).Add(time.Second))
		_, err = client.ResumeSubscription(h.as(admin), &billingv1.ResumeSubscriptionRequest{})
		require.NoError(t, err)
		require.Equal(t, "pro", h.account().GetPlanId())
	})
}

// A page of invoices may end with a draft that is deleted before the next page is read.
func TestAPageThatEndedWithADeletedInvoice(t *testing.T) {
	subscribed(t, func(t *testing.T, h *fixture) {
		h.Add(time.Minute)
		draft := h.at(http.MethodPost, "/v1/invoices", url.Values{"customer": {h.listed("/v1/customers")[0]}, "auto_advance": {"false"}})
		read := func(token string) (*billingv1.ListInvoicesResponse, error) {
			return h.from("gateway").ListInvoices(h.as(admin), &billingv1.ListInvoicesRequest{PageSize: 1, PageToken: token})
		}
		first, err := read("")
		require.NoError(t, err)
		require.Equal(t, draft, first.GetInvoices()[0].GetId())
		second, err := read(first.GetNextPageToken())
		require.NoError(t, err)
		require.Len(t, second.GetInvoices(), 1)
		h.at(http.MethodDelete, "/v1/invoices/"+draft, nil)
		_, err = read(first.GetNextPageToken())
		require.Equal(t, "pageToken", requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, err).Fields[0].Name)
	})
}
