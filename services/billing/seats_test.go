package billing_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/sandbox/fault"
	"github.com/trivet-dev/trivet/services/billing/internal/billingtest"
)

const seatsFile = `
plans:
  - {id: free, name: Free, price: "0.00", included_credit: "0"}
  - {id: crew, name: Crew, price: "10.00", included_credit: "12.00", seats: {min: 2, max: 6, per_member: true}}
  - {id: big, name: Big, price: "30.00", included_credit: "36.00", seats: {min: 2, max: 6, per_member: true}}
  - {id: small, name: Small, price: "4.00", included_credit: "1.00", seats: {min: 1, max: 4, per_member: true}}
`

// members reports, as auth does, and has the seats follow when the reports were gathered.
func (h *fixture) members(sequence, n int32) {
	h.t.Helper()
	h.reported(sequence, n)
	h.followed()
}

func (h *fixture) reported(sequence, n int32) {
	h.t.Helper()
	_, err := h.from("auth").SetMemberCount(h.t.Context(), &billingv1.SetMemberCountRequest{OrganizationId: "org_1", Members: n, Sequence: sequence})
	require.NoError(h.t, err)
}

func (h *fixture) followed() {
	h.t.Helper()
	h.Add(11 * time.Second)
	require.NoError(h.t, h.service.FollowSeats(h.t.Context()))
}

// crew runs a test with a subscription of three seats, for three members.
func crew(t *testing.T, test func(t *testing.T, h *fixture)) {
	t.Helper()
	sell(t, func(t *testing.T, h *fixture) {
		h.apply(seatsFile)
		h.reported(1, 3)
		require.True(t, h.buy(purchase("crew", "")).GetApplied())
		require.EqualValues(t, 3, h.subscription().GetSeats(), "a checkout buys a seat for each member")
		h.followed()
		require.Len(t, h.listed("/v1/invoices"), 1)
		test(t, h)
	})
}

// More members get seats at once, fewer with the next period.
func TestSeatsFollowTheMembers(t *testing.T) {
	crew(t, func(t *testing.T, h *fixture) {
		var changes atomic.Int64
		count := func(r *http.Request) {
			if r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/v1/subscription") {
				changes.Add(1)
			}
		}
		h.before.Store(&count)
		for n := range int32(100) { // a storm of webhooks
			h.reported(2+n, 3+n%3)
		}
		h.members(200, 5)
		require.EqualValues(t, 1, changes.Load())
		require.EqualValues(t, 5, h.subscription().GetSeats())
		require.Len(t, h.listed("/v1/invoices"), 2)
		require.InDelta(t, 60e9, h.account().GetBalanceNanoUsd(), 1e8, "the credit of two more seats, but for the moment that has passed")

		h.members(199, 2)
		require.Nil(t, h.subscription().GetScheduledChange(), "an older report changes nothing")
		h.members(201, 4)
		require.EqualValues(t, 5, h.subscription().GetSeats())
		require.EqualValues(t, 4, h.subscription().GetScheduledChange().GetSeats())
		h.members(202, 5)
		require.Nil(t, h.subscription().GetScheduledChange(), "the members are back")
		h.members(203, 1)
		require.EqualValues(t, 2, h.subscription().GetScheduledChange().GetSeats(), "not below the plan's minimum")
		h.members(204, 9)
		require.EqualValues(t, 6, h.subscription().GetSeats(), "not above the plan's maximum")
		for range 3 {
			h.Add(2 * time.Minute)
			h.followed()
		}
		require.Nil(t, h.subscription().GetScheduledChange())
		before := changes.Load()
		h.Add(2 * time.Hour)
		h.followed()
		require.Equal(t, before, changes.Load(), "what has followed is left alone")
	})
}

// A change of plan that is scheduled stays, with the seats that the members need.
func TestSeatsOfAScheduledChange(t *testing.T) {
	crew(t, func(t *testing.T, h *fixture) {
		p, err := h.preview("small", 0, month)
		require.NoError(t, err)
		require.EqualValues(t, 3, p.GetSeats())
		_, err = h.change(p)
		require.NoError(t, err)
		h.members(2, 4)
		h.Add(2 * time.Minute)
		h.followed()
		require.EqualValues(t, 4, h.subscription().GetSeats())
		require.Equal(t, "small", h.subscription().GetScheduledChange().GetPlanId())
		require.EqualValues(t, 4, h.subscription().GetScheduledChange().GetSeats())
	})
}

