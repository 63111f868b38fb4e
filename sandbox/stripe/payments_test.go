package stripe_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	stripesdk "github.com/stripe/stripe-go/v76"
)

func TestCardsAreAttachedAndDetached(t *testing.T) {
	s := openShop(t)
	m, err := s.client.PaymentMethods.New(&stripesdk.PaymentMethodParams{
		Type: stripesdk.String("card"), Card: &stripesdk.PaymentMethodCardParams{Number: stripesdk.String("5555555555554444"), ExpMonth: stripesdk.Int64(3), ExpYear: stripesdk.Int64(2031), CVC: stripesdk.String("123")},
		BillingDetails: &stripesdk.PaymentMethodBillingDetailsParams{Name: stripesdk.String("Ada"), Address: &stripesdk.AddressParams{City: stripesdk.String("London")}},
	})
	require.NoError(t, err)
	require.Equal(t, "4444", m.Card.Last4)
	require.Equal(t, stripesdk.PaymentMethodCardBrandMastercard, m.Card.Brand)
	require.EqualValues(t, 2031, m.Card.ExpYear)
	require.Equal(t, "London", m.BillingDetails.Address.City)
	require.Nil(t, m.Customer)
	m, err = s.client.PaymentMethods.Attach(m.ID, &stripesdk.PaymentMethodAttachParams{Customer: &s.customer})
	require.NoError(t, err)
	require.Equal(t, s.customer, m.Customer.ID)
	_, err = s.client.PaymentMethods.Update(m.ID, &stripesdk.PaymentMethodParams{Card: &stripesdk.PaymentMethodCardParams{ExpMonth: stripesdk.Int64(7)}})
	require.NoError(t, err)
	events := s.recorded.take(t)
	require.Equal(t, stripesdk.EventTypePaymentMethodAttached, events[0].Type)
	require.Equal(t, map[string]any{"card": map[string]any{"exp_month": 3.0}}, events[1].Data.PreviousAttributes)

	count := 0
	for it := s.client.Customers.ListPaymentMethods(&stripesdk.CustomerListPaymentMethodsParams{Customer: &s.customer, Type: stripesdk.String("card")}); it.Next(); count++ {
		require.Equal(t, s.customer, it.PaymentMethod().Customer.ID)
	}
	require.Equal(t, 2, count)
	_, err = s.client.PaymentMethods.Detach(s.card, nil)
	require.NoError(t, err)
	events = s.recorded.take(t)
	require.Equal(t, stripesdk.EventTypePaymentMethodDetached, events[0].Type)
	require.Equal(t, s.customer, events[0].Data.PreviousAttributes["customer"])
	require.Equal(t, stripesdk.EventTypeCustomerUpdated, events[1].Type, "it was the default")
	_, err = s.client.PaymentMethods.Detach(s.card, nil)
	require.Error(t, err)
	_, err = s.client.PaymentMethods.Attach("pm_none", &stripesdk.PaymentMethodAttachParams{Customer: &s.customer})
	require.Equal(t, http.StatusNotFound, sdkError(t, err).HTTPStatusCode)
	_, err = s.client.PaymentMethods.New(&stripesdk.PaymentMethodParams{Type: stripesdk.String("card"), Card: &stripesdk.PaymentMethodCardParams{Number: stripesdk.String("4111111111111111")}})
	require.Contains(t, sdkError(t, err).Msg, "test cards only")
	require.NotContains(t, sdkError(t, err).Msg, "4111")
	_, err = s.client.PaymentMethods.New(&stripesdk.PaymentMethodParams{Type: stripesdk.String("card")})
	require.Equal(t, "card", sdkError(t, err).Param)
}

func (s *shop) intent(card string) *stripesdk.PaymentIntentParams {
	return &stripesdk.PaymentIntentParams{
		Amount: stripesdk.Int64(5000), Currency: stripesdk.String("usd"), Customer: &s.customer, PaymentMethod: &card, Confirm: stripesdk.Bool(true), OffSession: stripesdk.Bool(true),
	}
}

