package allinone

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/redistest"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/sandbox/email"
	"github.com/trivet-dev/trivet/services/auth"
)

// providers answers for all providers at once, by path, or by path and Authorization.
type providers struct {
	status map[string]int
	bodies map[string]string
	date   time.Time
	err    error
	asked  []string
}

func (p *providers) RoundTrip(r *http.Request) (*http.Response, error) {
	p.asked = append(p.asked, r.Method+" "+r.URL.Host+r.URL.Path+" "+r.Header.Get("Authorization")+r.Header.Get("Api-Key"))
	if p.err != nil {
		return nil, p.err
	}
	status, body := http.StatusOK, "{}"
	for _, name := range []string{r.URL.Path, r.URL.Path + " " + r.Header.Get("Authorization")} {
		if s, ok := p.status[name]; ok {
			status = s
		}
		if b, ok := p.bodies[name]; ok {
			body = b
		}
	}
	return &http.Response{
		StatusCode: status, Header: http.Header{"Date": {p.date.UTC().Format(http.TimeFormat)}}, Body: io.NopCloser(strings.NewReader(body)), Request: r,
	}, nil
}

const endpoint = `{"data":[{"url":"https://api.example.com/api/webhooks/stripe","status":"enabled","enabled_events":["*"]}]}`

// patient is an installation that the doctor examines, and that is in order.
type patient struct {
	values    map[string]string
	names     []string
	providers *providers
	free      uint64
	folder    string // whose free space was read
	now       time.Time
	progress  bytes.Buffer
}

func newPatient(t *testing.T) *patient {
	t.Helper()
	now := time.Date(2026, 11, 29, 9, 0, 0, 0, time.UTC)
	return &patient{
		values: map[string]string{
			"TRIVET_DATA_DIR": t.TempDir(), "TRIVET_HTTP_ADDR": freeAddress(t), "TRIVET_GRPC_ADDR": "127.0.0.1:0", "TRIVET_OPS_ADDR": freeAddress(t),
			"CLERK_SECRET_KEY": "sk_test_" + strings.Repeat("a", 40), "CLERK_ISSUER": "https://clerk.example.com",
			"OPENAI_API_KEY": "sk-" + strings.Repeat("b", 40), "STRIPE_SECRET_KEY": "sk_test_" + strings.Repeat("c", 40),
		},
		providers: &providers{date: now, bodies: map[string]string{
			"/v1/webhook_endpoints": endpoint, "/v1/jwks": `{"keys":[{"kid":"ins_1"}]}`, "/.well-known/jwks.json": `{"keys":[{"kid":"ins_0"},{"kid":"ins_1"}]}`,
		}},
		free: 100 << 30, now: now,
	}
}

func (p *patient) freeBytes(folder string) (uint64, error) {
	p.folder = folder
	return p.free, nil
}

func (p *patient) examine(t *testing.T) *Diagnosis {
	t.Helper()
	env := settings.Env{Get: func(name string) string { return p.values[name] }, Names: p.names}
	result, err := Doctor(t.Context(), env, DoctorOptions{
		Progress: &p.progress, Transport: p.providers, Now: func() time.Time { return p.now }, Free: p.freeBytes,
	})
	require.NoError(t, err)
	return result
}

func TestDoctorFindsNothingInAGoodSetUp(t *testing.T) {
	p := newPatient(t)
	result := p.examine(t)
	require.True(t, result.Healthy)
	require.Len(t, result.Checks, 13)
	for _, c := range result.Checks {
		require.Empty(t, c.Findings, c.Check)
		require.NotNil(t, c.Findings, "the list is [] in JSON")
		require.Contains(t, p.progress.String(), "checking "+c.Check+" …\n")
	}
	for _, asked := range p.providers.asked {
		require.True(t, strings.HasPrefix(asked, "GET "), "the doctor only reads: %s", asked)
	}
	require.Len(t, p.providers.asked, 6)
	require.Contains(t, p.providers.asked, "GET api.openai.com/v1/models Bearer sk-"+strings.Repeat("b", 40))
	entries, err := os.ReadDir(p.values["TRIVET_DATA_DIR"])
	require.NoError(t, err)
	require.Empty(t, entries, "the doctor makes no files")
}

