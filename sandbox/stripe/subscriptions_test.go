package stripe_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	stripesdk "github.com/stripe/stripe-go/v76"

	"github.com/trivet-dev/trivet/sandbox/stripe"
)

// shop is an account with two monthly prices, a yearly one, and a customer who has a card.
type shop struct {
	*server
	recorded       *recorder
	now            *clock
	basic, pro     *stripesdk.Price
	yearly         *stripesdk.Price
	customer, card string
}

func openShop(t *testing.T) *shop { return openShopWith(t, stripe.Config{}) }

func openShopWith(t *testing.T, config stripe.Config) *shop {
	t.Helper()
	h, now := &recorder{}, newClock()
	config.Now, config.Emit, config.PublicURL = now.Now, h.emit, "http://sandbox.test/stripe"
	s := &shop{server: serve(t, config), recorded: h, now: now}
	price := func(name, interval string, cents int64) *stripesdk.Price {
		p, err := s.client.Prices.New(&stripesdk.PriceParams{
			Currency: stripesdk.String("usd"), UnitAmount: stripesdk.Int64(cents), ProductData: &stripesdk.PriceProductDataParams{Name: stripesdk.String(name)},
			Recurring: &stripesdk.PriceRecurringParams{Interval: stripesdk.String(interval)},
		})
		require.NoError(t, err)
		return p
	}
	s.basic, s.pro, s.yearly = price("Basic", "month", 1000), price("Pro", "month", 3000), price("Year", "year", 30000)
	cus, err := s.client.Customers.New(&stripesdk.CustomerParams{Email: stripesdk.String("ada@example.test"), Name: stripesdk.String("Ada")})
	require.NoError(t, err)
	s.customer = cus.ID
	s.card = s.useCard(t, "pm_card_visa")
	h.take(t)
	return s
}

// useCard makes a card the customer's default.
func (s *shop) useCard(t *testing.T, name string) string {
	t.Helper()
	m, err := s.client.PaymentMethods.Attach(name, &stripesdk.PaymentMethodAttachParams{Customer: &s.customer})
	require.NoError(t, err)
	_, err = s.client.Customers.Update(s.customer, &stripesdk.CustomerParams{InvoiceSettings: &stripesdk.CustomerInvoiceSettingsParams{DefaultPaymentMethod: &m.ID}})
	require.NoError(t, err)
	return m.ID
}

func (s *shop) params(price *stripesdk.Price) *stripesdk.SubscriptionParams {
	return &stripesdk.SubscriptionParams{Customer: &s.customer, Items: []*stripesdk.SubscriptionItemsParams{{Price: &price.ID}}}
}

func (s *shop) subscribe(t *testing.T, p *stripesdk.SubscriptionParams) *stripesdk.Subscription {
	t.Helper()
	sub, err := s.client.Subscriptions.New(p)
	require.NoError(t, err)
	return sub
}

func (s *shop) invoices(t *testing.T, sub string) (out []*stripesdk.Invoice) {
	t.Helper()
	it := s.client.Invoices.List(&stripesdk.InvoiceListParams{Subscription: &sub})
	for it.Next() {
		out = append(out, it.Invoice())
	}
	require.NoError(t, it.Err())
	return out
}