// A paid change still replaces the scheduled one when the seats follow before anybody has looked.
func TestSeatsAndAReplacementThatIsPaid(t *testing.T) {
	crew(t, func(t *testing.T, h *fixture) {
		change := func(plan string) {
			p, err := h.preview(plan, 0, month)
			require.NoError(t, err)
			_, err = h.change(p)
			require.NoError(t, err)
		}
		change("small")
		h.useCard("chargeCustomerFail")
		change("big")
		h.members(2, 4)
		require.Equal(t, "crew", h.subscription().GetPlanId(), "it waits for its payment")
		require.Equal(t, "small", h.subscription().GetScheduledChange().GetPlanId())
		h.useCard("visa")
		h.at(http.MethodPost, "/v1/invoices/"+h.listed("/v1/invoices")[0]+"/pay", nil)
		h.Add(time.Minute)
		h.followed()
		h.Add(time.Minute)
		require.NoError(t, h.service.FinishReplacements(t.Context()))
		require.Equal(t, "big", h.subscription().GetPlanId())
		require.EqualValues(t, 4, h.subscription().GetSeats())
		require.Nil(t, h.subscription().GetScheduledChange())
	})
}

// Reports that keep coming put the change off for a moment, not without end.
func TestSeatsFollowInASteadyStorm(t *testing.T) {
	crew(t, func(t *testing.T, h *fixture) {
		h.Add(2 * time.Minute)
		for n := range int32(3) {
			h.reported(2+n, 4+n%2)
			h.Add(6 * time.Second)
		}
		h.reported(9, 5)
		require.NoError(t, h.service.FollowSeats(t.Context()))
		require.EqualValues(t, 5, h.subscription().GetSeats())
	})
}

// A change whose answer is lost is repeated with the same key and the same parameters, or seen to be done.
func TestALostChangeOfSeatsIsRepeatedToTheLetter(t *testing.T) {
	for kind, repeated := range map[fault.Kind]bool{fault.Close: true, fault.CommitTimeout: false} {
		t.Run(string(kind), func(t *testing.T) {
			crew(t, func(t *testing.T, h *fixture) {
				sent := make(chan string, 99)
				record := func(r *http.Request) {
					if r.Method != http.MethodPost || !strings.HasPrefix(r.URL.Path, "/v1/subscriptions/") {
						return
					}
					body, err := io.ReadAll(r.Body)
					r.Body = io.NopCloser(bytes.NewReader(body))
					sent <- fmt.Sprint(r.Header.Get("Idempotency-Key"), " ", string(body), err)
				}
				h.before.Store(&record)
				billingtest.Fail(t, h.stripe, fault.Fault{Kind: kind, Method: "POST", Path: "/v1/subscriptions/*"})
				h.reported(2, 5)
				h.Add(11 * time.Second)
				require.Error(t, h.service.FollowSeats(t.Context()))
				before := len(sent)
				h.stripe.Faults().Clear()
				h.Add(2 * time.Minute)
				require.NoError(t, h.service.FollowSeats(t.Context()))
				require.EqualValues(t, 5, h.subscription().GetSeats())
				require.Len(t, h.listed("/v1/invoices"), 2)
				require.Equal(t, repeated, len(sent) > before)
				first := <-sent
				require.Contains(t, first, "/seats/")
				for range len(sent) {
					require.Equal(t, first, <-sent)
				}
			})
		})
	}
}

