package mailing_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/mailing"
	"github.com/trivet-dev/trivet/services/billing/internal/notices"
)

func letters() mailing.Letters {
	return mailing.Letters{
		Product: "Acme & Co", ManageURL: "https://app.example.com/billing", PayOrigins: []string{"https://invoice.stripe.com"},
		PlanName: func(id string) string { return map[string]string{"pro": "Pro <Team>"}[id] },
	}
}

func TestTheTextOfEachKind(t *testing.T) {
	const manage = "\n\nManage your plan and payments:\nhttps://app.example.com/billing\n\nAcme & Co\n"
	want := map[notices.Kind][2]string{
		notices.TrialStarted:  {"Your trial of Pro <Team> has started", "Your trial of Pro <Team> has started. It ends on 9 March 2026."},
		notices.TrialWillEnd:  {"Your trial of Pro <Team> ends soon", "Your trial of Pro <Team> ends on 9 March 2026.\n\nThen the plan is charged to your payment method, unless you cancel it before."},
		notices.PaymentFailed: {"Your payment failed", "A payment of $23.80 for Pro <Team> failed.\n\nPlease pay the invoice or update your payment method. Otherwise your account loses the plan.\n\nPay the invoice:\nhttps://invoice.stripe.com/i/acct_1/test_1?s=ap&x=1"},
		notices.Recovered:     {"Your payment was received", "The open invoice for Pro <Team> is settled. Thank you.\n\nYour plan continues."},
		notices.Downgraded:    {"Your account has lost the plan Pro <Team>", "Your plan Pro <Team> is suspended since 9 March 2026.\n\nIt continues when your open invoices are paid. Until then, the limits of the default plan apply."},
		notices.WillEnd:       {"Your plan Pro <Team> will end", "Your plan Pro <Team> is canceled. It ends on 9 March 2026."},
		notices.Ended:         {"Your plan Pro <Team> has ended", "Your plan Pro <Team> ended on 9 March 2026.\n\nThe limits of the default plan apply now."},
		notices.Changed:       {"Your plan has changed", "Your plan is Pro <Team> since 9 March 2026."},
		notices.WillChange:    {"Your plan will change", "Your plan changes to Pro <Team> on 9 March 2026."},
		notices.Refunded:      {"A payment was refunded", "A payment of $23.80 was refunded on 9 March 2026.\n\nThe credit that it had bought is taken back in proportion."},
		notices.Disputed:      {"A payment is disputed", "A payment of $23.80 was disputed at your bank on 9 March 2026.\n\nThe credit that it had bought is taken back until the dispute is won."},
		notices.CheckoutFailed: {
			"Your purchase was not completed",
			"The first payment of your subscription was not made in time, so the subscription has not started.\n\nYou can buy it again at any time.",
		},
	}
	require.Len(t, mailing.Mailable(), len(want))
	for _, kind := range mailing.Mailable() {
		n := notices.Notice{ID: "ntc_1", Kind: kind, Data: notices.Data{Time: time.Date(2026, 3, 9, 23, 0, 0, 0, time.UTC), PlanID: "pro", Amount: 23_800_000_000}}
		got, err := letters().Write(n, "https://invoice.stripe.com/i/acct_1/test_1?s=ap&x=1")
		require.NoError(t, err)
		require.Equal(t, want[kind][0], got.Subject, kind)
		require.Equal(t, want[kind][1]+manage, got.Text, kind)
		require.NotContains(t, got.HTML, "<Team>", "it is escaped")
		require.Contains(t, got.HTML, `<p><a href="https://app.example.com/billing">Manage your plan and payments</a></p>`)
		require.Contains(t, got.HTML, "<p>Acme &amp; Co</p>")
		require.Equal(t, kind == notices.PaymentFailed, strings.Contains(got.HTML, `<a href="https://invoice.stripe.com/i/acct_1/test_1?s=ap&amp;x=1">Pay the invoice</a>`), kind)
	}
	for _, kind := range []notices.Kind{notices.Unmapped, notices.DuplicateSubscription, notices.OverageRefused, ""} {
		_, err := letters().Write(notices.Notice{Kind: kind}, "")
		require.Error(t, err, "%q is for operators", kind)
	}
}

func TestLinksLeadOnlyToAllowedOrigins(t *testing.T) {
	for _, address := range []string{
		"", "https://evil.test/i", "http://invoice.stripe.com/i", "https://invoice.stripe.com.evil.test/i", "https://invoice.stripe.com:8443/i",
		"https://invoice.stripe.com@evil.test/i", "https://u:p@invoice.stripe.com/i", "javascript:alert(1)", "://", "//invoice.stripe.com/i",
	} {
		got, err := letters().Write(notices.Notice{Kind: notices.PaymentFailed}, address)
		require.NoError(t, err)
		require.NotContains(t, got.Text+got.HTML, "Pay the invoice", address)
		require.Contains(t, got.Text, "A payment of $0.00 for your subscription failed.")
	}
	l := letters()
	l.ManageURL = ""
	got, err := l.Write(notices.Notice{Kind: notices.Ended, Data: notices.Data{PlanID: "gone"}}, "")
	require.NoError(t, err)
	require.NotContains(t, got.Text+got.HTML, "http")
	require.Equal(t, "Your plan gone has ended", got.Subject, "a plan that is not known any more has its id")
}