// The database's disk counts, wherever DATABASE_URL puts the file.
func TestDoctorLooksAtTheDatabasesDisk(t *testing.T) {
	for url, want := range map[string]string{"": "data", "sqlite://elsewhere": "elsewhere", "sqlite://elsewhere/trivet.db": "elsewhere"} {
		p := newPatient(t)
		base := p.values["TRIVET_DATA_DIR"]
		p.values["TRIVET_DATA_DIR"] = filepath.Join(base, "data")
		if url != "" {
			p.values["DATABASE_URL"] = strings.Replace(url, "elsewhere", filepath.Join(base, "elsewhere"), 1)
		}
		p.examine(t)
		require.Equal(t, filepath.Join(base, want), p.folder, url)
	}
	p := newPatient(t)
	p.values["DATABASE_URL"] = "postgres://localhost:1/x"
	p.examine(t)
	require.Empty(t, p.folder, "PostgreSQL has a disk of its own")
}

func TestDoctorFindings(t *testing.T) {
	live := map[string]string{
		"TRIVET_ENV": "production", "CLERK_SECRET_KEY": "sk_live_" + strings.Repeat("a", 40), "STRIPE_SECRET_KEY": "sk_live_" + strings.Repeat("c", 40),
		"CLERK_WEBHOOK_SECRET": "whsec_" + strings.Repeat("QUJD", 8), "STRIPE_WEBHOOK_SECRET": "whsec_" + strings.Repeat("d", 32),
	}
	const earlier = "sk_test_hunter2"
	type change = func(t *testing.T, p *patient)
	set := func(pairs ...string) change {
		return func(_ *testing.T, p *patient) {
			for i := 0; i+1 < len(pairs); i += 2 {
				p.values[pairs[i]] = pairs[i+1]
			}
		}
	}
	production := func(pairs ...string) change {
		return func(t *testing.T, p *patient) {
			for name, value := range live {
				p.values[name] = value
			}
			set(pairs...)(t, p)
		}
	}
	answers := func(path string, status int) change {
		return func(_ *testing.T, p *patient) { p.providers.status = map[string]int{path: status} }
	}
	list := func(name string) change {
		return func(_ *testing.T, p *patient) { p.values[name] += "," + earlier }
	}
	both := func(all ...change) change {
		return func(t *testing.T, p *patient) {
			for _, one := range all {
				one(t, p)
			}
		}
	}
	reached := func(t *testing.T, p *patient) {
		server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the doctor sent a request to a receiver") }))
		t.Cleanup(server.Close)
		p.values["TRIVET_ALERT_URL"] = server.URL
	}
	target := func() change { return func(t *testing.T, p *patient) { p.targets(t) } }
	endpoints := func(body string) change {
		return func(_ *testing.T, p *patient) { p.providers.bodies["/v1/webhook_endpoints"] = body }
	}
	for _, c := range []struct {
		name    string
		change  change
		check   string
		level   string
		setting string
		what    string
	}{
		{"a malformed setting", set("TRIVET_HTTP_ADDR", "8080"), "settings", FindingError, "TRIVET_HTTP_ADDR", "is not an address"},
		{"a key of another kind", production("STRIPE_SECRET_KEY", "pk_live_x"), "settings", FindingError, "STRIPE_SECRET_KEY", ""},
		{"a wildcard for origins", production("CORS_ALLOWED_ORIGINS", "*"), "settings", FindingError, "CORS_ALLOWED_ORIGINS", ""},
		{"a misspelled setting", func(_ *testing.T, p *patient) { p.names = []string{"TRIVET_HTP_ADDR"} }, "settings", FindingWarning, "TRIVET_HTP_ADDR", "is not a setting"},
		{"a live key in development", set("STRIPE_SECRET_KEY", live["STRIPE_SECRET_KEY"]), "settings", FindingWarning, "STRIPE_SECRET_KEY", "is a live key"},
		{"a test key in production", production("CLERK_SECRET_KEY", "sk_test_"+strings.Repeat("a", 40)), "settings", FindingWarning, "CLERK_SECRET_KEY", "test key"},
		{"no webhook secret in production", production("STRIPE_WEBHOOK_SECRET", ""), "settings", FindingError, "STRIPE_WEBHOOK_SECRET", "is not set"},
		{"plain HTTP to a provider", production("OPENAI_BASE_URL", "http://models.internal/v1"), "settings", FindingWarning, "OPENAI_BASE_URL", "plain HTTP"},
		{"plain HTTP to a port", production("OPENAI_BASE_URL", "http://models.internal:8000/v1"), "settings", FindingWarning, "OPENAI_BASE_URL", "plain HTTP"},
		{"plain HTTP of alerts", production("TRIVET_ALERT_URL", "http://hooks.internal/x"), "settings", FindingWarning, "TRIVET_ALERT_URL", "plain HTTP"},
		{"an open ops address", production("TRIVET_OPS_ADDR", "0.0.0.0:0"), "settings", FindingWarning, "TRIVET_OPS_ADDR", "other machines"},
		{"a secret that others may read", func(t *testing.T, p *patient) {
			path := filepath.Join(t.TempDir(), "key")
			require.NoError(t, os.WriteFile(path, []byte(p.values["OPENAI_API_KEY"]), 0o600))
			require.NoError(t, os.Chmod(path, 0o644))
			p.values["OPENAI_API_KEY"], p.values["OPENAI_API_KEY_FILE"] = "", path
		}, "files", FindingWarning, "OPENAI_API_KEY_FILE", "mode 0644"},
		{"a refused key of Clerk", answers("/v1/users", 401), "Clerk", FindingError, "CLERK_SECRET_KEY", "refuses the key"},
		{"a refused key of OpenAI", answers("/v1/models", 401), "OpenAI", FindingError, "OPENAI_API_KEY", "refuses the key"},
		{"a refused key of Stripe", answers("/v1/customers", 401), "Stripe", FindingError, "STRIPE_SECRET_KEY", "refuses the key"},
		{"an earlier key that Clerk refuses", both(list("CLERK_SECRET_KEY"), answers("/v1/users Bearer "+earlier, 401)), "Clerk", FindingWarning, "CLERK_SECRET_KEY", "Clerk refuses key 2 of 2 (401)"},
		{"an earlier key that OpenAI refuses", both(list("OPENAI_API_KEY"), answers("/v1/models Bearer "+earlier, 401)), "OpenAI", FindingWarning, "OPENAI_API_KEY", "OpenAI refuses key 2 of 2 (401)"},
		{"an earlier key that Stripe refuses", both(list("STRIPE_SECRET_KEY"), answers("/v1/customers Bearer "+earlier, 401)), "Stripe", FindingWarning, "STRIPE_SECRET_KEY", "Stripe refuses key 2 of 2 (401)"},
		{"the newest of two keys", both(list("OPENAI_API_KEY"), answers("/v1/models Bearer sk-"+strings.Repeat("b", 40), 401)), "OpenAI", FindingError, "OPENAI_API_KEY", "OpenAI refuses key 1 of 2 (401)"},
		{"two keys and a server that fails", both(list("OPENAI_API_KEY"), answers("/v1/models", 500)), "OpenAI", FindingError, "OPENAI_BASE_URL", "status 500"},
		{"an earlier key and no endpoint", both(list("STRIPE_SECRET_KEY"), answers("/v1/customers Bearer "+earlier, 401), endpoints(`{"data":[]}`)), "Stripe", FindingError, "", "no enabled webhook endpoint"},
		{"an earlier key of another instance", both(list("CLERK_SECRET_KEY"), func(_ *testing.T, p *patient) {
			p.providers.bodies["/v1/jwks Bearer "+earlier] = `{"keys":[{"kid":"ins_2"}]}`
		}), "Clerk", FindingWarning, "CLERK_SECRET_KEY", "key 2 of 2 belongs to another instance"},
		{"a restricted key", answers("/v1/models", 403), "OpenAI", FindingWarning, "OPENAI_API_KEY", "403"},
		{"a rate limit", answers("/v1/models", 429), "OpenAI", FindingWarning, "OPENAI_API_KEY", "429"},
		{"another server", answers("/v1/models", 404), "OpenAI", FindingError, "OPENAI_BASE_URL", "404"},
		{"keys of another instance", func(_ *testing.T, p *patient) {
			p.providers.bodies["/.well-known/jwks.json"] = `{"keys":[{"kid":"ins_2"}]}`
		}, "Clerk", FindingError, "CLERK_ISSUER", "another instance"},
		{"an issuer that does not answer", answers("/.well-known/jwks.json", 502), "Clerk", FindingWarning, "CLERK_ISSUER", "cannot be compared"},
		{"a target without its key", target(), "targets", FindingError, "GROQ_KEY", "the target groq needs it"},
		{"a target's refused key", both(target(), set("GROQ_KEY", "gsk_1"), answers("/openai/v1/models", 401)), "targets", FindingError, "GROQ_KEY", "the target groq refuses the key"},
		{"a target that does not answer", both(target(), set("GROQ_KEY", "gsk_1"), answers("/openai/v1/models", 503)), "targets", FindingError, "MODELS_FILE", "the target groq answered with status 503"},
		{"Redis that does not answer", set("REDIS_URL", "redis://:hunter2@127.0.0.1:1"), "Redis", FindingError, "REDIS_URL", "does not answer"},
		{"no network", func(_ *testing.T, p *patient) { p.providers.err = errors.New("no route to host") }, "Stripe", FindingError, "STRIPE_API_URL", "no route to host"},
		{"endpoints that cannot be read", answers("/v1/webhook_endpoints", 403), "Stripe", FindingWarning, "STRIPE_SECRET_KEY", "cannot be read"},
		{"no endpoint", endpoints(`{"data":[]}`), "Stripe", FindingError, "", "no enabled webhook endpoint"},
		{"a disabled endpoint", endpoints(strings.Replace(endpoint, "enabled\"", "disabled\"", 1)), "Stripe", FindingError, "", "no enabled webhook endpoint"},
		{"a plain endpoint", endpoints(strings.Replace(endpoint, "https", "http", 1)), "Stripe", FindingError, "", "plain HTTP"},
		{"a missing event", endpoints(strings.Replace(endpoint, `"*"`, `"invoice.paid"`, 1)), "Stripe", FindingError, "", "customer.subscription.updated"},
		{"no events of disputes that end", endpoints(strings.Replace(endpoint, `"*"`, `"charge.dispute.created"`, 1)), "Stripe", FindingError, "", "charge.dispute.closed"},
		{"a receiver of alerts that does not answer", set("TRIVET_ALERT_URL", "http://127.0.0.1:1/hunter2"), "receivers", FindingWarning, "TRIVET_ALERT_URL", "connection refused"},
		{
			"a receiver of webhooks of alerts that does not answer",
			set("TRIVET_ALERT_WEBHOOK_URL", "http://127.0.0.1:1/hunter2", "TRIVET_ALERT_WEBHOOK_SECRET", "whsec_"+strings.Repeat("QUJD", 8)),
			"receivers", FindingWarning, "TRIVET_ALERT_WEBHOOK_URL", "connection refused",
		},
		{
			"a receiver of notices that is private", production("BILLING_EVENTS_URL", "https://127.0.0.1:1/hunter2", "BILLING_EVENTS_SECRET", "whsec_"+strings.Repeat("QUJD", 8)),
			"receivers", FindingWarning, "BILLING_EVENTS_URL", "is private",
		},
		{"alerts that are not evaluated", both(reached, set("TRIVET_ALERT_INTERVAL", "0s")), "receivers", FindingWarning, "TRIVET_ALERT_URL", "TRIVET_ALERT_INTERVAL is 0s"},
		{"a slow clock", func(_ *testing.T, p *patient) { p.now = p.now.Add(-time.Minute) }, "clock", FindingError, "", "1m0s"},
		{"a fast clock", func(_ *testing.T, p *patient) { p.now = p.now.Add(10 * time.Second) }, "clock", FindingError, "", "10s"},
		{"a nearly full disk", func(_ *testing.T, p *patient) { p.free = 1 << 30 }, "disk", FindingWarning, "TRIVET_DATA_DIR", "1024 MiB"},
		{"a full disk", func(_ *testing.T, p *patient) { p.free = 1 << 20 }, "disk", FindingError, "TRIVET_DATA_DIR", "1 MiB"},
		{"a taken port", func(t *testing.T, p *patient) {
			listener, err := net.Listen("tcp", p.values["TRIVET_HTTP_ADDR"])
			require.NoError(t, err)
			t.Cleanup(func() { _ = listener.Close() })
		}, "ports", FindingError, "TRIVET_HTTP_ADDR", "in use"},
		{"an unreachable database", set("DATABASE_URL", "postgres://trivet:hunter2@127.0.0.1:1/trivet"), "database", FindingError, "DATABASE_URL", ""},
		{"a store that is not migrated", func(t *testing.T, p *patient) { p.migrateAuth(t) }, "database", FindingError, "DATABASE_URL", "migrations"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPatient(t)
			c.change(t, p)
			result := p.examine(t)
			i := 0
			for result.Checks[i].Check != c.check {
				i++
			}
			matched := 0
			for _, f := range result.Checks[i].Findings {
				require.NotEmpty(t, f.Fix, f.What)
				require.NotContains(t, f.What+f.Fix, "hunter2")
				require.NotContains(t, f.What+f.Fix, strings.Repeat("c", 40))
				if f.Level == c.level && f.Setting == c.setting && strings.Contains(f.What, c.what) {
					matched++
				}
			}
			require.Equal(t, 1, matched, "%+v", result.Checks[i].Findings)
			require.False(t, result.Healthy && c.level == FindingError)
		})
	}
}