func TestPaymentsRefundsAndDisputes(t *testing.T) {
	s := openShop(t)
	pi, err := s.client.PaymentIntents.New(s.intent(s.card))
	require.NoError(t, err)
	require.Equal(t, stripesdk.PaymentIntentStatusSucceeded, pi.Status)
	require.EqualValues(t, 5000, pi.AmountReceived)
	require.Equal(t, "payment_intent.created charge.succeeded payment_intent.succeeded", s.recorded.types(t))
	get := &stripesdk.ChargeParams{}
	get.AddExpand("refunds")
	refund, err := s.client.Refunds.New(&stripesdk.RefundParams{PaymentIntent: &pi.ID, Amount: stripesdk.Int64(2000), Reason: stripesdk.String("requested_by_customer")})
	require.NoError(t, err)
	require.Equal(t, stripesdk.RefundStatusSucceeded, refund.Status)
	ch, err := s.client.Charges.Get(pi.LatestCharge.ID, get)
	require.NoError(t, err)
	require.EqualValues(t, 2000, ch.AmountRefunded)
	require.False(t, ch.Refunded)
	require.Equal(t, refund.ID, ch.Refunds.Data[0].ID)
	require.Equal(t, "4242", ch.PaymentMethodDetails.Card.Last4)
	for want, p := range map[string]*stripesdk.RefundParams{
		"not between 1 and": {Charge: &ch.ID, Amount: stripesdk.Int64(3001)},
		"One of":            {},
		"No such charge":    {Charge: stripesdk.String("ch_x")},
	} {
		_, err = s.client.Refunds.New(p)
		require.Contains(t, sdkError(t, err).Msg, want)
	}
	_, err = s.client.Refunds.New(&stripesdk.RefundParams{Charge: &ch.ID})
	require.NoError(t, err)
	_, err = s.client.Refunds.New(&stripesdk.RefundParams{Charge: &ch.ID})
	require.Equal(t, stripesdk.ErrorCodeChargeAlreadyRefunded, sdkError(t, err).Code)
	require.Equal(t, "refund.created charge.refunded refund.created charge.refunded", s.recorded.types(t))
	_, err = s.client.Refunds.Update(refund.ID, &stripesdk.RefundParams{Metadata: map[string]string{"ticket": "7"}})
	require.NoError(t, err)
	refunds := s.client.Refunds.List(&stripesdk.RefundListParams{Charge: &ch.ID})
	require.True(t, refunds.Next())
	require.True(t, refunds.Next())
	require.Equal(t, "7", refunds.Refund().Metadata["ticket"])
	_, err = s.OpenDispute(ch.ID, "")
	require.ErrorContains(t, err, "refunded or disputed already")

	pi, err = s.client.PaymentIntents.New(s.intent(s.card))
	require.NoError(t, err)
	s.recorded.take(t)
	_, err = s.OpenDispute(pi.LatestCharge.ID, "boredom")
	require.ErrorContains(t, err, "boredom")
	d, err := s.OpenDispute(pi.LatestCharge.ID, "duplicate")
	require.NoError(t, err)
	require.Equal(t, "charge.dispute.created charge.dispute.funds_withdrawn charge.updated", s.recorded.types(t))
	disputes := s.client.Disputes.List(&stripesdk.DisputeListParams{Charge: &pi.LatestCharge.ID})
	require.True(t, disputes.Next())
	require.Equal(t, stripesdk.DisputeReasonDuplicate, disputes.Dispute().Reason)
	require.EqualValues(t, 5000, disputes.Dispute().Amount)
	answered, err := s.client.Disputes.Update(d.ID, &stripesdk.DisputeParams{Evidence: &stripesdk.DisputeEvidenceParams{UncategorizedText: stripesdk.String("no")}})
	require.NoError(t, err)
	require.Equal(t, stripesdk.DisputeStatusUnderReview, answered.Status)
	_, err = s.CloseDispute(d.ID, true)
	require.NoError(t, err)
	require.Equal(t, "charge.dispute.updated charge.dispute.updated charge.dispute.closed charge.dispute.funds_reinstated", s.recorded.types(t))
	_, err = s.client.Disputes.Close(d.ID, nil)
	require.Contains(t, sdkError(t, err).Msg, "already closed")
	_, err = s.CloseDispute("dp_x", true)
	require.ErrorContains(t, err, "No such dispute")
}