func TestSubscriptionIsPaidAndRenewed(t *testing.T) {
	s := openShop(t)
	p := s.params(s.basic)
	p.Items[0].Quantity = stripesdk.Int64(3)
	p.AddMetadata("account", "acc_1")
	p.AddExpand("latest_invoice.payment_intent")
	p.AddExpand("customer")
	sub := s.subscribe(t, p)
	start := s.now.at
	require.Equal(t, stripesdk.SubscriptionStatusActive, sub.Status)
	require.Equal(t, start.Unix(), sub.CurrentPeriodStart)
	require.Equal(t, start.AddDate(0, 1, 0).Unix(), sub.CurrentPeriodEnd)
	require.Equal(t, "Ada", sub.Customer.Name)
	require.Len(t, sub.Items.Data, 1)
	item := sub.Items.Data[0]
	require.Regexp(t, `^si_`, item.ID)
	require.EqualValues(t, 3, item.Quantity)
	require.Equal(t, s.basic.ID, item.Price.ID)
	require.Equal(t, s.basic.Product.ID, item.Price.Product.ID)
	require.Equal(t, s.basic.ID, item.Plan.ID)
	require.Equal(t, sub.ID, item.Subscription)
	inv := sub.LatestInvoice
	require.Equal(t, stripesdk.InvoiceStatusPaid, inv.Status)
	require.Equal(t, stripesdk.InvoiceBillingReasonSubscriptionCreate, inv.BillingReason)
	require.EqualValues(t, 3000, inv.AmountPaid)
	require.Zero(t, inv.AmountRemaining)
	require.True(t, inv.Paid)
	require.Equal(t, sub.ID, inv.Subscription.ID)
	require.Equal(t, "acc_1", inv.SubscriptionDetails.Metadata["account"])
	require.Equal(t, stripesdk.PaymentIntentStatusSucceeded, inv.PaymentIntent.Status)
	require.NotEmpty(t, inv.Charge.ID)
	require.NotEmpty(t, inv.Number)
	require.Equal(t, start.Unix(), inv.StatusTransitions.PaidAt)
	require.Len(t, inv.Lines.Data, 1)
	require.Equal(t, stripesdk.InvoiceLineItemTypeSubscription, inv.Lines.Data[0].Type)
	require.Equal(t, sub.CurrentPeriodEnd, inv.Lines.Data[0].Period.End)
	require.Equal(t, "customer.subscription.created invoice.created customer.updated payment_intent.created invoice.updated invoice.finalized charge.succeeded "+
		"payment_intent.succeeded invoice.updated invoice.paid invoice.payment_succeeded customer.subscription.updated", s.recorded.types(t))

	s.now.at = start.AddDate(0, 1, 0)
	n, err := s.Advance()
	require.NoError(t, err)
	require.Equal(t, 1, n)
	events := s.recorded.take(t)
	require.Equal(t, stripesdk.EventTypeInvoiceUpcoming, events[0].Type)
	require.Equal(t, start.AddDate(0, 1, -7).Unix(), events[0].Created)
	require.Equal(t, stripesdk.EventTypeCustomerSubscriptionUpdated, events[1].Type)
	require.EqualValues(t, start.Unix(), events[1].Data.PreviousAttributes["current_period_start"])
	require.Empty(t, events[1].Request.ID, "no request has caused it")
	sub, err = s.client.Subscriptions.Get(sub.ID, nil)
	require.NoError(t, err)
	require.Equal(t, start.AddDate(0, 2, 0).Unix(), sub.CurrentPeriodEnd)
	all := s.invoices(t, sub.ID)
	require.Len(t, all, 2)
	require.Equal(t, stripesdk.InvoiceBillingReasonSubscriptionCycle, all[0].BillingReason)
	require.Equal(t, sub.LatestInvoice.ID, all[0].ID)
	require.Equal(t, stripesdk.InvoiceStatusDraft, all[0].Status)
	n, err = s.Advance()
	require.NoError(t, err)
	require.Zero(t, n)
	s.now.at = s.now.at.Add(time.Hour)
	n, err = s.Advance()
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, stripesdk.InvoiceStatusPaid, s.invoices(t, sub.ID)[0].Status)
}