// migrateAuth makes the file of auth, with a part of its migrations.
func (p *patient) migrateAuth(t *testing.T) {
	t.Helper()
	db, err := database.Open(t.Context(), database.For("auth", settings.NewSecret("sqlite://"+p.values["TRIVET_DATA_DIR"])))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close(context.Background())) })
	require.NoError(t, database.Migrate(t.Context(), db, auth.Migrations()[0]))
}

// targets gives the installation two targets, at one of which a key is missing.
func (p *patient) targets(t *testing.T) {
	t.Helper()
	p.values["MODELS_FILE"], p.values["AZURE_KEY"] = filepath.Join(t.TempDir(), "models.yaml"), "azure-1"
	require.NoError(t, os.WriteFile(p.values["MODELS_FILE"], []byte(`
targets:
  groq: {kind: compatible, base_url: https://api.groq.example/openai/v1, keys: [GROQ_KEY]}
  azure-eu: {kind: azure, base_url: https://eu.openai.azure.example, keys: [AZURE_KEY], api_version: 2024-10-21}
models:
  gpt-4o-mini: {kind: chat, provider: openai, context_tokens: 128000, max_output_tokens: 16384, default_output_tokens: 4096, input: "0.15", output: "0.60", targets: [{target: groq}, {target: azure-eu}]}
`), 0o600))
}