func TestPaymentsThatFail(t *testing.T) {
	s := openShop(t)
	bad := s.useCard(t, "pm_card_chargeCustomerFail")
	s.recorded.take(t)
	_, err := s.client.PaymentIntents.New(s.intent(bad))
	e := sdkError(t, err)
	require.Equal(t, http.StatusPaymentRequired, e.HTTPStatusCode)
	require.Equal(t, stripesdk.ErrorTypeCard, e.Type)
	require.Equal(t, stripesdk.DeclineCodeGenericDecline, e.DeclineCode)
	require.Equal(t, stripesdk.PaymentIntentStatusRequiresPaymentMethod, e.PaymentIntent.Status)
	require.NotEmpty(t, e.ChargeID)
	require.Equal(t, "payment_intent.created charge.failed payment_intent.payment_failed", s.recorded.types(t))
	ch, err := s.client.Charges.Get(e.ChargeID, nil)
	require.NoError(t, err)
	require.False(t, ch.Paid)
	require.Equal(t, "card_declined", ch.FailureCode)
	_, err = s.client.Refunds.New(&stripesdk.RefundParams{Charge: &ch.ID})
	require.Contains(t, sdkError(t, err).Msg, "failed")
	pi, err := s.client.PaymentIntents.Confirm(e.PaymentIntent.ID, &stripesdk.PaymentIntentConfirmParams{PaymentMethod: &s.card})
	require.NoError(t, err)
	require.Equal(t, stripesdk.PaymentIntentStatusSucceeded, pi.Status)
	require.Nil(t, pi.LastPaymentError)

	asks := s.useCard(t, "pm_card_authenticationRequired")
	_, err = s.client.PaymentIntents.New(s.intent(asks))
	require.Equal(t, stripesdk.ErrorCodeAuthenticationRequired, sdkError(t, err).Code)
	present := s.intent(asks)
	present.OffSession = nil
	for _, agrees := range []bool{true, false} {
		pi, err = s.client.PaymentIntents.New(present)
		require.NoError(t, err)
		require.Equal(t, stripesdk.PaymentIntentStatusRequiresAction, pi.Status)
		require.NotNil(t, pi.NextAction)
		after, err := s.Authenticate(pi.ID, agrees)
		require.NoError(t, err)
		require.Equal(t, map[bool]string{true: "succeeded", false: "requires_payment_method"}[agrees], after.Status)
		_, err = s.Authenticate(pi.ID, agrees)
		require.ErrorContains(t, err, "does not wait for the payer")
	}
	canceled, err := s.client.PaymentIntents.Cancel(pi.ID, &stripesdk.PaymentIntentCancelParams{CancellationReason: stripesdk.String("abandoned")})
	require.NoError(t, err)
	require.Equal(t, stripesdk.PaymentIntentStatusCanceled, canceled.Status)
	_, err = s.client.PaymentIntents.Confirm(pi.ID, &stripesdk.PaymentIntentConfirmParams{PaymentMethod: &s.card})
	require.Equal(t, stripesdk.ErrorCodePaymentIntentUnexpectedState, sdkError(t, err).Code)
	for want, p := range map[string]*stripesdk.PaymentIntentParams{
		"amount":         {Currency: stripesdk.String("usd")},
		"currency":       {Amount: stripesdk.Int64(100)},
		"customer":       {Amount: stripesdk.Int64(100), Currency: stripesdk.String("usd"), Customer: stripesdk.String("cus_x")},
		"payment_method": {Amount: stripesdk.Int64(100), Currency: stripesdk.String("usd"), PaymentMethod: &s.card},
	} {
		_, err := s.client.PaymentIntents.New(p)
		require.Equal(t, want, sdkError(t, err).Param)
	}
}

