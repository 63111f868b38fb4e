package stripe_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	stripesdk "github.com/stripe/stripe-go/v76"

	"github.com/trivet-dev/trivet/sandbox/stripe"
)

// What a checkout session charges: its items, less its coupon, with the tax of the payer's country.
func TestDiscountsAndTax(t *testing.T) {
	for name, c := range map[string]struct {
		payer                stripe.Payer
		subtotal, total, tax int64
		reason               string
	}{
		"no address":                {stripe.Payer{}, 3000, 3000, 0, ""},
		"Germany":                   {stripe.Payer{Country: "DE"}, 3000, 3570, 570, "standard_rated"},
		"a business in Germany":     {stripe.Payer{Country: "de", TaxID: "DE123456789"}, 3000, 3000, 0, "reverse_charge"},
		"a country without":         {stripe.Payer{Country: "US"}, 3000, 3000, 0, "not_collecting"},
		"a business in Switzerland": {stripe.Payer{Country: "CH", TaxID: "CHE123456789"}, 3000, 3000, 0, "reverse_charge"},
		"a code":                    {stripe.Payer{Code: "spring"}, 3000, 2250, 0, ""},
		"a code in France":          {stripe.Payer{Country: "FR", Code: "SPRING"}, 3000, 2700, 450, "standard_rated"},
	} {
		t.Run(name, func(t *testing.T) {
			s := openShop(t)
			s.must(t, "/v1/coupons", "percent_off=25&duration=once&id=quarter")
			s.must(t, "/v1/promotion_codes", "coupon=quarter&code=SPRING")
			p := s.checkout("subscription")
			p.Customer, p.CustomerEmail = &s.customer, nil
			p.LineItems = []*stripesdk.CheckoutSessionLineItemParams{{Price: &s.pro.ID, Quantity: stripesdk.Int64(1)}}
			p.AllowPromotionCodes = stripesdk.Bool(true)
			p.AutomaticTax = &stripesdk.CheckoutSessionAutomaticTaxParams{Enabled: stripesdk.Bool(true)}
			p.TaxIDCollection = &stripesdk.CheckoutSessionTaxIDCollectionParams{Enabled: stripesdk.Bool(true)}
			p.CustomerUpdate = &stripesdk.CheckoutSessionCustomerUpdateParams{Address: stripesdk.String("auto"), Name: stripesdk.String("auto")}
			session, err := s.client.CheckoutSessions.New(p)
			require.NoError(t, err)
			c.payer.Card, c.payer.Email = "visa", "ada@example.test"
			_, err = s.PayAs(session.ID, c.payer)
			require.NoError(t, err)
			session, err = s.client.CheckoutSessions.Get(session.ID, nil)
			require.NoError(t, err)
			require.Equal(t, c.total, session.AmountTotal)
			require.Equal(t, c.tax, session.TotalDetails.AmountTax)
			inv, err := s.client.Invoices.Get(session.Invoice.ID, nil)
			require.NoError(t, err)
			require.Equal(t, []int64{c.subtotal, c.total, c.total, c.tax, c.total - c.tax}, []int64{inv.Subtotal, inv.Total, inv.AmountPaid, inv.Tax, inv.TotalExcludingTax})
			if c.reason == "" {
				require.Empty(t, inv.TotalTaxAmounts)
				require.Equal(t, stripesdk.InvoiceAutomaticTaxStatusRequiresLocationInputs, inv.AutomaticTax.Status)
			} else {
				require.EqualValues(t, c.reason, inv.TotalTaxAmounts[0].TaxabilityReason)
			}
			s.reach(t, s.now.at.AddDate(0, 1, 0).Add(time.Hour))
			next := s.invoices(t, session.Subscription.ID)[0]
			require.Equal(t, c.subtotal+next.Tax, next.Total, "the coupon was for one invoice")
		})
	}
}

// must makes an object.
func (s *shop) must(t *testing.T, path, form string) {
	t.Helper()
	r := s.do(t, "POST", path, form)
	require.Equal(t, http.StatusOK, r.status, r.body)
}

// What is not implemented, or does not fit, is refused by name.
func TestRefusedCoupons(t *testing.T) {
	s := openShop(t)
	s.must(t, "/v1/coupons", "percent_off=25&duration=once&id=quarter&max_redemptions=1")
	s.must(t, "/v1/promotion_codes", "coupon=quarter&code=SPRING")
	for form, problem := range map[string]string{
		"percent_off=25&amount_off=5&duration=once": "not both", "duration=once": "not both", "amount_off=100&duration=once": "needs a currency",
		"percent_off=101&duration=once": "from 1 to 100", "percent_off=25&duration=repeating": "duration_in_months", "percent_off=25&duration=always": "must be one of",
		"percent_off=25&duration=once&applies_to[products][0]=prod_1": "applies_to",
	} {
		require.Contains(t, s.do(t, "POST", "/v1/coupons", form).problem(t).Message, problem, form)
	}
	item := fmt.Sprintf("customer=%s&items[0][price]=%s", s.customer, s.basic.ID)
	require.Equal(t, "coupon", s.do(t, "POST", "/v1/subscriptions", item+"&coupon=half").problem(t).Param)
	s.must(t, "/v1/subscriptions", item+"&coupon=quarter")
	require.Equal(t, "coupon_expired", s.do(t, "POST", "/v1/subscriptions", item+"&coupon=quarter").problem(t).Code)
	require.Equal(t, "trial_settings[end_behavior][missing_payment_method]",
		s.do(t, "POST", "/v1/subscriptions", item+"&trial_settings[end_behavior][missing_payment_method]=x").problem(t).Param)
}

// A credit note lowers what is due of an open invoice, and gives back what a paid one has charged.
func TestCreditNotes(t *testing.T) {
	s := openShop(t)
	sub := s.subscribe(t, s.params(s.pro))
	inv := s.invoices(t, sub.ID)[0]
	note := func(form string) reply { return s.do(t, "POST", "/v1/credit_notes", "invoice="+inv.ID+"&"+form) }
	for form, problem := range map[string]string{
		"amount=3001": "not between", "amount=100": "must equal", "amount=100&refund_amount=50": "must equal", "lines[0][type]=custom_line_item": "unknown parameter: lines",
	} {
		require.Contains(t, note(form).problem(t).Message, problem, form)
	}
	require.Equal(t, http.StatusOK, note("amount=1000&refund_amount=600&credit_amount=400").status)
	list := s.client.CreditNotes.List(&stripesdk.CreditNoteListParams{Invoice: &inv.ID})
	require.True(t, list.Next())
	got := list.CreditNote()
	require.EqualValues(t, 1000, got.Amount)
	require.Equal(t, stripesdk.CreditNoteTypePostPayment, got.Type)
	r, err := s.client.Refunds.Get(got.Refund.ID, nil)
	require.NoError(t, err)
	require.EqualValues(t, 600, r.Amount)
	require.Contains(t, note("amount=2001&refund_amount=2001").problem(t).Message, "not between 1 and what is left of the invoice (2000)")

	s.useCard(t, "pm_card_chargeCustomerFail")
	s.reach(t, s.now.at.AddDate(0, 1, 0).Add(time.Hour))
	inv = s.invoices(t, sub.ID)[0]
	require.Equal(t, http.StatusOK, note("amount=1000").status)
	inv = s.invoices(t, sub.ID)[0]
	require.EqualValues(t, 1600, inv.AmountDue, "the credit of 400 pays a part")
	s.useCard(t, "pm_card_visa")
	paid, err := s.client.Invoices.Pay(inv.ID, nil)
	require.NoError(t, err)
	require.EqualValues(t, 1600, paid.AmountPaid)
}