// Each target is asked with each of its keys, as it wants them. A server without a list of models can be reached.
func TestDoctorAsksEveryTarget(t *testing.T) {
	p := newPatient(t)
	p.targets(t)
	p.values["GROQ_KEY"] = "gsk_1,gsk_2"
	p.providers.status = map[string]int{"/openai/v1/models": 404}
	for _, c := range p.examine(t).Checks {
		require.Empty(t, c.Findings, c.Check)
	}
	for _, asked := range []string{
		"GET api.groq.example/openai/v1/models Bearer gsk_1", "GET api.groq.example/openai/v1/models Bearer gsk_2", "GET eu.openai.azure.example/openai/models azure-1",
	} {
		require.Contains(t, p.providers.asked, asked)
	}
}

// Redis that answers and runs scripts is in order.
func TestDoctorExaminesRedis(t *testing.T) {
	p := newPatient(t)
	p.values["REDIS_URL"] = redistest.New(t).URL()
	for _, c := range p.examine(t).Checks {
		require.Empty(t, c.Findings, c.Check)
	}
}

// A running Trivet has its own ports, and its database beside the doctor's.
func TestDoctorExaminesARunningTrivet(t *testing.T) {
	dir := t.TempDir()
	in := startDev(t, map[string]string{"TRIVET_DATA_DIR": dir})
	p := newPatient(t)
	p.values["TRIVET_DATA_DIR"] = dir
	p.values["TRIVET_HTTP_ADDR"] = strings.TrimPrefix(in.edge, "http://")
	p.values["TRIVET_OPS_ADDR"] = strings.TrimPrefix(in.ops, "http://")
	for _, c := range p.examine(t).Checks {
		require.Empty(t, c.Findings, c.Check)
	}
}

