package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/internal/allinone"
	"github.com/trivet-dev/trivet/internal/docgen"
	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/auth"
)

// brokenProviders refuse OpenAI's key, show the signing keys of another instance of Clerk and a webhook endpoint of Stripe that lacks
// an event.
type brokenProviders struct{ date time.Time }

func (p brokenProviders) RoundTrip(r *http.Request) (*http.Response, error) {
	status, body := http.StatusOK, "{}"
	switch r.URL.Path {
	case "/v1/models":
		status = http.StatusUnauthorized
	case "/v1/jwks":
		body = `{"keys":[{"kid":"ins_1"}]}`
	case "/.well-known/jwks.json":
		body = `{"keys":[{"kid":"ins_2"}]}`
	case "/v1/webhook_endpoints":
		body = `{"data":[{"url":"https://api.example.com/api/webhooks/stripe","status":"enabled","enabled_events":["charge.dispute.closed",
			"charge.dispute.created","charge.dispute.funds_reinstated","charge.refund.updated","charge.refunded","checkout.session.async_payment_failed",
			"checkout.session.async_payment_succeeded","checkout.session.completed","credit_note.created","credit_note.voided","customer.deleted",
			"customer.subscription.created","customer.subscription.deleted","customer.subscription.updated","customer.updated","invoice.paid",
			"subscription_schedule.created","subscription_schedule.updated"]}]}`
	}
	return &http.Response{
		StatusCode: status, Header: http.Header{"Date": {p.date.UTC().Format(http.TimeFormat)}}, Body: io.NopCloser(strings.NewReader(body)), Request: r,
	}, nil
}

// brokenSetUp returns the settings of a set-up in which something is wrong for almost every check.
func brokenSetUp(t *testing.T) map[string]string {
	t.Helper()
	folder := t.TempDir()
	key := filepath.Join(folder, "openai")
	require.NoError(t, os.WriteFile(key, []byte("sk-"+strings.Repeat("b", 40)), 0o600))
	require.NoError(t, os.Chmod(key, 0o644))
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	db, err := database.Open(t.Context(), database.For("auth", settings.NewSecret("sqlite://"+folder)))
	require.NoError(t, err)
	require.NoError(t, database.Migrate(t.Context(), db, auth.Migrations()[0]))
	require.NoError(t, db.Close(context.Background()))
	return map[string]string{
		"TRIVET_ENV": "production", "TRIVET_DATA_DIR": folder, "TRIVET_HTTP_ADDR": listener.Addr().String(),
		"TRIVET_GRPC_ADDR": "127.0.0.1:0", "TRIVET_OPS_ADDR": "0.0.0.0:0",
		"CLERK_SECRET_KEY": "sk_test_" + strings.Repeat("a", 40), "CLERK_ISSUER": "https://clerk.example.com", "CLERK_WEBHOOK_SECRET": "whsec_" + strings.Repeat("QUJD", 8),
		"OPENAI_API_KEY_FILE": key, "STRIPE_SECRET_KEY": "sk_live_" + strings.Repeat("c", 40), "STRIPE_API_URL": "http://stripe.internal:12111",
		"CORS_ALLOWED_ORIGINS": "http://app.example.com", "REDIS_URL": "redis://127.0.0.1:1", "SMTP_ADDR": "127.0.0.1:1", "SMTP_TLS": "none", "SMTP_FROM": "Acme <billing@example.com>",
	}
}

// docs/operations.md shows what the doctor prints about a broken set-up.
func TestDoctorOutputIsDocumented(t *testing.T) {
	values := brokenSetUp(t)
	now := time.Date(2026, 11, 29, 9, 0, 0, 0, time.UTC)
	env := settings.Env{Get: func(name string) string { return values[name] }, Names: []string{"TRIVET_HTP_ADDR"}}
	result, err := allinone.Doctor(t.Context(), env, allinone.DoctorOptions{
		Progress: io.Discard, Transport: brokenProviders{now.Add(-90 * time.Second)}, Now: func() time.Time { return now },
		Free: func(string) (uint64, error) { return 150 << 20, nil },
	})
	require.NoError(t, err)
	require.False(t, result.Healthy)
	var out bytes.Buffer
	require.NoError(t, show(&out, result, false))
	require.NotContains(t, out.String(), strings.Repeat("c", 40))
	printed := strings.NewReplacer(values["TRIVET_HTTP_ADDR"], "127.0.0.1:8080", values["TRIVET_DATA_DIR"], "/var/lib/trivet").Replace(out.String())
	page := filepath.Join("..", "..", "docs", "operations.md")
	committed, err := os.ReadFile(page)
	require.NoError(t, err)
	want, err := docgen.Replace(string(committed), "doctor", "```text\n$ trivet doctor\n"+printed+"```\n")
	require.NoError(t, err)
	if os.Getenv("TRIVET_WRITE_DOCS") != "" {
		require.NoError(t, os.WriteFile(page, []byte(want), 0o600))
		return
	}
	require.Equal(t, want, string(committed), "run `make docs` and commit")
}