func TestDeclinedCard(t *testing.T) {
	s := openShop(t)
	bare, err := s.client.Customers.New(nil)
	require.NoError(t, err)
	p := s.params(s.basic)
	p.Customer = &bare.ID
	_, err = s.client.Subscriptions.New(p)
	require.Contains(t, sdkError(t, err).Msg, "no attached payment source")
	p.PaymentBehavior = stripesdk.String("default_incomplete")
	p.AddExpand("latest_invoice.payment_intent")
	sub := s.subscribe(t, p)
	require.Equal(t, stripesdk.SubscriptionStatusIncomplete, sub.Status)
	require.Equal(t, stripesdk.InvoiceStatusOpen, sub.LatestInvoice.Status)
	require.NotEmpty(t, sub.LatestInvoice.PaymentIntent.ClientSecret)

	_, err = s.client.PaymentMethods.Attach("pm_card_chargeDeclined", &stripesdk.PaymentMethodAttachParams{Customer: &s.customer})
	require.Equal(t, stripesdk.ErrorCodeCardDeclined, sdkError(t, err).Code)
	s.useCard(t, "pm_card_chargeCustomerFail")
	p = s.params(s.basic)
	p.PaymentBehavior = stripesdk.String("error_if_incomplete")
	_, err = s.client.Subscriptions.New(p)
	require.Equal(t, 402, sdkError(t, err).HTTPStatusCode)
	s.recorded.take(t)
	p.PaymentBehavior = nil
	sub = s.subscribe(t, p)
	require.Equal(t, stripesdk.SubscriptionStatusIncomplete, sub.Status)
	require.Contains(t, s.recorded.types(t), "charge.failed payment_intent.payment_failed invoice.updated invoice.payment_failed")

	good := s.useCard(t, "pm_card_mastercard")
	paid, err := s.client.Invoices.Pay(sub.LatestInvoice.ID, &stripesdk.InvoicePayParams{PaymentMethod: &good})
	require.NoError(t, err)
	require.True(t, paid.Paid)
	sub, err = s.client.Subscriptions.Get(sub.ID, nil)
	require.NoError(t, err)
	require.Equal(t, stripesdk.SubscriptionStatusActive, sub.Status)

	s.useCard(t, "pm_card_chargeCustomerFail")
	late, err := s.Renew(sub.ID)
	require.NoError(t, err)
	require.Equal(t, "past_due", late.Status)
	inv, err := s.client.Invoices.Get(*late.LatestInvoice, nil)
	require.NoError(t, err)
	require.Equal(t, stripesdk.InvoiceStatusOpen, inv.Status)
	require.EqualValues(t, 1, inv.AttemptCount)
	require.NotZero(t, inv.NextPaymentAttempt)
	_, err = s.client.Invoices.Pay(inv.ID, nil)
	require.Equal(t, stripesdk.ErrorCodeCardDeclined, sdkError(t, err).Code)
	_, err = s.client.Invoices.Pay(inv.ID, &stripesdk.InvoicePayParams{PaidOutOfBand: stripesdk.Bool(true)})
	require.NoError(t, err)
	sub, err = s.client.Subscriptions.Get(sub.ID, nil)
	require.NoError(t, err)
	require.Equal(t, stripesdk.SubscriptionStatusActive, sub.Status)

	never := s.params(s.basic)
	never.PaymentBehavior = stripesdk.String("default_incomplete")
	given := s.subscribe(t, never)
	_, err = s.Renew(given.ID)
	require.ErrorContains(t, err, "incomplete")
	s.now.at = s.now.at.Add(24 * time.Hour)
	n, err := s.Advance()
	require.NoError(t, err)
	require.Equal(t, 2, n, "the first one and this one were never paid")
	given, err = s.client.Subscriptions.Get(given.ID, nil)
	require.NoError(t, err)
	require.Equal(t, stripesdk.SubscriptionStatusIncompleteExpired, given.Status)
}

