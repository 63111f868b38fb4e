package stripe_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	stripesdk "github.com/stripe/stripe-go/v76"
)

func (s *shop) balance(t *testing.T) int64 {
	t.Helper()
	cus, err := s.client.Customers.Get(s.customer, nil)
	require.NoError(t, err)
	return cus.Balance
}

func (s *shop) setBalance(t *testing.T, cents int64) {
	t.Helper()
	require.Equal(t, http.StatusOK, s.do(t, "POST", "/v1/customers/"+s.customer, "balance="+strconv.FormatInt(cents, 10)).status)
}

// A customer's credit pays for invoices, what is left of it stays, and a debt is added to the next invoice. The total does not change.
func TestTheBalanceOfACustomer(t *testing.T) {
	s := openShop(t)
	s.setBalance(t, -300)
	sub := s.subscribe(t, s.params(s.basic)) // $10.00
	newest := func() *stripesdk.Invoice { return s.invoices(t, sub.ID)[0] }
	requireInvoice := func(inv *stripesdk.Invoice, starting, due, paid, ending int64) {
		t.Helper()
		require.EqualValues(t, 1000, inv.Total)
		require.Equal(t, []int64{starting, due, paid, ending}, []int64{inv.StartingBalance, inv.AmountDue, inv.AmountPaid, inv.EndingBalance})
	}
	requireInvoice(newest(), -300, 700, 700, 0)
	charges := s.client.Charges.List(&stripesdk.ChargeListParams{Customer: &s.customer})
	require.True(t, charges.Next())
	require.EqualValues(t, 700, charges.Charge().Amount)
	require.Zero(t, s.balance(t))

	s.setBalance(t, -5000)
	_, err := s.Renew(sub.ID)
	require.NoError(t, err)
	require.Equal(t, stripesdk.InvoiceStatusPaid, newest().Status)
	requireInvoice(newest(), -5000, 0, 0, -4000)
	require.EqualValues(t, -4000, s.balance(t))

	s.setBalance(t, 200)
	_, err = s.Renew(sub.ID)
	require.NoError(t, err)
	requireInvoice(newest(), 200, 1200, 1200, 0)
	require.Zero(t, s.balance(t))
}

// An upcoming invoice counts the credit and uses none of it. A voided invoice returns what it has used.
func TestTheBalanceOfUnpaidInvoices(t *testing.T) {
	s := openShop(t)
	sub := s.subscribe(t, s.params(s.basic))
	s.now.at = s.now.at.Add(time.Hour)
	s.setBalance(t, -300)
	params := &stripesdk.InvoiceUpcomingParams{Subscription: &sub.ID}
	next, err := s.client.Invoices.Upcoming(params)
	require.NoError(t, err)
	require.Equal(t, []int64{1000, -300, 700}, []int64{next.Total, next.StartingBalance, next.AmountDue})
	require.EqualValues(t, -300, s.balance(t))

	s.useCard(t, "pm_card_chargeCustomerFail")
	_, err = s.Renew(sub.ID)
	require.NoError(t, err)
	open := s.invoices(t, sub.ID)[0]
	require.Equal(t, stripesdk.InvoiceStatusOpen, open.Status)
	require.EqualValues(t, 700, open.AmountDue)
	require.Zero(t, s.balance(t))
	note, err := s.client.CreditNotes.New(&stripesdk.CreditNoteParams{Invoice: &open.ID, Amount: stripesdk.Int64(600)})
	require.NoError(t, err)
	require.EqualValues(t, 100, s.invoices(t, sub.ID)[0].AmountDue)
	_, err = s.client.CreditNotes.VoidCreditNote(note.ID, nil)
	require.NoError(t, err)
	require.EqualValues(t, 700, s.invoices(t, sub.ID)[0].AmountDue)
	require.Zero(t, s.balance(t))
	_, err = s.client.Invoices.VoidInvoice(open.ID, nil)
	require.NoError(t, err)
	require.EqualValues(t, -300, s.balance(t))
}

// A credit note for more than what is due of an invoice returns the credit that had paid for the rest.
func TestACreditNoteReturnsCredit(t *testing.T) {
	s := openShop(t)
	sub := s.subscribe(t, s.params(s.basic))
	s.setBalance(t, -300)
	s.useCard(t, "pm_card_chargeCustomerFail")
	_, err := s.Renew(sub.ID)
	require.NoError(t, err)
	_, err = s.client.CreditNotes.New(&stripesdk.CreditNoteParams{Invoice: &s.invoices(t, sub.ID)[0].ID, Amount: stripesdk.Int64(900)})
	require.NoError(t, err)
	inv := s.invoices(t, sub.ID)[0]
	require.Equal(t, stripesdk.InvoiceStatusPaid, inv.Status)
	require.Zero(t, inv.AmountDue)
	require.EqualValues(t, -200, s.balance(t))
}

// A payment on the page of a checkout session neither uses the customer's credit nor pays a debt: the card is charged what the invoice says.
func TestAOneTimePaymentLeavesTheBalance(t *testing.T) {
	for _, balance := range []int64{-500, 300} {
		s := openShop(t)
		s.setBalance(t, balance)
		p := s.checkout("payment") // $25.00
		p.Customer, p.InvoiceCreation = &s.customer, &stripesdk.CheckoutSessionInvoiceCreationParams{Enabled: stripesdk.Bool(true)}
		session, err := s.client.CheckoutSessions.New(p)
		require.NoError(t, err)
		_, err = s.Pay(session.ID, "visa", "")
		require.NoError(t, err)
		get := &stripesdk.CheckoutSessionParams{}
		get.AddExpand("invoice.charge")
		done, err := s.client.CheckoutSessions.Get(session.ID, get)
		require.NoError(t, err)
		inv := done.Invoice
		require.Equal(t, []int64{2500, 2500, 2500, 0, 0}, []int64{inv.Charge.Amount, inv.AmountPaid, inv.AmountDue, inv.StartingBalance, inv.EndingBalance})
		require.Equal(t, balance, s.balance(t))
	}
}
