package stripe_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	stripesdk "github.com/stripe/stripe-go/v76"

	"github.com/trivet-dev/trivet/sandbox/stripe"
)

// reach moves the clock, and does what is due by then.
func (s *shop) reach(t *testing.T, at time.Time) {
	t.Helper()
	s.now.at = at
	_, err := s.Advance()
	require.NoError(t, err)
}

func (s *shop) status(t *testing.T, sub string) stripesdk.SubscriptionStatus {
	t.Helper()
	got, err := s.client.Subscriptions.Get(sub, nil)
	require.NoError(t, err)
	return got.Status
}

// A renewal that is not paid is charged four times, 3, 5 and 7 days apart, and then given up as the settings say.
func TestAnUnpaidRenewal(t *testing.T) {
	for after, want := range map[string]stripesdk.SubscriptionStatus{
		"": stripesdk.SubscriptionStatusCanceled, "unpaid": stripesdk.SubscriptionStatusUnpaid, "past_due": stripesdk.SubscriptionStatusPastDue,
	} {
		t.Run(string(want), func(t *testing.T) {
			s := openShopWith(t, stripe.Config{AfterRetries: after})
			sub := s.subscribe(t, s.params(s.basic))
			s.useCard(t, "pm_card_chargeCustomerFail")
			end := time.Unix(sub.CurrentPeriodEnd, 0)
			s.reach(t, end)
			require.Equal(t, stripesdk.SubscriptionStatusActive, s.status(t, sub.ID))
			final := end.Add(time.Hour)
			day := 24 * time.Hour
			for n, days := range []time.Duration{0, 3, 8, 15} {
				s.reach(t, final.Add(days*day-time.Second))
				require.EqualValues(t, n, s.invoices(t, sub.ID)[0].AttemptCount)
				s.reach(t, final.Add(days*day))
				inv := s.invoices(t, sub.ID)[0]
				require.EqualValues(t, n+1, inv.AttemptCount)
				require.Equal(t, stripesdk.InvoiceStatusOpen, inv.Status)
				if n < 3 {
					require.Equal(t, stripesdk.SubscriptionStatusPastDue, s.status(t, sub.ID))
					require.NotZero(t, inv.NextPaymentAttempt)
				}
			}
			require.Equal(t, want, s.status(t, sub.ID))
			require.Zero(t, s.invoices(t, sub.ID)[0].NextPaymentAttempt)
			s.reach(t, end.AddDate(0, 1, 0).Add(2*time.Hour))
			all := s.invoices(t, sub.ID)
			switch want { //nolint:exhaustive // there are three
			case stripesdk.SubscriptionStatusUnpaid:
				require.Equal(t, stripesdk.InvoiceStatusDraft, all[0].Status, "nothing more is charged")
				s.useCard(t, "pm_card_visa")
				_, err := s.client.Invoices.Pay(all[0].ID, nil)
				require.NoError(t, err)
				require.Equal(t, stripesdk.SubscriptionStatusActive, s.status(t, sub.ID))
			case stripesdk.SubscriptionStatusPastDue:
				require.Len(t, all, 3)
			case stripesdk.SubscriptionStatusCanceled:
				require.Len(t, all, 2)
			}
		})
	}
}