func TestSubscriptionChanges(t *testing.T) {
	s := openShop(t)
	sub := s.subscribe(t, s.params(s.basic))
	item := sub.Items.Data[0].ID
	s.now.at = time.Unix((sub.CurrentPeriodStart+sub.CurrentPeriodEnd)/2, 0)
	s.recorded.take(t)
	change := &stripesdk.SubscriptionParams{Items: []*stripesdk.SubscriptionItemsParams{{ID: &item, Price: &s.pro.ID}}, Description: stripesdk.String("better")}
	changed, err := s.client.Subscriptions.Update(sub.ID, change)
	require.NoError(t, err)
	require.Equal(t, item, changed.Items.Data[0].ID)
	require.Equal(t, s.pro.ID, changed.Items.Data[0].Price.ID)
	require.Equal(t, sub.CurrentPeriodEnd, changed.CurrentPeriodEnd)
	events := s.recorded.take(t)
	last := events[len(events)-1]
	require.Equal(t, stripesdk.EventTypeCustomerSubscriptionUpdated, last.Type)
	require.Contains(t, last.Data.PreviousAttributes, "items")
	require.Contains(t, last.Data.PreviousAttributes, "description")
	require.NotContains(t, last.Data.PreviousAttributes, "customer")

	_, err = s.Renew(sub.ID)
	require.NoError(t, err)
	inv := s.invoices(t, sub.ID)[0]
	require.EqualValues(t, 3000+1500-500, inv.Total, "half a month of Pro for half a month of Basic, and the next month")
	require.Len(t, inv.Lines.Data, 3)
	require.True(t, inv.Lines.Data[0].Proration)

	all := s.params(s.basic)
	all.Items = append(all.Items, &stripesdk.SubscriptionItemsParams{Price: &s.yearly.ID})
	_, err = s.client.Subscriptions.New(all)
	require.Contains(t, sdkError(t, err).Msg, "interval fields must match")

	yearly, err := s.client.Subscriptions.Update(sub.ID, &stripesdk.SubscriptionParams{Items: []*stripesdk.SubscriptionItemsParams{{ID: &item, Price: &s.yearly.ID}}})
	require.NoError(t, err)
	require.Equal(t, s.now.at.Unix(), yearly.CurrentPeriodStart, "another interval begins now")
	require.Equal(t, s.now.at.UTC().AddDate(1, 0, 0).Unix(), yearly.CurrentPeriodEnd)
	require.Equal(t, stripesdk.InvoiceBillingReasonSubscriptionUpdate, s.invoices(t, sub.ID)[0].BillingReason)

	two, err := s.client.Subscriptions.Update(s.subscribe(t, s.params(s.basic)).ID, &stripesdk.SubscriptionParams{
		Items: []*stripesdk.SubscriptionItemsParams{{Price: &s.pro.ID}}, ProrationBehavior: stripesdk.String("none"),
	})
	require.NoError(t, err)
	require.Len(t, two.Items.Data, 2)
	one, err := s.client.Subscriptions.Update(two.ID, &stripesdk.SubscriptionParams{Items: []*stripesdk.SubscriptionItemsParams{{ID: &two.Items.Data[0].ID, Deleted: stripesdk.Bool(true)}}})
	require.NoError(t, err)
	require.Len(t, one.Items.Data, 1)
	require.Equal(t, s.pro.ID, one.Items.Data[0].Price.ID)
}