// The doctor may lack the settings of the edge that runs, such as in the folder of another process.
func TestDoctorRecognizesAnEdge(t *testing.T) {
	in := startDev(t, map[string]string{"TRIVET_DATA_DIR": t.TempDir()})
	p := newPatient(t)
	p.values["TRIVET_HTTP_ADDR"] = strings.TrimPrefix(in.edge, "http://")
	for _, c := range p.examine(t).Checks {
		require.Empty(t, c.Findings, c.Check)
		if c.Check == "ports" {
			require.Equal(t, []string{"TRIVET_HTTP_ADDR: an edge of Trivet uses it"}, c.NotChecked)
		}
	}
}

func TestDoctorEndsWithItsContext(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	_, err := Doctor(ctx, settings.Env{Get: func(string) string { return "" }}, DoctorOptions{Progress: io.Discard, Transport: &providers{}, Now: time.Now, Free: FreeBytes})
	require.ErrorIs(t, err, context.Canceled)
}

// The doctor connects to the mail server without a mail, and names the setting and what to do when that fails.
func TestDoctorConnectsToTheMailServer(t *testing.T) {
	fake := email.New(email.Config{})
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- fake.Serve(ctx, listener) }()
	p := newPatient(t)
	p.values["SMTP_ADDR"], p.values["SMTP_TLS"], p.values["SMTP_FROM"] = listener.Addr().String(), "none", "Acme <billing@acme.test>"
	require.True(t, p.examine(t).Healthy)
	require.Empty(t, fake.Mails())
	cancel()
	require.NoError(t, <-done)
	result := p.examine(t)
	require.False(t, result.Healthy)
	for _, c := range result.Checks {
		if c.Check == "mail server" {
			require.Equal(t, "SMTP_ADDR", c.Findings[0].Setting)
			require.Contains(t, c.Findings[0].What, "mails cannot be sent: the connection failed: connection refused")
		}
	}
}