// A lost answer and failures that Stripe repeats charge the seats once.
func TestSeatsAfterFailures(t *testing.T) {
	for name, f := range map[string]fault.Fault{
		"a lost answer": {Kind: fault.CommitTimeout, Method: "POST", Path: "/v1/subscriptions/*", Count: 1},
		"an error":      {Kind: fault.Status, Status: 500, Method: "POST", Path: "/v1/subscriptions/*", Count: 1},
		"a limit":       {Kind: fault.RateLimit, Method: "POST", Path: "/v1/subscriptions/*", Count: 1},
	} {
		t.Run(name, func(t *testing.T) {
			crew(t, func(t *testing.T, h *fixture) {
				billingtest.Fail(t, h.stripe, f)
				h.reported(2, 5)
				for range 3 {
					h.Add(2 * time.Minute)
					_ = h.service.FollowSeats(t.Context()) // it is retried
				}
				require.EqualValues(t, 5, h.subscription().GetSeats())
				require.Len(t, h.listed("/v1/invoices"), 2)
			})
		})
	}
}

// More seats whose payment fails are tried once a week, because each attempt makes an invoice; with a new card at once.
func TestSeatsWhosePaymentFails(t *testing.T) {
	crew(t, func(t *testing.T, h *fixture) {
		card := func(name string) {
			customer := h.listed("/v1/customers")[0]
			id := h.at(http.MethodPost, "/v1/payment_methods/pm_card_"+name+"/attach", url.Values{"customer": {customer}})
			h.at(http.MethodPost, "/v1/customers/"+customer, url.Values{"invoice_settings[default_payment_method]": {id}})
			for _, sub := range h.listed("/v1/subscriptions") {
				h.at(http.MethodPost, "/v1/subscriptions/"+sub, url.Values{"default_payment_method": {id}})
			}
			h.news()
		}
		card("chargeCustomerFail")
		h.reported(2, 5)
		days := func(n int) {
			for range 2 * n {
				h.Add(12 * time.Hour)
				_, err := h.stripe.Advance()
				require.NoError(t, err)
				h.news()
				require.NoError(t, h.service.FollowSeats(t.Context()))
			}
		}
		days(6)
		require.EqualValues(t, 3, h.subscription().GetSeats())
		require.Len(t, h.listed("/v1/invoices"), 2)
		days(2)
		require.Len(t, h.listed("/v1/invoices"), 3)
		card("visa")
		days(1)
		require.EqualValues(t, 5, h.subscription().GetSeats())
		require.Len(t, h.listed("/v1/invoices"), 4)
	})
}

// Other seats than those of the members are refused, and an account without reports buys as before.
func TestSeatsThatFollowCannotBeChosen(t *testing.T) {
	sell(t, func(t *testing.T, h *fixture) {
		h.apply(seatsFile)
		h.reported(1, 3)
		r := purchase("crew", "")
		r.Seats = 2
		_, err := h.from("gateway").CreateCheckoutSession(h.as(admin), r)
		require.Contains(t, requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, err).Message, "from 3 to 3")
		_, err = h.from("gateway").CreateCheckoutSession(h.as(elsewhere), r)
		require.NoError(t, err)
	})
}

// Stripe charges at most $999,999.99 at once. An organization with more members buys a year with as many seats as that pays for.
func TestSeatsOfAYear(t *testing.T) {
	sell(t, func(t *testing.T, h *fixture) {
		h.apply(`
plans:
  - {id: free, name: Free, price: "0.00", included_credit: "0"}
  - id: crew
    name: Crew
    price: "10.00"
    yearly_price: "200000.00"
    included_credit: "12.00"
    seats: {min: 2, max: 6, per_member: true}
`)
		h.reported(1, 6)
		list, err := h.from("gateway").ListPlans(h.as(member), &billingv1.ListPlansRequest{})
		require.NoError(t, err)
		seats := list.GetPlans()[1].GetSeats()
		require.EqualValues(t, 6, seats.GetMax())
		require.EqualValues(t, 4, seats.GetYearlyMax())
		r := purchase("crew", "")
		r.Interval = year
		require.True(t, h.buy(r).GetApplied())
		h.followed()
		require.EqualValues(t, 4, h.subscription().GetSeats())
	})
}

