package stripe_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	stripesdk "github.com/stripe/stripe-go/v76"

	"github.com/trivet-dev/trivet/sandbox/stripe"
)

// browse does what a browser does with a page, and shows where it is sent.
func (s *server) browse(t *testing.T, method, address string, form url.Values) (status int, location, body string) {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	s.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	r := s.do(t, method, u.EscapedPath(), form.Encode(), "Authorization", "", "Content-Type", "application/x-www-form-urlencoded")
	return r.status, r.header.Get("Location"), r.body
}

func (s *shop) checkout(mode string) *stripesdk.CheckoutSessionParams {
	p := &stripesdk.CheckoutSessionParams{
		Mode: &mode, SuccessURL: stripesdk.String("http://app.test/done?session_id={CHECKOUT_SESSION_ID}"), CancelURL: stripesdk.String("http://app.test/back"),
	}
	if mode == "subscription" {
		p.LineItems = []*stripesdk.CheckoutSessionLineItemParams{{Price: &s.pro.ID, Quantity: stripesdk.Int64(2)}}
	} else {
		p.LineItems = []*stripesdk.CheckoutSessionLineItemParams{{Quantity: stripesdk.Int64(1), PriceData: &stripesdk.CheckoutSessionLineItemPriceDataParams{
			Currency: stripesdk.String("usd"), UnitAmount: stripesdk.Int64(2500), ProductData: &stripesdk.CheckoutSessionLineItemPriceDataProductDataParams{Name: stripesdk.String("Credits")},
		}}}
	}
	return p
}

func TestCheckoutPageSubscription(t *testing.T) {
	s := openShop(t)
	p := s.checkout("subscription")
	p.ClientReferenceID = stripesdk.String("acc_1")
	p.SubscriptionData = &stripesdk.CheckoutSessionSubscriptionDataParams{Metadata: map[string]string{"account": "acc_1"}}
	p.CustomerEmail = stripesdk.String("bob@example.test")
	p.AllowPromotionCodes = stripesdk.Bool(true)
	session, err := s.client.CheckoutSessions.New(p)
	require.NoError(t, err)
	require.Equal(t, "http://sandbox.test/stripe/pay/"+session.ID, session.URL)
	require.Equal(t, stripesdk.CheckoutSessionStatusOpen, session.Status)
	require.Equal(t, stripesdk.CheckoutSessionPaymentStatusUnpaid, session.PaymentStatus)
	require.EqualValues(t, 6000, session.AmountTotal)
	require.Empty(t, s.recorded.types(t))

	status, _, body := s.browse(t, "GET", "/pay/"+session.ID, nil)
	require.Equal(t, http.StatusOK, status)
	for _, want := range []string{"Pro × 2", "60.00 USD", "every month", "bob@example.test", "no money moves"} {
		require.Contains(t, body, want)
	}
	status, _, body = s.browse(t, "POST", "/pay/"+session.ID, url.Values{"action": {"pay"}, "card": {"chargeDeclined"}})
	require.Equal(t, http.StatusPaymentRequired, status)
	require.Contains(t, body, "Your card was declined.")
	require.Empty(t, s.recorded.types(t), "nothing has happened")
	status, location, _ := s.browse(t, "POST", "/pay/"+session.ID, url.Values{"action": {"cancel"}})
	require.Equal(t, http.StatusSeeOther, status)
	require.Equal(t, "http://app.test/back", location)
	status, location, _ = s.browse(t, "POST", "/pay/"+session.ID, url.Values{"action": {"pay"}, "card": {"authenticationRequired"}})
	require.Equal(t, http.StatusSeeOther, status)
	require.Equal(t, "http://app.test/done?session_id="+session.ID, location)

	get := &stripesdk.CheckoutSessionParams{}
	get.AddExpand("subscription.latest_invoice")
	get.AddExpand("customer")
	get.AddExpand("line_items")
	done, err := s.client.CheckoutSessions.Get(session.ID, get)
	require.NoError(t, err)
	require.Equal(t, stripesdk.CheckoutSessionStatusComplete, done.Status)
	require.Equal(t, stripesdk.CheckoutSessionPaymentStatusPaid, done.PaymentStatus)
	require.Equal(t, "bob@example.test", done.Customer.Email)
	require.Equal(t, "bob@example.test", done.CustomerDetails.Email)
	require.Equal(t, stripesdk.SubscriptionStatusActive, done.Subscription.Status)
	require.Equal(t, "acc_1", done.Subscription.Metadata["account"])
	require.EqualValues(t, 6000, done.Subscription.LatestInvoice.AmountPaid)
	require.Equal(t, done.Invoice.ID, done.Subscription.LatestInvoice.ID)
	require.Equal(t, "Pro", done.LineItems.Data[0].Description)
	require.Empty(t, done.URL)
	events := s.recorded.take(t)
	require.Equal(t, stripesdk.EventTypeCustomerCreated, events[0].Type)
	last := events[len(events)-1]
	require.Equal(t, stripesdk.EventTypeCheckoutSessionCompleted, last.Type)
	require.Equal(t, "acc_1", last.Data.Object["client_reference_id"])
	require.Equal(t, done.Subscription.ID, last.Data.Object["subscription"])
	_, _, body = s.browse(t, "GET", "/pay/"+session.ID, nil)
	require.Contains(t, body, "This session is complete.")
	status, _, _ = s.browse(t, "POST", "/pay/"+session.ID, url.Values{"action": {"pay"}})
	require.Equal(t, http.StatusBadRequest, status, "a session is paid once")
	status, _, _ = s.browse(t, "GET", "/pay/cs_none", nil)
	require.Equal(t, http.StatusNotFound, status)
}