func TestSubscriptionEnds(t *testing.T) {
	s := openShop(t)
	sub := s.subscribe(t, s.params(s.basic))
	s.recorded.take(t)
	ending, err := s.client.Subscriptions.Update(sub.ID, &stripesdk.SubscriptionParams{CancelAtPeriodEnd: stripesdk.Bool(true)})
	require.NoError(t, err)
	require.True(t, ending.CancelAtPeriodEnd)
	require.Equal(t, sub.CurrentPeriodEnd, ending.CancelAt)
	require.NotZero(t, ending.CanceledAt)
	require.Equal(t, stripesdk.SubscriptionStatusActive, ending.Status)
	kept, err := s.client.Subscriptions.Update(sub.ID, &stripesdk.SubscriptionParams{CancelAtPeriodEnd: stripesdk.Bool(false)})
	require.NoError(t, err)
	require.Zero(t, kept.CancelAt)
	require.Zero(t, kept.CanceledAt)
	_, err = s.client.Subscriptions.Update(sub.ID, &stripesdk.SubscriptionParams{CancelAtPeriodEnd: stripesdk.Bool(true)})
	require.NoError(t, err)
	require.Equal(t, "customer.subscription.updated customer.subscription.updated customer.subscription.updated", s.recorded.types(t))
	s.now.at = time.Unix(sub.CurrentPeriodEnd, 0)
	_, err = s.Advance()
	require.NoError(t, err)
	gone, err := s.client.Subscriptions.Get(sub.ID, nil)
	require.NoError(t, err)
	require.Equal(t, stripesdk.SubscriptionStatusCanceled, gone.Status)
	require.Equal(t, sub.CurrentPeriodEnd, gone.EndedAt)
	require.Equal(t, "customer.subscription.deleted", s.recorded.types(t))
	require.Len(t, s.invoices(t, sub.ID), 1, "there is no invoice for a period that never begins")

	second := s.subscribe(t, s.params(s.pro))
	canceled, err := s.client.Subscriptions.Cancel(second.ID, &stripesdk.SubscriptionCancelParams{CancellationDetails: &stripesdk.SubscriptionCancelCancellationDetailsParams{Comment: stripesdk.String("too dear")}})
	require.NoError(t, err)
	require.Equal(t, stripesdk.SubscriptionStatusCanceled, canceled.Status)
	require.Equal(t, "too dear", canceled.CancellationDetails.Comment)
	_, err = s.client.Subscriptions.Cancel(second.ID, nil)
	require.Equal(t, stripesdk.ErrorCodeResourceMissing, sdkError(t, err).Code)
	_, err = s.client.Subscriptions.Update(second.ID, &stripesdk.SubscriptionParams{CancelAtPeriodEnd: stripesdk.Bool(true)})
	require.Contains(t, sdkError(t, err).Msg, "canceled subscription")

	third := s.subscribe(t, s.params(s.pro))
	count := func(status string) (n int) {
		p := &stripesdk.SubscriptionListParams{Customer: &s.customer}
		if status != "" {
			p.Status = &status
		}
		for it := s.client.Subscriptions.List(p); it.Next(); n++ {
			require.Equal(t, s.customer, it.Subscription().Customer.ID)
		}
		return n
	}
	require.Equal(t, map[string]int{"": 1, "all": 3, "canceled": 2, "active": 1, "ended": 2}, map[string]int{"": count(""), "all": count("all"), "canceled": count("canceled"), "active": count("active"), "ended": count("ended")})
	s.recorded.take(t)
	_, err = s.client.Customers.Del(s.customer, nil)
	require.NoError(t, err)
	require.Equal(t, "customer.subscription.deleted customer.deleted", s.recorded.types(t))
	third, err = s.client.Subscriptions.Get(third.ID, nil)
	require.NoError(t, err)
	require.Equal(t, stripesdk.SubscriptionStatusCanceled, third.Status)
}

