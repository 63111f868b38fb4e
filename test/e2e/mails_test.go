package e2e

import (
	"encoding/json"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database/databasetest"
)

// payer is an account whose customer gets mails: each refund of its payment makes a notice, and each notice a mail.
type payer struct {
	*installation
	token, charge string
	refunds       int
}

// newPayer buys a pack of credit.
func (in *installation) newPayer(user, address string) *payer {
	in.t.Helper()
	p := &payer{installation: in, token: in.token(user, map[string]any{"ttl": "1h"})}
	var made struct{ CheckoutSession struct{ ID string } }
	in.post("/api/v1/billing/checkoutSessions", p.token,
		`{"packId":"credit_20","successUrl":"https://app.example.com/paid","cancelUrl":"https://app.example.com/"}`, &made)
	in.control(http.MethodPost, "/control/stripe/checkout/"+made.CheckoutSession.ID+"/pay", map[string]any{"email": address}, nil)
	stripe := providers{in.sandbox}
	raw, err := stripe.change(in.t.Context(), true, "stripe", http.MethodGet, "/v1/checkout/sessions/"+made.CheckoutSession.ID, nil)
	require.NoError(in.t, err)
	var session struct{ Customer, PaymentIntent string }
	require.NoError(in.t, json.Unmarshal([]byte(strings.ReplaceAll(string(raw), "payment_intent", "paymentIntent")), &session), "%s", raw)
	p.charge = session.PaymentIntent
	_, err = stripe.change(in.t.Context(), true, "stripe", http.MethodPost, "/v1/customers/"+session.Customer, map[string]any{"email": address})
	require.NoError(in.t, err)
	require.Eventually(in.t, func() bool { return in.account(p.token).Balance >= 20_000_000_000 }, time.Minute, 50*time.Millisecond, "the pack is bought")
	return p
}

// refund gives a cent back.
func (p *payer) refund() error {
	_, err := providers{p.sandbox}.change(p.t.Context(), false, "stripe", http.MethodPost, "/v1/refunds", map[string]any{"payment_intent": p.charge, "amount": 1})
	if err == nil {
		p.refunds++
	}
	return err
}

// noticed waits until each refund has its notice, and returns their ids.
func (p *payer) noticed() map[string]bool {
	p.t.Helper()
	ids := map[string]bool{}
	require.Eventually(p.t, func() bool {
		clear(ids)
		for page := ""; ; {
			var list struct {
				Notices       []struct{ ID string }
				NextPageToken string
			}
			p.get("/api/v1/billing/notices?kind=NOTICE_KIND_REFUNDED&pageToken="+url.QueryEscape(page), p.token, &list)
			for _, n := range list.Notices {
				ids[n.ID] = true
			}
			if page = list.NextPageToken; page == "" {
				return len(ids) == p.refunds
			}
		}
	}, 2*time.Minute, 100*time.Millisecond, "each refund has a notice")
	return ids
}

// mailed counts the mails of each notice that the sandbox's mail server took.
func (p *payer) mailed() map[string]int {
	p.t.Helper()
	var list struct {
		Messages []struct {
			MessageID string `json:"message_id"`
		}
	}
	p.control(http.MethodGet, "/email/messages", nil, &list)
	counts := map[string]int{}
	for _, m := range list.Messages {
		id, _, _ := strings.Cut(strings.TrimPrefix(m.MessageID, "<"), "@")
		counts[id]++
	}
	return counts
}

// requireMailedOnce waits until each notice was mailed, and requires that none was mailed twice.
func (p *payer) requireMailedOnce(notices map[string]bool) {
	p.t.Helper()
	var counts map[string]int
	missing := func() (n int) {
		counts = p.mailed()
		for id := range notices {
			if counts[id] == 0 {
				n++
			}
		}
		return n
	}
	for end := time.Now().Add(3 * time.Minute); missing() > 0; time.Sleep(100 * time.Millisecond) {
		require.True(p.t, time.Now().Before(end), "%d of %d notices were not mailed", missing(), len(notices))
	}
	for id := range notices {
		require.Equal(p.t, 1, counts[id], "the mails of notice %s", id)
	}
}

// A mail server that is down, and then a process that is killed while it sends a mail: each notice is mailed once.
func TestMailsAreSentOnce(t *testing.T) {
	b := audit{t: t, url: databasetest.PostgresURL(t)}
	var server *door
	in := splitWith(t, func(in *installation) []string {
		server = newDoor(t, in.smtp)
		return []string{
			"DATABASE_URL=" + b.url, "TRIVET_OPERATORS=user_operator", "CORS_ALLOWED_ORIGINS=https://app.example.com", "TRIVET_INBOX_RETRY_CAP=2s",
			"SMTP_ADDR=" + server.address, "SMTP_TLS=none", "SMTP_FROM=Acme <billing@acme.test>", "SMTP_PROBE_INTERVAL=0s", "SMTP_BREAKER_FAILURES=0",
		}
	})
	in.applyPlans()
	p := in.newPayer("user_payer", "ann@example.test")

	server.close(t)
	const refunds = 5
	for range refunds {
		require.NoError(t, p.refund())
	}
	notices := p.noticed()
	require.Eventually(t, func() bool {
		waiting := in.mails("?state=EVENT_STATE_PENDING")
		return len(waiting) == refunds && waiting[0].Attempts > 0 && strings.Contains(waiting[0].LastError, "the connection failed")
	}, time.Minute, 50*time.Millisecond, "they wait, and say why")
	require.Empty(t, p.mailed())

	in.control(http.MethodPost, "/control/faults", map[string]any{"provider": "email", "kind": "hang", "path": "/rcpt", "count": 2}, nil) // both workers: none may be between the server's reply and its own note of it
	server.open(t)
	struck := func() bool {
		var list struct{ Faults []any }
		in.control(http.MethodGet, "/control/faults", nil, &list)
		return len(list.Faults) == 0
	}
	require.Eventually(t, struck, time.Minute, 10*time.Millisecond, "two mails are being sent")
	in.program("billing").kill()
	in.again("billing")
	in.awaitReady()
	p.requireMailedOnce(notices)

	require.NoError(t, p.refund())
	notices = p.noticed()
	require.Len(t, notices, refunds+1)
	p.requireMailedOnce(notices)
	b.awaitDrained()
	require.Len(t, p.mailed(), refunds+1)
	require.NotContains(t, in.log.String(), "ann@example.test")
	in.verifyLedger()
}

// mails lists the queue of mails.
func (in *installation) mails(query string) []inboxEvent {
	in.t.Helper()
	var list struct{ Events []inboxEvent }
	in.get(inboxes["stripe"]+query+"&source=email", in.token("user_operator", nil), &list)
	return list.Events
}

// applyPlans makes the products and prices of the built-in plans at Stripe.
func (in *installation) applyPlans() {
	in.t.Helper()
	plans, err := filepath.Abs(filepath.Join("..", "..", "services", "billing", "internal", "plans", "plans.yaml"))
	require.NoError(in.t, err)
	out, err := in.operate("plans", "apply", plans, "--yes")
	require.NoError(in.t, err, out)
}