func TestCheckoutPageOneTimePayment(t *testing.T) {
	s := openShop(t)
	p := s.checkout("payment")
	p.Customer = &s.customer
	p.PaymentIntentData = &stripesdk.CheckoutSessionPaymentIntentDataParams{SetupFutureUsage: stripesdk.String("off_session"), Metadata: map[string]string{"grant": "g1"}}
	session, err := s.client.CheckoutSessions.New(p)
	require.NoError(t, err)
	back, err := s.Pay(session.ID, "visa", "")
	require.NoError(t, err)
	require.Contains(t, back, session.ID)
	get := &stripesdk.CheckoutSessionParams{}
	get.AddExpand("payment_intent.latest_charge")
	done, err := s.client.CheckoutSessions.Get(session.ID, get)
	require.NoError(t, err)
	require.EqualValues(t, 2500, done.PaymentIntent.AmountReceived)
	require.Equal(t, "g1", done.PaymentIntent.Metadata["grant"])
	require.True(t, done.PaymentIntent.LatestCharge.Paid)
	_, err = s.client.PaymentIntents.New(s.intent(done.PaymentIntent.PaymentMethod.ID))
	require.NoError(t, err, "the card was kept for later")

	guest, err := s.client.CheckoutSessions.New(s.checkout("payment"))
	require.NoError(t, err)
	_, err = s.Pay(guest.ID, "plastic", "")
	require.ErrorContains(t, err, "Unknown test card: plastic")
	_, err = s.Pay(guest.ID, "visa", "guest@example.test")
	require.NoError(t, err)
	guest, err = s.client.CheckoutSessions.Get(guest.ID, nil)
	require.NoError(t, err)
	require.Nil(t, guest.Customer)
	require.Equal(t, "guest@example.test", guest.CustomerDetails.Email)
	_, err = s.Pay(guest.ID, "visa", "")
	require.ErrorContains(t, err, "is complete")

	lines := s.client.CheckoutSessions.ListLineItems(&stripesdk.CheckoutSessionListLineItemsParams{Session: &guest.ID})
	require.True(t, lines.Next())
	require.EqualValues(t, 2500, lines.LineItem().AmountTotal)
}

