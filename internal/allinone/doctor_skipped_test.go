package allinone

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The doctor does not call in order what it did not examine: it says what that is, and why.
func TestDoctorSaysWhatItDidNotCheck(t *testing.T) {
	const dashboard = "the webhook endpoints: Clerk has no call that lists them; compare them with INTEGRATIONS.md in its dashboard"
	// What a good set-up on SQLite does not have before its first start.
	usual := map[string]string{
		"files": "no setting names a file", "targets": "the price list has no targets", "mail server": "SMTP_ADDR is not set; in development the sandbox stands in",
		"receivers": "no receiver is set", "database": "the first start makes the file", "Redis": "REDIS_URL is not set",
	}
	set := func(pairs ...string) func(*testing.T, *patient) {
		return func(_ *testing.T, p *patient) {
			for i := 0; i+1 < len(pairs); i += 2 {
				p.values[pairs[i]] = pairs[i+1]
			}
		}
	}
	for name, tc := range map[string]struct {
		change func(*testing.T, *patient)
		// also is what is left out beside the usual, by check; "" for what is examined.
		also map[string]string
	}{
		"a good set-up": {set(), nil},
		"sandboxes": {set("CLERK_SECRET_KEY", "", "CLERK_ISSUER", "", "OPENAI_API_KEY", "", "STRIPE_SECRET_KEY", ""), map[string]string{
			"Clerk":  "CLERK_SECRET_KEY is not set; in development the sandbox stands in",
			"OpenAI": "OPENAI_API_KEY is not set; in development the sandbox stands in",
			"Stripe": "STRIPE_SECRET_KEY is not set; in development the sandbox stands in",
			"clock":  "no provider was asked, or none answered with its time",
		}},
		"production": {set("TRIVET_ENV", "production", "OPENAI_API_KEY", ""), map[string]string{
			"OpenAI": "OPENAI_API_KEY is not set", "mail server": "SMTP_ADDR is not set",
		}},
		"wrong settings": {set("CLERK_API_URL", "x", "OPENAI_BASE_URL", "x", "STRIPE_API_URL", "x", "DATABASE_URL", "x", "MODELS_FILE", "/missing"), map[string]string{
			"Clerk":    "CLERK_API_URL or CLERK_SECRET_KEY is missing or wrong",
			"OpenAI":   "OPENAI_BASE_URL is missing or wrong",
			"Stripe":   "STRIPE_API_URL or STRIPE_SECRET_KEY is missing or wrong",
			"clock":    "no provider was asked, or none answered with its time",
			"targets":  "MODELS_FILE is missing or wrong",
			"database": "DATABASE_URL is missing or wrong",
			"disk":     "DATABASE_URL names no file; look at the disk of the PostgreSQL server",
		}},
		"PostgreSQL": {set("DATABASE_URL", "postgres://trivet@127.0.0.1:1/trivet"), map[string]string{
			"database": "", "disk": "DATABASE_URL names no file; look at the disk of the PostgreSQL server",
		}},
		"a file and a receiver": {func(t *testing.T, p *patient) {
			path := filepath.Join(t.TempDir(), "key")
			require.NoError(t, os.WriteFile(path, []byte(p.values["OPENAI_API_KEY"]), 0o600))
			p.values["OPENAI_API_KEY"], p.values["OPENAI_API_KEY_FILE"] = "", path
			p.values["TRIVET_ALERT_URL"] = "http://127.0.0.1:1/x"
		}, map[string]string{"files": "", "receivers": ""}},
		"a running Trivet": {func(t *testing.T, p *patient) {
			server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			t.Cleanup(server.Close)
			p.values["TRIVET_OPS_ADDR"] = strings.TrimPrefix(server.URL, "http://")
		}, map[string]string{"ports": "a running Trivet uses them"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPatient(t)
			tc.change(t, p)
			left := map[string]string{}
			for _, c := range p.examine(t).Checks {
				require.NotNil(t, c.NotChecked, "the list is [] in JSON")
				if c.Checked {
					require.Subset(t, []string{dashboard}, c.NotChecked)
					continue
				}
				require.Empty(t, c.Findings, c.Check)
				require.Len(t, c.NotChecked, 1, c.Check)
				left[c.Check] = c.NotChecked[0]
			}
			want := map[string]string{}
			for _, from := range []map[string]string{usual, tc.also} {
				for check, reason := range from {
					if want[check] = reason; reason == "" {
						delete(want, check)
					}
				}
			}
			require.Equal(t, want, left)
		})
	}
}

// A check that was made in part says which part is missing.
func TestDoctorSaysWhatPartItDidNotCheck(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*testing.T, *patient)
		check  string
		want   string
	}{
		"Clerk's endpoints": {func(*testing.T, *patient) {}, "Clerk", "the webhook endpoints: Clerk has no call that lists them"},
		"a refused key of Clerk": {func(_ *testing.T, p *patient) {
			p.providers.status = map[string]int{"/v1/users": 401}
		}, "Clerk", "belong to the same instance: Clerk did not show its signing keys"},
		"a refused key of Stripe": {func(_ *testing.T, p *patient) {
			p.providers.status = map[string]int{"/v1/customers": 403}
		}, "Stripe", "the webhook endpoints: Stripe does not take the newest key"},
		"one file of three": {func(t *testing.T, p *patient) { p.migrateAuth(t) }, "database", "the store of ai and of billing: the first start makes the file"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPatient(t)
			tc.change(t, p)
			for _, c := range p.examine(t).Checks {
				if c.Check != tc.check {
					continue
				}
				require.True(t, c.Checked)
				require.Contains(t, strings.Join(c.NotChecked, "\n"), tc.want)
			}
		})
	}
}
