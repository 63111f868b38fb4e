package stripe_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	stripesdk "github.com/stripe/stripe-go/v76"
)

// metered subscribes the customer to a price of 2 cents for each unit of the meter "tokens".
func metered(t *testing.T, s *shop) *stripesdk.Subscription {
	t.Helper()
	meter, err := s.client.BillingMeters.New(&stripesdk.BillingMeterParams{
		DisplayName: stripesdk.String("Tokens"), EventName: stripesdk.String("tokens"), DefaultAggregation: &stripesdk.BillingMeterDefaultAggregationParams{Formula: stripesdk.String("sum")},
	})
	require.NoError(t, err)
	price, err := s.client.Prices.New(&stripesdk.PriceParams{
		Currency: stripesdk.String("usd"), UnitAmount: stripesdk.Int64(2), ProductData: &stripesdk.PriceProductDataParams{Name: stripesdk.String("Tokens")},
		Recurring: &stripesdk.PriceRecurringParams{Interval: stripesdk.String("month"), UsageType: stripesdk.String("metered"), Meter: &meter.ID},
	})
	require.NoError(t, err)
	return s.subscribe(t, s.params(price))
}

// use sends a meter event and returns the parameter that is refused; "" for none.
func (s *shop) use(t *testing.T, value string) string {
	t.Helper()
	r := s.do(t, "POST", "/v1/billing/meter_events", "event_name=tokens&payload[stripe_customer_id]="+s.customer+"&payload[value]="+value)
	if r.status == http.StatusOK {
		return ""
	}
	require.Equal(t, http.StatusBadRequest, r.status, r.body)
	var refused struct{ Error struct{ Param string } }
	require.NoError(t, json.Unmarshal([]byte(r.body), &refused))
	return refused.Error.Param
}

// Stripe adds meter events up in doubles, so it takes at most 15 digits.
func TestMeterEventsHaveAtMost15Digits(t *testing.T) {
	s := openShop(t)
	metered(t, s)
	for value, param := range map[string]string{
		"999999999999999": "", "000000000000000001": "", "0": "",
		"1000000000000000": "payload[value]", "9999999999999999": "payload[value]", "1.5": "payload[value]", "many": "payload[value]", "": "payload[value]",
	} {
		require.Equal(t, param, s.use(t, value), "%q", value)
	}
}

// The usage of a subscription's last period is invoiced: at the end of the period, or at once with invoice_now. Without it, it is not charged.
func TestTheFinalUsageIsInvoiced(t *testing.T) {
	t.Run("at the end of the period", func(t *testing.T) {
		s := openShop(t)
		sub := metered(t, s)
		_, err := s.client.Subscriptions.Update(sub.ID, &stripesdk.SubscriptionParams{CancelAtPeriodEnd: stripesdk.Bool(true)})
		require.NoError(t, err)
		s.now.at = time.Unix(sub.CurrentPeriodEnd-60, 0)
		require.Empty(t, s.use(t, "250"))
		s.now.at = time.Unix(sub.CurrentPeriodEnd, 0)
		_, err = s.Advance()
		require.NoError(t, err)
		s.now.at = s.now.at.Add(time.Hour)
		_, err = s.Advance()
		require.NoError(t, err)
		gone, err := s.client.Subscriptions.Get(sub.ID, nil)
		require.NoError(t, err)
		require.Equal(t, stripesdk.SubscriptionStatusCanceled, gone.Status)
		all := s.invoices(t, sub.ID)
		require.Equal(t, stripesdk.InvoiceStatusPaid, all[0].Status)
		require.EqualValues(t, 500, all[0].AmountPaid)
		require.EqualValues(t, 250, all[0].Lines.Data[0].Quantity)
		require.Len(t, all, 2)
	})
	for name, c := range map[string]struct {
		invoice bool
		paid    int64
	}{"at once": {true, 500}, "without an invoice": {false, 0}} {
		t.Run(name, func(t *testing.T) {
			s := openShop(t)
			sub := metered(t, s)
			s.now.at = s.now.at.Add(time.Hour)
			require.Empty(t, s.use(t, "250"))
			s.now.at = s.now.at.Add(time.Minute)
			_, err := s.client.Subscriptions.Cancel(sub.ID, &stripesdk.SubscriptionCancelParams{InvoiceNow: stripesdk.Bool(c.invoice)})
			require.NoError(t, err)
			s.now.at = s.now.at.Add(2 * time.Hour)
			_, err = s.Advance()
			require.NoError(t, err)
			var paid int64
			for _, inv := range s.invoices(t, sub.ID) {
				paid += inv.AmountPaid
			}
			require.Equal(t, c.paid, paid)
		})
	}
}

// A renewal is announced once, a week before, with what it will charge. An invoice that does not exist yet has no id, and a subscription that ends has none.
func TestARenewalIsAnnounced(t *testing.T) {
	s := openShop(t)
	sub := s.subscribe(t, s.params(s.basic))
	ending := s.subscribe(t, s.params(s.pro))
	_, err := s.client.Subscriptions.Update(ending.ID, &stripesdk.SubscriptionParams{CancelAtPeriodEnd: stripesdk.Bool(true)})
	require.NoError(t, err)
	s.recorded.take(t)
	week := time.Unix(sub.CurrentPeriodEnd, 0).Add(-7 * 24 * time.Hour)
	s.now.at = week.Add(-time.Second)
	_, err = s.Advance()
	require.NoError(t, err)
	require.Empty(t, s.recorded.take(t), "too early")
	var announced []stripesdk.Event
	for _, at := range []time.Time{week, week.Add(time.Hour), week.Add(6 * 24 * time.Hour)} {
		s.now.at = at
		_, err = s.Advance()
		require.NoError(t, err)
		announced = append(announced, s.recorded.take(t)...)
	}
	require.Len(t, announced, 1)
	require.Equal(t, stripesdk.EventTypeInvoiceUpcoming, announced[0].Type)
	require.Equal(t, week.Unix(), announced[0].Created)
	object := announced[0].Data.Object
	require.NotContains(t, object, "id")
	require.Equal(t, sub.ID, object["subscription"])
	require.InDelta(t, 1000, object["total"], 0)
	require.Equal(t, "upcoming", object["billing_reason"])
	require.Len(t, s.invoices(t, sub.ID), 1, "none was made")
}