func TestAOneTimePaymentCanHaveAnInvoice(t *testing.T) {
	for name, c := range map[string]struct {
		customer bool
		makes    bool
		want     int
	}{"a customer": {true, true, 1}, "a guest becomes a customer": {false, true, 1}, "not asked for": {true, false, 0}} {
		t.Run(name, func(t *testing.T) {
			s := openShop(t)
			p := s.checkout("payment")
			p.InvoiceCreation = &stripesdk.CheckoutSessionInvoiceCreationParams{Enabled: &c.makes}
			if c.customer {
				p.Customer = &s.customer
			}
			session, err := s.client.CheckoutSessions.New(p)
			require.NoError(t, err)
			_, err = s.Pay(session.ID, "visa", "")
			require.NoError(t, err)
			get := &stripesdk.CheckoutSessionParams{}
			get.AddExpand("invoice")
			get.AddExpand("payment_intent")
			done, err := s.client.CheckoutSessions.Get(session.ID, get)
			require.NoError(t, err)
			all := s.client.Invoices.List(&stripesdk.InvoiceListParams{})
			made := 0
			for all.Next() {
				made++
			}
			require.NoError(t, all.Err())
			require.Equal(t, c.want, made)
			if !c.makes {
				require.Nil(t, done.Invoice)
				require.Nil(t, done.PaymentIntent.Invoice)
				return
			}
			inv := done.Invoice
			require.Equal(t, stripesdk.InvoiceStatusPaid, inv.Status)
			require.Equal(t, stripesdk.InvoiceBillingReasonManual, inv.BillingReason)
			require.EqualValues(t, 2500, inv.AmountPaid)
			require.Zero(t, inv.AmountRemaining)
			require.NotEmpty(t, inv.Number)
			require.Equal(t, done.Customer.ID, inv.Customer.ID)
			require.Equal(t, done.PaymentIntent.ID, inv.PaymentIntent.ID)
			require.Equal(t, inv.ID, done.PaymentIntent.Invoice.ID)
			require.Len(t, inv.Lines.Data, 1)
			require.EqualValues(t, 2500, inv.Lines.Data[0].Amount)
			require.Contains(t, s.recorded.types(t), "payment_intent.succeeded customer.updated invoice.created invoice.finalized invoice.updated invoice.paid "+
				"invoice.payment_succeeded checkout.session.completed")
		})
	}
}

func TestCheckoutSessionsExpire(t *testing.T) {
	s := openShop(t)
	first, err := s.client.CheckoutSessions.New(s.checkout("subscription"))
	require.NoError(t, err)
	second, err := s.client.CheckoutSessions.New(s.checkout("subscription"))
	require.NoError(t, err)
	gone, err := s.client.CheckoutSessions.Expire(first.ID, nil)
	require.NoError(t, err)
	require.Equal(t, stripesdk.CheckoutSessionStatusExpired, gone.Status)
	_, err = s.client.CheckoutSessions.Expire(first.ID, nil)
	require.Contains(t, sdkError(t, err).Msg, "status of expired")
	s.now.at = s.now.at.Add(24 * time.Hour)
	_, err = s.Pay(second.ID, "visa", "")
	require.ErrorContains(t, err, "is expired")
	require.Equal(t, "checkout.session.expired checkout.session.expired", s.recorded.types(t))
	n := 0
	for it := s.client.CheckoutSessions.List(&stripesdk.CheckoutSessionListParams{}); it.Next(); n++ {
		require.Equal(t, stripesdk.CheckoutSessionStatusExpired, it.CheckoutSession().Status)
	}
	require.Equal(t, 2, n)
	for want, change := range map[string]func(*stripesdk.CheckoutSessionParams){
		"success_url":          func(p *stripesdk.CheckoutSessionParams) { p.SuccessURL = nil },
		"cancel_url":           func(p *stripesdk.CheckoutSessionParams) { p.CancelURL = stripesdk.String("javascript:alert(1)") },
		"line_items":           func(p *stripesdk.CheckoutSessionParams) { p.LineItems = nil },
		"mode":                 func(p *stripesdk.CheckoutSessionParams) { p.Mode = stripesdk.String("gift") },
		"customer":             func(p *stripesdk.CheckoutSessionParams) { p.Customer = stripesdk.String("cus_x") },
		"line_items[0][price]": func(p *stripesdk.CheckoutSessionParams) { p.LineItems[0].Price = stripesdk.String("price_x") },
		"expires_at":           func(p *stripesdk.CheckoutSessionParams) { p.ExpiresAt = stripesdk.Int64(1) },
	} {
		p := s.checkout("subscription")
		change(p)
		_, err := s.client.CheckoutSessions.New(p)
		require.Equal(t, want, sdkError(t, err).Param)
	}
}

// TestCheckoutWaitsForItsWebhook is what Stripe's page does before it sends the payer back.
func TestCheckoutWaitsForItsWebhook(t *testing.T) {
	awaited := make(chan string, 1)
	s := &shop{server: serve(t, stripe.Config{Await: func(_ context.Context, id string) { awaited <- id }})}
	session, err := s.client.CheckoutSessions.New(s.checkout("payment"))
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(session.URL, s.url+"/pay/"), "without a public address, the one of the request")
	status, _, _ := s.browse(t, "POST", session.URL, url.Values{})
	require.Equal(t, http.StatusSeeOther, status)
	event, err := s.client.Events.Get(<-awaited, nil)
	require.NoError(t, err)
	require.Equal(t, stripesdk.EventTypeCheckoutSessionCompleted, event.Type)
}

