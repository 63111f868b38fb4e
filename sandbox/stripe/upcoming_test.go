package stripe_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	stripesdk "github.com/stripe/stripe-go/v76"
)

func (s *shop) upcoming(t *testing.T, sub *stripesdk.Subscription, price *stripesdk.Price, quantity, at int64) *stripesdk.Invoice {
	t.Helper()
	inv, err := s.client.Invoices.Upcoming(&stripesdk.InvoiceUpcomingParams{
		Customer: &s.customer, Subscription: &sub.ID, SubscriptionProrationDate: &at, SubscriptionProrationBehavior: stripesdk.String("always_invoice"),
		SubscriptionItems: []*stripesdk.SubscriptionItemsParams{{ID: &sub.Items.Data[0].ID, Price: &price.ID, Quantity: &quantity}},
	})
	require.NoError(t, err)
	return inv
}

func (s *shop) changePlan(sub *stripesdk.Subscription, price *stripesdk.Price, quantity, at int64) (*stripesdk.Subscription, error) {
	p := &stripesdk.SubscriptionParams{
		ProrationDate: &at, ProrationBehavior: stripesdk.String("always_invoice"), PaymentBehavior: stripesdk.String("pending_if_incomplete"),
		Items: []*stripesdk.SubscriptionItemsParams{{ID: &sub.Items.Data[0].ID, Price: &price.ID, Quantity: &quantity}},
	}
	p.AddExpand("latest_invoice")
	return s.client.Subscriptions.Update(sub.ID, p)
}

// What the upcoming invoice shows is what the change charges, also minutes later, when it counts from the same moment.
func TestTheUpcomingInvoiceIsWhatIsCharged(t *testing.T) {
	s := openShop(t)
	sub := s.subscribe(t, s.params(s.basic))
	for _, c := range []struct {
		price    *stripesdk.Price
		quantity int64
	}{{s.pro, 1}, {s.pro, 3}, {s.yearly, 1}} {
		s.now.at = s.now.at.Add(7*24*time.Hour + 13*time.Second)
		at := s.now.at.Unix()
		before := len(s.objects(t, "/v1/invoices?limit=100"))
		shown := s.upcoming(t, sub, c.price, c.quantity, at)
		require.Positive(t, shown.AmountDue)
		require.Empty(t, shown.ID)
		require.Len(t, s.objects(t, "/v1/invoices?limit=100"), before, "nothing is made")
		s.now.at = s.now.at.Add(10 * time.Minute)
		fresh, err := s.changePlan(sub, c.price, c.quantity, at)
		require.NoError(t, err)
		require.Equal(t, shown.Total, fresh.LatestInvoice.Total)
		require.Equal(t, c.price.ID, fresh.Items.Data[0].Price.ID)
		require.Nil(t, fresh.PendingUpdate)
		sub = fresh
	}
}

// A change with "pending_if_incomplete" waits for its payment.
func TestAChangeWaitsForItsPayment(t *testing.T) {
	s := openShop(t)
	sub := s.subscribe(t, s.params(s.basic))
	s.useCard(t, "pm_card_chargeCustomerFail")
	s.now.at = s.now.at.Add(7 * 24 * time.Hour)
	waiting, err := s.changePlan(sub, s.pro, 1, s.now.at.Unix())
	require.NoError(t, err)
	require.Equal(t, s.basic.ID, waiting.Items.Data[0].Price.ID)
	require.Equal(t, stripesdk.SubscriptionStatusActive, waiting.Status)
	require.Equal(t, s.pro.ID, waiting.PendingUpdate.SubscriptionItems[0].Price.ID)
	require.Equal(t, stripesdk.InvoiceStatusOpen, waiting.LatestInvoice.Status)
	s.useCard(t, "pm_card_visa")
	_, err = s.client.Invoices.Pay(waiting.LatestInvoice.ID, nil)
	require.NoError(t, err)
	applied, err := s.client.Subscriptions.Get(sub.ID, nil)
	require.NoError(t, err)
	require.Nil(t, applied.PendingUpdate)
	require.Equal(t, s.pro.ID, applied.Items.Data[0].Price.ID)
}

func TestRefusedUpcomingInvoices(t *testing.T) {
	s := openShop(t)
	sub := s.subscribe(t, s.params(s.basic))
	for query, code := range map[string]string{
		"subscription=sub_none":                                                          "resource_missing",
		"subscription=" + sub.ID + "&customer=cus_no":                                    "resource_missing",
		"subscription=" + sub.ID + "&subscription_proration_date=1":                      "",
		"subscription=" + sub.ID + "&schedule=sub_sched_1":                               "parameter_unknown",
		"subscription=" + sub.ID + "&subscription_proration_behavior=always_invoice":     "invoice_upcoming_none",
		"subscription=" + sub.ID + "&subscription_items[0][id]=si_none&discounts[0]=x_1": "resource_missing",
	} {
		require.Equal(t, code, s.do(t, "GET", "/v1/invoices/upcoming?"+query, "").problem(t).Code, query)
	}
}