func TestTrialsAndSentInvoices(t *testing.T) {
	s := openShop(t)
	p := s.params(s.pro)
	p.TrialPeriodDays = stripesdk.Int64(14)
	sub := s.subscribe(t, p)
	require.Equal(t, stripesdk.SubscriptionStatusTrialing, sub.Status)
	require.Equal(t, s.now.at.AddDate(0, 0, 14).Unix(), sub.TrialEnd)
	require.Equal(t, sub.TrialEnd, sub.CurrentPeriodEnd)
	require.Zero(t, s.invoices(t, sub.ID)[0].Total)
	require.True(t, s.invoices(t, sub.ID)[0].Paid)
	s.now.at = time.Unix(sub.TrialEnd, 0).Add(time.Hour)
	_, err := s.Advance()
	require.NoError(t, err)
	sub, err = s.client.Subscriptions.Get(sub.ID, nil)
	require.NoError(t, err)
	require.Equal(t, stripesdk.SubscriptionStatusActive, sub.Status)
	require.EqualValues(t, 3000, s.invoices(t, sub.ID)[0].AmountPaid)

	p = s.params(s.pro)
	p.CollectionMethod = stripesdk.String("send_invoice")
	_, err = s.client.Subscriptions.New(p)
	require.Equal(t, "days_until_due", sdkError(t, err).Param)
	p.DaysUntilDue = stripesdk.Int64(30)
	s.recorded.take(t)
	sub = s.subscribe(t, p)
	require.Equal(t, stripesdk.SubscriptionStatusActive, sub.Status)
	inv := s.invoices(t, sub.ID)[0]
	require.Equal(t, stripesdk.InvoiceStatusOpen, inv.Status)
	require.Equal(t, s.now.at.AddDate(0, 0, 30).Unix(), inv.DueDate)
	require.True(t, strings.HasSuffix(s.recorded.types(t), "invoice.finalized invoice.sent"))
	require.True(t, strings.HasPrefix(inv.HostedInvoiceURL, "http://sandbox.test/stripe/invoice/in_"), inv.HostedInvoiceURL)
}

func TestMonthEnds(t *testing.T) {
	s := openShop(t)
	s.now.at = time.Date(2024, 1, 31, 12, 0, 0, 0, time.UTC)
	sub := s.subscribe(t, s.params(s.basic))
	var ends []string
	for range 4 {
		got, err := s.client.Subscriptions.Get(sub.ID, nil)
		require.NoError(t, err)
		ends = append(ends, time.Unix(got.CurrentPeriodEnd, 0).UTC().Format("01-02"))
		_, err = s.Renew(sub.ID)
		require.NoError(t, err)
	}
	require.Equal(t, []string{"02-29", "03-31", "04-30", "05-31"}, ends)
}

func TestTestClockAdvancesByMonths(t *testing.T) {
	s := openShop(t)
	frozen := time.Date(2025, 1, 10, 0, 0, 0, 0, time.UTC)
	clock, err := s.client.TestHelpersTestClocks.New(&stripesdk.TestHelpersTestClockParams{FrozenTime: stripesdk.Int64(frozen.Unix()), Name: stripesdk.String("year")})
	require.NoError(t, err)
	cus, err := s.client.Customers.New(&stripesdk.CustomerParams{TestClock: &clock.ID, PaymentMethod: stripesdk.String("pm_card_visa")})
	require.NoError(t, err)
	cards := s.client.PaymentMethods.List(&stripesdk.PaymentMethodListParams{Customer: &cus.ID})
	require.True(t, cards.Next())
	p := s.params(s.basic)
	p.Customer, p.DefaultPaymentMethod = &cus.ID, &cards.PaymentMethod().ID
	sub := s.subscribe(t, p)
	require.Equal(t, frozen.Unix(), sub.CurrentPeriodStart)
	require.Equal(t, clock.ID, sub.TestClock.ID)
	ready, err := s.client.TestHelpersTestClocks.Advance(clock.ID, &stripesdk.TestHelpersTestClockAdvanceParams{FrozenTime: stripesdk.Int64(frozen.AddDate(0, 6, 1).Unix())})
	require.NoError(t, err)
	require.Equal(t, stripesdk.TestHelpersTestClockStatusReady, ready.Status)
	require.Len(t, s.invoices(t, sub.ID), 7)
	require.Equal(t, frozen.AddDate(0, 6, 0).Unix(), s.invoices(t, sub.ID)[0].Created, "made when it was due")
	_, err = s.client.TestHelpersTestClocks.Advance(clock.ID, &stripesdk.TestHelpersTestClockAdvanceParams{FrozenTime: stripesdk.Int64(frozen.Unix())})
	require.Equal(t, "frozen_time", sdkError(t, err).Param)
	_, err = s.client.TestHelpersTestClocks.Del(clock.ID, nil)
	require.NoError(t, err)
	gone, err := s.client.Customers.Get(cus.ID, nil)
	require.NoError(t, err)
	require.True(t, gone.Deleted)
	_, err = s.client.Customers.New(&stripesdk.CustomerParams{TestClock: &clock.ID})
	require.Equal(t, "test_clock", sdkError(t, err).Param)
}