// A trial is announced three days before its end. Without a card it ends as its settings say.
func TestTheEndOfATrialWithoutACard(t *testing.T) {
	for behavior, want := range map[string]stripesdk.SubscriptionStatus{
		"pause": stripesdk.SubscriptionStatusPaused, "cancel": stripesdk.SubscriptionStatusCanceled, "create_invoice": stripesdk.SubscriptionStatusPastDue,
	} {
		t.Run(behavior, func(t *testing.T) {
			s := openShop(t)
			bare, err := s.client.Customers.New(&stripesdk.CustomerParams{})
			require.NoError(t, err)
			p := s.params(s.pro)
			p.Customer, p.TrialPeriodDays = &bare.ID, stripesdk.Int64(14)
			p.TrialSettings = &stripesdk.SubscriptionTrialSettingsParams{EndBehavior: &stripesdk.SubscriptionTrialSettingsEndBehaviorParams{MissingPaymentMethod: &behavior}}
			sub := s.subscribe(t, p)
			require.EqualValues(t, behavior, sub.TrialSettings.EndBehavior.MissingPaymentMethod)
			end := time.Unix(sub.TrialEnd, 0)
			s.recorded.take(t)
			s.reach(t, end.AddDate(0, 0, -3).Add(-time.Second))
			require.Empty(t, s.recorded.types(t))
			s.reach(t, end.AddDate(0, 0, -3))
			require.Equal(t, "customer.subscription.trial_will_end", s.recorded.types(t))
			s.reach(t, end.Add(time.Hour))
			require.Equal(t, want, s.status(t, sub.ID))
			require.NotContains(t, s.recorded.types(t), "trial_will_end")
			if behavior != "pause" {
				return
			}
			require.Len(t, s.invoices(t, sub.ID), 1)
			m, err := s.client.PaymentMethods.Attach("pm_card_visa", &stripesdk.PaymentMethodAttachParams{Customer: &bare.ID})
			require.NoError(t, err)
			_, err = s.client.Subscriptions.Update(sub.ID, &stripesdk.SubscriptionParams{DefaultPaymentMethod: &m.ID})
			require.NoError(t, err)
			resumed, err := s.client.Subscriptions.Resume(sub.ID, nil)
			require.NoError(t, err)
			require.Equal(t, stripesdk.SubscriptionStatusActive, resumed.Status)
			require.Equal(t, s.now.at.Unix(), resumed.CurrentPeriodStart)
			_, err = s.client.Subscriptions.Resume(sub.ID, nil)
			require.Contains(t, sdkError(t, err).Msg, "only resume a paused subscription")
		})
	}
}

// A change that is not paid in 23 hours is dropped, and its invoice is void.
func TestAPendingChangeExpires(t *testing.T) {
	s := openShop(t)
	sub := s.subscribe(t, s.params(s.basic))
	s.useCard(t, "pm_card_chargeCustomerFail")
	changed, err := s.client.Subscriptions.Update(sub.ID, &stripesdk.SubscriptionParams{
		Items:           []*stripesdk.SubscriptionItemsParams{{ID: &sub.Items.Data[0].ID, Price: &s.pro.ID}},
		PaymentBehavior: stripesdk.String("pending_if_incomplete"), ProrationBehavior: stripesdk.String("always_invoice"),
	})
	require.NoError(t, err)
	require.NotNil(t, changed.PendingUpdate)
	s.reach(t, s.now.at.Add(23*time.Hour))
	sub, err = s.client.Subscriptions.Get(sub.ID, nil)
	require.NoError(t, err)
	require.Nil(t, sub.PendingUpdate)
	require.Equal(t, s.basic.ID, sub.Items.Data[0].Price.ID)
	require.Equal(t, stripesdk.InvoiceStatusVoid, s.invoices(t, sub.ID)[0].Status)
}

// The draft of a customer who was deleted stays a draft, and holds up nothing that is due for others.
func TestTheDraftOfADeletedCustomer(t *testing.T) {
	s := openShop(t)
	sub := s.subscribe(t, s.params(s.basic))
	end := time.Unix(sub.CurrentPeriodEnd, 0)
	s.reach(t, end)
	draft := s.invoices(t, sub.ID)[0]
	require.Equal(t, stripesdk.InvoiceStatusDraft, draft.Status)
	_, err := s.client.Customers.Del(draft.Customer.ID, nil)
	require.NoError(t, err)
	s.reach(t, end.Add(2*time.Hour))
	got, err := s.client.Invoices.Get(draft.ID, nil)
	require.NoError(t, err)
	require.Equal(t, stripesdk.InvoiceStatusDraft, got.Status)
	require.False(t, got.AutoAdvance)
}