// The seats of a subscription to an earlier version follow at the price of that version, which is not on sale any more.
func TestSeatsOfAnEarlierVersion(t *testing.T) {
	crew(t, func(t *testing.T, h *fixture) {
		h.apply(strings.ReplaceAll(seatsFile, `price: "10.00"`, `price: "15.00"`))
		h.members(2, 5)
		sub := h.subscription()
		require.EqualValues(t, 5, sub.GetSeats())
		require.EqualValues(t, 1, sub.GetPlanVersion())
		require.InDelta(t, 2000, h.invoiced()[0], 1)
		h.members(3, 4)
		require.EqualValues(t, 4, h.subscription().GetScheduledChange().GetSeats())
		h.renew()
		require.EqualValues(t, 4, h.subscription().GetSeats())
		require.EqualValues(t, 1, h.subscription().GetPlanVersion())
		require.EqualValues(t, 4000, h.invoiced()[0])
	})
}

// Nobody can sign in for an organization that was deleted: its subscription ends with its period, whatever the plan, and its automatic top-up is off.
func TestADeletedOrganizationPaysNoMore(t *testing.T) {
	gone := func(h *fixture, sequence int32) {
		h.t.Helper()
		_, err := h.from("auth").SetMemberCount(h.t.Context(), &billingv1.SetMemberCountRequest{OrganizationId: "org_1", Sequence: sequence, Deleted: true})
		require.NoError(h.t, err)
		h.followed()
	}
	ends := func(h *fixture) {
		h.t.Helper()
		sub := h.subscription()
		require.Equal(h.t, sub.GetPeriodEndTime().AsTime(), sub.GetCancelTime().AsTime())
		require.Nil(h.t, sub.GetScheduledChange())
		invoices := len(h.invoiced())
		h.renew()
		require.Equal(h.t, billingv1.SubscriptionAccess_SUBSCRIPTION_ACCESS_ENDED, h.subscription().GetAccess())
		require.Len(h.t, h.invoiced(), invoices)
	}
	t.Run("with seats and a scheduled change", func(t *testing.T) {
		crew(t, func(t *testing.T, h *fixture) {
			h.members(2, 2)
			require.NotNil(t, h.subscription().GetScheduledChange())
			gone(h, 3)
			writes := 0
			count := func(r *http.Request) {
				if r.Method != http.MethodGet {
					writes++
				}
			}
			h.before.Store(&count)
			h.Add(2 * time.Hour)
			h.followed()
			require.Zero(t, writes, "once")
			ends(h)
		})
	})
	t.Run("with an end at Stripe", func(t *testing.T) {
		crew(t, func(t *testing.T, h *fixture) {
			end := h.Now().Add(10 * 24 * time.Hour).Truncate(time.Second)
			h.at(http.MethodPost, "/v1/subscriptions/"+h.listed("/v1/subscriptions")[0], url.Values{"cancel_at": {strconv.FormatInt(end.Unix(), 10)}})
			gone(h, 2)
			require.True(t, end.Equal(h.subscription().GetCancelTime().AsTime()), "an earlier end stays")
			invoices := len(h.invoiced())
			h.Set(end.Add(time.Hour))
			_, err := h.stripe.Advance()
			require.NoError(t, err)
			_, err = h.reconcile(&billingv1.ReconcileRequest{})
			require.NoError(t, err)
			require.Equal(t, billingv1.SubscriptionAccess_SUBSCRIPTION_ACCESS_ENDED, h.subscription().GetAccess())
			require.Len(t, h.invoiced(), invoices)
		})
	})
	t.Run("after a failure, with a top-up", func(t *testing.T) {
		sell(t, func(t *testing.T, h *fixture) {
			h.topUpOn()
			billingtest.Fail(h.t, h.stripe, fault.Fault{Kind: fault.Status, Status: 500, Method: "POST", Path: "/v1/subscriptions/*", Count: 1})
			_, err := h.from("auth").SetMemberCount(h.t.Context(), &billingv1.SetMemberCountRequest{OrganizationId: "org_1", Sequence: 1, Deleted: true})
			require.NoError(t, err)
			require.Equal(t, billingv1.TopUpState_TOP_UP_STATE_OFF, h.topUp().GetState())
			h.Add(11 * time.Second)
			require.Error(t, h.service.FollowSeats(t.Context()))
			require.Nil(t, h.subscription().GetCancelTime())
			h.Add(2 * time.Minute)
			h.followed()
			ends(h)
		})
	})
}