// The tax depends on the country, which the payer has yet to enter.
func TestCheckoutAnnouncesTax(t *testing.T) {
	s := openShop(t)
	p := s.checkout("payment")
	for _, automatic := range []bool{false, true} {
		p.AutomaticTax = &stripesdk.CheckoutSessionAutomaticTaxParams{Enabled: &automatic}
		session, err := s.client.CheckoutSessions.New(p)
		require.NoError(t, err)
		_, _, body := s.browse(t, "GET", "/pay/"+session.ID, nil)
		require.Equal(t, automatic, strings.Contains(body, "The tax of the country is added with the payment."))
	}
}

func TestPortal(t *testing.T) {
	s := openShop(t)
	sub := s.subscribe(t, s.params(s.pro))
	portal, err := s.client.BillingPortalSessions.New(&stripesdk.BillingPortalSessionParams{Customer: &s.customer, ReturnURL: stripesdk.String("http://app.test/settings")})
	require.NoError(t, err)
	require.Equal(t, "http://sandbox.test/stripe/portal/"+portal.ID, portal.URL)
	page := "/portal/" + portal.ID
	_, _, body := s.browse(t, "GET", page, nil)
	for _, want := range []string{"ada@example.test", "Pro", "visa 4242", "30.00 USD", `href="http://app.test/settings"`, "Renews on", `href="http://sandbox.test/stripe/invoice/in_`} {
		require.Contains(t, body, want)
	}
	do := func(values url.Values) {
		status, location, body := s.browse(t, "POST", page, values)
		require.Equal(t, http.StatusSeeOther, status, body)
		require.Equal(t, portal.URL, location)
	}
	s.recorded.take(t)
	do(url.Values{"action": {"cancel"}, "subscription": {sub.ID}})
	_, _, body = s.browse(t, "GET", page, nil)
	require.Contains(t, body, "Keep the subscription")
	do(url.Values{"action": {"resume"}, "subscription": {sub.ID}})
	got, err := s.client.Subscriptions.Get(sub.ID, nil)
	require.NoError(t, err)
	require.False(t, got.CancelAtPeriodEnd)
	require.Zero(t, got.CanceledAt)
	s.useCard(t, "pm_card_chargeCustomerFail")
	_, err = s.Renew(sub.ID)
	require.NoError(t, err)
	got, err = s.client.Subscriptions.Get(sub.ID, nil)
	require.NoError(t, err)
	require.Equal(t, stripesdk.SubscriptionStatusPastDue, got.Status)
	do(url.Values{"action": {"card"}, "card": {"mastercard"}})
	do(url.Values{"action": {"pay"}, "invoice": {got.LatestInvoice.ID}})
	got, err = s.client.Subscriptions.Get(sub.ID, nil)
	require.NoError(t, err)
	require.Equal(t, stripesdk.SubscriptionStatusActive, got.Status)
	_, _, body = s.browse(t, "GET", page, nil)
	require.Contains(t, body, "mastercard 4444")

	s.useCard(t, "pm_card_chargeCustomerFail")
	_, err = s.Renew(sub.ID)
	require.NoError(t, err)
	got, err = s.client.Subscriptions.Get(sub.ID, nil)
	require.NoError(t, err)
	status, _, body := s.browse(t, "GET", "/invoice/"+got.LatestInvoice.ID, nil)
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, "Pay 30.00 USD")
	status, _, _ = s.browse(t, "POST", "/invoice/"+got.LatestInvoice.ID, url.Values{"card": {"chargeDeclined"}})
	require.Equal(t, http.StatusPaymentRequired, status)
	_, _, body = s.browse(t, "POST", "/invoice/"+got.LatestInvoice.ID, url.Values{"card": {"authenticationRequired"}})
	require.Contains(t, body, `<span class="badge">paid</span>`)

	do(url.Values{"action": {"cancel_now"}, "subscription": {sub.ID}})
	got, err = s.client.Subscriptions.Get(sub.ID, nil)
	require.NoError(t, err)
	require.Equal(t, stripesdk.SubscriptionStatusCanceled, got.Status)
	for _, values := range []url.Values{{"action": {"cancel"}, "subscription": {sub.ID}}, {"action": {"dance"}, "subscription": {sub.ID}}, {"action": {"pay"}, "invoice": {"in_x"}}} {
		status, _, _ := s.browse(t, "POST", page, values)
		require.GreaterOrEqual(t, status, 400)
	}
	_, err = s.client.Customers.Del(s.customer, nil)
	require.NoError(t, err)
	status, _, _ = s.browse(t, "GET", page, nil)
	require.Equal(t, http.StatusNotFound, status)
}