// A change that was declined shortly before its period ends is dropped with the period: the payment of the renewal does not pay for it.
func TestARenewalDoesNotPayForAPendingChange(t *testing.T) {
	s := openShop(t)
	sub := s.subscribe(t, s.params(s.basic))
	s.reach(t, time.Unix(sub.CurrentPeriodEnd, 0).Add(-2*time.Hour))
	s.useCard(t, "pm_card_chargeCustomerFail")
	waiting, err := s.changePlan(sub, s.pro, 1, s.now.at.Unix())
	require.NoError(t, err)
	require.Equal(t, sub.CurrentPeriodEnd, waiting.PendingUpdate.ExpiresAt)
	s.useCard(t, "pm_card_visa")
	s.reach(t, time.Unix(sub.CurrentPeriodEnd, 0).Add(2*time.Hour))
	renewed, err := s.client.Subscriptions.Get(sub.ID, nil)
	require.NoError(t, err)
	require.Equal(t, sub.CurrentPeriodEnd, renewed.CurrentPeriodStart)
	require.Equal(t, stripesdk.SubscriptionStatusActive, renewed.Status)
	require.Equal(t, s.basic.ID, renewed.Items.Data[0].Price.ID)
	require.Nil(t, renewed.PendingUpdate)
	all := s.invoices(t, sub.ID)
	require.Equal(t, []stripesdk.InvoiceStatus{stripesdk.InvoiceStatusPaid, stripesdk.InvoiceStatusVoid}, []stripesdk.InvoiceStatus{all[0].Status, all[1].Status})
	require.Equal(t, s.basic.UnitAmount, all[0].Total)
}

// A second change replaces a declined one, whose invoice is void. Its own payment does it, and no failed attempt makes the subscription past due.
func TestASecondChangeReplacesADeclinedOne(t *testing.T) {
	s := openShop(t)
	sub := s.subscribe(t, s.params(s.basic))
	s.useCard(t, "pm_card_chargeCustomerFail")
	first, err := s.changePlan(sub, s.pro, 1, s.now.at.Unix())
	require.NoError(t, err)
	second, err := s.changePlan(sub, s.pro, 2, s.now.at.Unix())
	require.NoError(t, err)
	require.EqualValues(t, 2, second.PendingUpdate.SubscriptionItems[0].Quantity)
	require.NotEqual(t, first.LatestInvoice.ID, second.LatestInvoice.ID)
	_, err = s.client.Invoices.Pay(second.LatestInvoice.ID, nil)
	require.Error(t, err)
	require.Equal(t, stripesdk.SubscriptionStatusActive, s.status(t, sub.ID))
	s.useCard(t, "pm_card_visa")
	_, err = s.client.Invoices.Pay(first.LatestInvoice.ID, nil)
	require.Error(t, err, "it is void")
	unpaid, err := s.client.Subscriptions.Get(sub.ID, nil)
	require.NoError(t, err)
	require.Equal(t, s.basic.ID, unpaid.Items.Data[0].Price.ID)
	_, err = s.client.Invoices.Pay(second.LatestInvoice.ID, nil)
	require.NoError(t, err)
	paid, err := s.client.Subscriptions.Get(sub.ID, nil)
	require.NoError(t, err)
	require.Equal(t, s.pro.ID, paid.Items.Data[0].Price.ID)
	require.EqualValues(t, 2, paid.Items.Data[0].Quantity)
	require.Nil(t, paid.PendingUpdate)
}

// A card that is detached pays no renewal, also when the subscription named it.
func TestADetachedCardPaysNothing(t *testing.T) {
	s := openShop(t)
	sub := s.subscribe(t, s.params(s.pro))
	card := s.useCard(t, "pm_card_visa")
	_, err := s.client.Subscriptions.Update(sub.ID, &stripesdk.SubscriptionParams{DefaultPaymentMethod: &card})
	require.NoError(t, err)
	_, err = s.client.PaymentMethods.Detach(card, nil)
	require.NoError(t, err)
	got, err := s.client.Subscriptions.Get(sub.ID, nil)
	require.NoError(t, err)
	require.Nil(t, got.DefaultPaymentMethod)
	_, err = s.Renew(sub.ID)
	require.NoError(t, err)
	require.Equal(t, stripesdk.SubscriptionStatusPastDue, s.status(t, sub.ID))
}