func TestSubscriptionShowsCurrentPrice(t *testing.T) {
	s := openShop(t)
	sub := s.subscribe(t, s.params(s.basic))
	_, err := s.client.Prices.Update(s.basic.ID, &stripesdk.PriceParams{Nickname: stripesdk.String("new name")})
	require.NoError(t, err)
	sub, err = s.client.Subscriptions.Get(sub.ID, nil)
	require.NoError(t, err)
	require.Equal(t, "new name", sub.Items.Data[0].Price.Nickname)
}

// A change to a year that is paid later has the period that its invoice charges.
func TestAPendingYearBeginsWhenItWasAskedFor(t *testing.T) {
	s := openShop(t)
	sub := s.subscribe(t, s.params(s.basic))
	s.reach(t, s.now.at.AddDate(0, 0, 5))
	s.useCard(t, "pm_card_chargeCustomerFail")
	asked := s.now.at.Unix()
	changed, err := s.client.Subscriptions.Update(sub.ID, &stripesdk.SubscriptionParams{
		Items:           []*stripesdk.SubscriptionItemsParams{{ID: &sub.Items.Data[0].ID, Price: &s.yearly.ID}},
		PaymentBehavior: stripesdk.String("pending_if_incomplete"), ProrationBehavior: stripesdk.String("always_invoice"),
	})
	require.NoError(t, err)
	require.Equal(t, asked, changed.PendingUpdate.BillingCycleAnchor)
	require.Equal(t, sub.CurrentPeriodStart, changed.CurrentPeriodStart)
	s.reach(t, s.now.at.Add(3*time.Hour))
	s.useCard(t, "pm_card_visa")
	due := s.invoices(t, sub.ID)[0]
	_, err = s.client.Invoices.Pay(due.ID, nil)
	require.NoError(t, err)
	sub, err = s.client.Subscriptions.Get(sub.ID, nil)
	require.NoError(t, err)
	require.Nil(t, sub.PendingUpdate)
	require.Equal(t, s.yearly.ID, sub.Items.Data[0].Price.ID)
	require.Equal(t, asked, sub.CurrentPeriodStart)
	require.Equal(t, asked, sub.BillingCycleAnchor)
	require.Equal(t, time.Unix(asked, 0).UTC().AddDate(1, 0, 0).Unix(), sub.CurrentPeriodEnd)
}

// A canceled subscription has no pending change, and the invoice of the change cannot be paid.
func TestACanceledSubscriptionDropsItsPendingChange(t *testing.T) {
	s := openShop(t)
	sub := s.subscribe(t, s.params(s.basic))
	s.useCard(t, "pm_card_chargeCustomerFail")
	_, err := s.client.Subscriptions.Update(sub.ID, &stripesdk.SubscriptionParams{
		Items:           []*stripesdk.SubscriptionItemsParams{{ID: &sub.Items.Data[0].ID, Price: &s.pro.ID}},
		PaymentBehavior: stripesdk.String("pending_if_incomplete"), ProrationBehavior: stripesdk.String("always_invoice"),
	})
	require.NoError(t, err)
	over, err := s.client.Subscriptions.Cancel(sub.ID, nil)
	require.NoError(t, err)
	require.Nil(t, over.PendingUpdate)
	inv := s.invoices(t, sub.ID)[0]
	require.Equal(t, stripesdk.InvoiceStatusVoid, inv.Status)
	_, err = s.client.Invoices.Pay(inv.ID, nil)
	require.Error(t, err)
}