func TestManualInvoices(t *testing.T) {
	s := openShop(t)
	item, err := s.client.InvoiceItems.New(&stripesdk.InvoiceItemParams{Customer: &s.customer, Amount: stripesdk.Int64(700), Currency: stripesdk.String("usd"), Description: stripesdk.String("overage")})
	require.NoError(t, err)
	inv, err := s.client.Invoices.New(&stripesdk.InvoiceParams{Customer: &s.customer, PendingInvoiceItemsBehavior: stripesdk.String("include")})
	require.NoError(t, err)
	require.Equal(t, stripesdk.InvoiceStatusDraft, inv.Status)
	require.EqualValues(t, 700, inv.Total)
	require.Equal(t, item.ID, inv.Lines.Data[0].InvoiceItem.ID)
	_, err = s.client.InvoiceItems.New(&stripesdk.InvoiceItemParams{Customer: &s.customer, Invoice: &inv.ID, Quantity: stripesdk.Int64(3), UnitAmountDecimal: stripesdk.Float64(0.5), Currency: stripesdk.String("usd")})
	require.NoError(t, err)
	inv, err = s.client.Invoices.FinalizeInvoice(inv.ID, nil)
	require.NoError(t, err)
	require.EqualValues(t, 702, inv.AmountDue, "3 × 0.5 is 1.5, halves go up")
	require.Equal(t, stripesdk.InvoiceStatusOpen, inv.Status)
	inv, err = s.client.Invoices.Pay(inv.ID, nil)
	require.NoError(t, err)
	require.Equal(t, stripesdk.InvoiceStatusPaid, inv.Status)
	require.Equal(t, "invoiceitem.created invoice.created invoiceitem.created invoice.updated customer.updated payment_intent.created invoice.updated invoice.finalized "+
		"charge.succeeded payment_intent.succeeded invoice.updated invoice.paid invoice.payment_succeeded", s.recorded.types(t))
	lines := s.client.Invoices.ListLines(&stripesdk.InvoiceListLinesParams{Invoice: &inv.ID})
	require.True(t, lines.Next())
	require.True(t, lines.Next())
	_, err = s.client.Invoices.Pay(inv.ID, nil)
	require.Contains(t, sdkError(t, err).Msg, "already paid")

	once, err := s.client.Prices.New(&stripesdk.PriceParams{
		Currency: stripesdk.String("usd"), UnitAmount: stripesdk.Int64(3000), ProductData: &stripesdk.PriceProductDataParams{Name: stripesdk.String("Setup")},
	})
	require.NoError(t, err)
	draft := func() *stripesdk.Invoice {
		inv, err := s.client.Invoices.New(&stripesdk.InvoiceParams{Customer: &s.customer, CollectionMethod: stripesdk.String("send_invoice"), DaysUntilDue: stripesdk.Int64(7)})
		require.NoError(t, err)
		_, err = s.client.InvoiceItems.New(&stripesdk.InvoiceItemParams{Customer: &s.customer, Invoice: &inv.ID, Price: &once.ID})
		require.NoError(t, err)
		return inv
	}
	sent, err := s.client.Invoices.SendInvoice(draft().ID, nil)
	require.NoError(t, err)
	require.EqualValues(t, 3000, sent.AmountDue)
	voided, err := s.client.Invoices.VoidInvoice(sent.ID, nil)
	require.NoError(t, err)
	require.Equal(t, stripesdk.InvoiceStatusVoid, voided.Status)
	lost, err := s.client.Invoices.SendInvoice(draft().ID, nil)
	require.NoError(t, err)
	lost, err = s.client.Invoices.MarkUncollectible(lost.ID, nil)
	require.NoError(t, err)
	require.Equal(t, stripesdk.InvoiceStatusUncollectible, lost.Status)
	gone, err := s.client.Invoices.Del(draft().ID, nil)
	require.NoError(t, err)
	require.True(t, gone.Deleted)
	_, err = s.client.Invoices.Del(lost.ID, nil)
	require.Contains(t, sdkError(t, err).Msg, "draft invoices")
	updated, err := s.client.Invoices.Update(draft().ID, &stripesdk.InvoiceParams{Description: stripesdk.String("thanks")})
	require.NoError(t, err)
	require.Equal(t, "thanks", updated.Description)

	nothing, err := s.client.Invoices.New(&stripesdk.InvoiceParams{Customer: &s.customer})
	require.NoError(t, err)
	nothing, err = s.client.Invoices.FinalizeInvoice(nothing.ID, nil)
	require.NoError(t, err)
	require.True(t, nothing.Paid, "who owes nothing has paid")
	for status, want := range map[string]int{"paid": 2, "void": 1, "uncollectible": 1, "draft": 1} {
		n := 0
		for it := s.client.Invoices.List(&stripesdk.InvoiceListParams{Status: &status}); it.Next(); n++ {
			require.Equal(t, status, string(it.Invoice().Status))
		}
		require.Equal(t, want, n, status)
	}
	for want, p := range map[string]*stripesdk.InvoiceItemParams{
		"customer": {Amount: stripesdk.Int64(1)},
		"amount":   {Customer: &s.customer},
		"invoice":  {Customer: &s.customer, Amount: stripesdk.Int64(1), Invoice: &lost.ID},
		"price":    {Customer: &s.customer, Price: stripesdk.String("price_x")},
	} {
		_, err := s.client.InvoiceItems.New(p)
		require.Equal(t, want, sdkError(t, err).Param)
	}
	_, err = s.client.InvoiceItems.New(&stripesdk.InvoiceItemParams{Customer: &s.customer, Price: &s.pro.ID})
	require.Contains(t, sdkError(t, err).Msg, "type=one_time")
	_, err = s.client.Prices.Update(once.ID, &stripesdk.PriceParams{Active: stripesdk.Bool(false)})
	require.NoError(t, err)
	_, err = s.client.InvoiceItems.New(&stripesdk.InvoiceItemParams{Customer: &s.customer, Price: &once.ID})
	require.Contains(t, sdkError(t, err).Msg, "is inactive")
	waiting, err := s.client.InvoiceItems.New(&stripesdk.InvoiceItemParams{Customer: &s.customer, Amount: stripesdk.Int64(-5)})
	require.NoError(t, err)
	_, err = s.client.InvoiceItems.Del(waiting.ID, nil)
	require.NoError(t, err)
	_, err = s.client.InvoiceItems.Get(waiting.ID, nil)
	require.Equal(t, stripesdk.ErrorCodeResourceMissing, sdkError(t, err).Code)
}
