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
		notices.TrialWillEnd:  {"Your trial of Pro <Team> ends soon", "Your trial of Pro <Team> ends on 9 March 2026.\n\nIf a payment method is saved, the plan is charged to it after that, unless you cancel before then."},
		notices.PaymentFailed: {"Your payment failed", "A payment of $23.80 for Pro <Team> failed.\n\nPlease pay the invoice or update your payment method. While it is unpaid, your account may lose the plan or its overage.\n\nPay the invoice:\nhttps://invoice.stripe.com/i/acct_1/test_1?s=ap&x=1"},
		notices.Recovered:     {"Your invoice is settled", "The open invoice for Pro <Team> is settled. Thank you.\n\nYour plan continues."},
		notices.Downgraded:    {"Your account has lost the plan Pro <Team>", "Your plan Pro <Team> was suspended on 9 March 2026.\n\nUntil it is resumed, the limits of the default plan apply. If an invoice is open, paying it resumes the plan."},
		notices.WillEnd:       {"Your plan Pro <Team> will end", "Your plan Pro <Team> is canceled. It ends on 9 March 2026."},
		notices.Ended:         {"Your plan Pro <Team> has ended", "Your plan Pro <Team> ended on 9 March 2026.\n\nThe limits of the default plan apply now."},
		notices.Changed:       {"Your plan has changed", "Your plan changed on 9 March 2026. It is now Pro <Team>, charged every year, with 10 seats."},
		notices.WillChange:    {"Your plan will change", "Your plan changes to Pro <Team> on 9 March 2026."},
		notices.Refunded:      {"A payment was refunded", "A payment of $23.80 was refunded on 9 March 2026.\n\nThe credit that it had bought is taken back in proportion."},
		notices.Disputed:      {"A payment is disputed", "A payment of $23.80 was disputed at your bank on 9 March 2026.\n\nThe credit that it had bought is taken back until the dispute is won."},
		notices.CheckoutFailed: {
			"Your purchase was not completed",
			"The first payment of your subscription was not made in time, so the subscription has not started.\n\nYou can buy it again at any time.",
		},
		notices.CreditThreshold: {
			"80% of your credit is used",
			"Your account has reached 80% of its credit of $23.80 in the billing period that began on 1 March 2026, 21:30 UTC. $19.05 is used.\n\nWithout credit, calls are refused unless your plan allows overage.",
		},
		notices.LimitThreshold: {
			"80% of a spend limit is used",
			"The member user_2 has reached 80% of the spend limit of $23.80 in the week that began on 1 March 2026, 21:30 UTC. $19.05 is used.\n\nCalls that would exceed the limit are refused.",
		},
		notices.OverageThreshold: {
			"80% of your overage is used",
			"Your account has reached 80% of the overage of $23.80 that your plan allows in the billing period that began on 1 March 2026, 21:30 UTC. $19.05 is used.\n\nCalls that would exceed it are refused.",
		},
		notices.TopUpSucceeded: {"Your automatic top-up was paid", "Your automatic top-up bought credit for $23.80, without tax, on 9 March 2026."},
		notices.TopUpFailed: {
			"Your automatic top-up failed",
			"An automatic top-up for $23.80 failed on 9 March 2026. No credit was bought.\n\nIf your payment method was declined, please update it.",
		},
		notices.TopUpAuthentication: {
			"Your bank asks you to confirm a payment",
			"Your bank asks you to authenticate a payment of $23.80 for an automatic top-up. The payment was canceled on 9 March 2026. No credit was bought.\n\nPlease buy the credit yourself, and then set up the automatic top-up again.",
		},
		notices.TopUpDisabled: {
			"Your automatic top-up is off",
			"Your automatic top-up was turned off on 9 March 2026 because several payments failed.\n\nIt buys no more credit until you set it up again.",
		},
		notices.SeatsExceeded: {
			"Your organization has more members than seats",
			"Your organization has 12 members. Pro <Team> has at most 10 seats.\n\nPlease change to a plan with more seats, or remove members.",
		},
	}
	require.Len(t, mailing.Mailable(), len(want))
	for _, kind := range mailing.Mailable() {
		n := notices.Notice{ID: "ntc_1", Kind: kind, UserID: "user_2", Data: notices.Data{
			Time: time.Date(2026, 3, 9, 23, 0, 0, 0, time.UTC), PlanID: "pro", Interval: "year", Amount: 23_800_000_000, Problem: "declined", Seats: 10, Members: 12,
			Percent: 80, Used: 19_050_000_000, Window: "week", WindowStart: time.Date(2026, 3, 1, 22, 30, 0, 0, time.FixedZone("", 3600)),
		}}
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

func TestTheOwnerAndTheWindowOfALimit(t *testing.T) {
	for name, c := range map[string]struct {
		user, key, window, want string
	}{
		"a member":         {user: "user_2", window: "hour", want: "The member user_2 has reached 100% of the spend limit of $1.00 in the hour that began on 9 March 2026, 23:00 UTC."},
		"an API key":       {key: "key_3", window: "billing_period", want: "The API key key_3 has reached 100% of the spend limit of $1.00 in the billing period that began on 9 March 2026, 23:00 UTC."},
		"a key's window":   {key: "key_3", want: "The API key key_3 has reached 100% of the spend limit of $1.00 in the window that began on 9 March 2026, 23:00 UTC."},
		"after an erasure": {window: "day", want: "A member has reached 100% of the spend limit of $1.00 in the day that began on 9 March 2026, 23:00 UTC."},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := letters().Write(notices.Notice{Kind: notices.LimitThreshold, UserID: c.user, Data: notices.Data{
				Percent: 100, Amount: 1_000_000_000, Used: 995_000_000, Window: c.window, APIKeyID: c.key, WindowStart: time.Date(2026, 3, 9, 23, 0, 0, 0, time.UTC),
			}}, "")
			require.NoError(t, err)
			require.Contains(t, got.Text, c.want+" $0.995 is used.")
		})
	}
}

func TestTheReasonThatATopUpIsOff(t *testing.T) {
	for problem, want := range map[string]string{
		"declined": "several payments failed", "authentication": "your bank asks you to authenticate the payment", "no_card": "your account has no payment method",
		"disputed": "a payment is disputed", "refunded": "a top-up was refunded", "<b>%a": "a payment failed",
	} {
		got, err := letters().Write(notices.Notice{Kind: notices.TopUpDisabled, Data: notices.Data{Problem: problem}}, "")
		require.NoError(t, err)
		require.Contains(t, got.Text, "because "+want+".")
	}
}

func TestAMailOfAFailedTopUpHasNoTextOfStripe(t *testing.T) {
	got, err := letters().Write(notices.Notice{Kind: notices.TopUpFailed, Data: notices.Data{Problem: "No such price: 'price_1'"}}, "")
	require.NoError(t, err)
	require.NotContains(t, got.Text+got.HTML, "price", "Stripe's text may name objects of the seller")
}
