package allinone

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/gateway"
	"github.com/trivet-dev/trivet/gen"
	"github.com/trivet-dev/trivet/platform/serve"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/platform/tracing/tracingtest"
	"github.com/trivet-dev/trivet/sandbox/webhook"
)

// canarySettings are secrets that nothing may show. Each has the word canary, and a name behind it.
func canarySettings() map[string]string {
	secret := func(name string) string {
		return "whsec_" + base64.StdEncoding.EncodeToString([]byte("canary-"+name+"-0123456789"))
	}
	return map[string]string{
		"OPENAI_API_KEY": "sk-canary-openai-0123456789abcdef", "CLERK_SECRET_KEY": "sk_test_canary-clerk-0123456789abcdef",
		"STRIPE_SECRET_KEY": "sk_test_canary-stripe-0123456789abcdef", "TRIVET_API_KEY_SECRET": "canary-hash-0123456789abcdef0123456789",
		"CLERK_WEBHOOK_SECRET": secret("clerkhook"), "STRIPE_WEBHOOK_SECRET": "whsec_canary-stripehook-0123456789",
		"BILLING_EVENTS_SECRET": secret("eventshook"), "TRIVET_ALERT_WEBHOOK_SECRET": secret("alerthook"), "OTEL_EXPORTER_OTLP_HEADERS": "authorization=canary-otel-0123456789",
	}
}

// What callers and providers send.
const (
	canaryPrompt, canaryAnswer = "canary-prompt", "canary-answer"
	canaryMail                 = "canary-mail@example.test"
	canaryName                 = "canary-name"
	canaryInvalid              = "canary-token" // a credential that is not valid
)

// misbehavior is what the providers do.
type misbehavior string

const (
	works     misbehavior = "works"
	refuses   misbehavior = "refuses the key and repeats it"
	echoes    misbehavior = "refuses the request and repeats it"
	fails     misbehavior = "fails and repeats all"
	redirects misbehavior = "redirects to an address with all"
	garbles   misbehavior = "answers what is not HTTP"
	breaks    misbehavior = "breaks its answer off"
	regrets   misbehavior = "ends its answer with an error that repeats all"
)

// aviary is an installation that is full of canaries, whose providers misbehave.
type aviary struct {
	*mint
	t         *testing.T
	system    *system
	log       screen
	collector *tracingtest.Collector
	settings  map[string]string
	mode      atomic.Pointer[misbehavior]
	key       string // an API key
	panics    atomic.Bool
	edge      string

	mu       sync.Mutex
	refused  []string       // the answers with an error
	answered map[string]int // the answers of models, by path
	expected int            // the canaries that were found where they may be
}

// ServeHTTP is Clerk, OpenAI, Stripe, and the receiver of webhooks and alerts.
func (a *aviary) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	all := fmt.Sprintf("%s %s %s %s", r.Header.Get("Authorization"), r.Header.Get("Api-Key"), r.URL, body)
	quoted, _ := json.Marshal(all)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Request-Id", "req_provider")
	answer := func(status int) {
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"error":{"message":%[1]s,"type":%[1]s,"code":%[1]s,"param":%[1]s},"errors":[{"code":%[1]s,"message":%[1]s,"long_message":%[1]s}]}`, quoted)
	}
	switch *a.mode.Load() {
	case refuses:
		answer(http.StatusUnauthorized)
	case echoes:
		answer(http.StatusBadRequest)
	case fails:
		answer(http.StatusInternalServerError)
	case redirects:
		w.Header().Set("Location", "http://127.0.0.1:1/"+hex.EncodeToString([]byte("x"))+"?"+strings.ReplaceAll(all, " ", "+"))
		w.WriteHeader(http.StatusFound)
	case regrets:
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = fmt.Fprintf(w, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"%s\"}}]}\n\ndata: {\"error\":{\"message\":%[2]s,\"type\":%[2]s,\"code\":%[2]s}}\n\n", canaryAnswer, quoted)
	case garbles, breaks:
		conn, buffer, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		if *a.mode.Load() == breaks {
			_, _ = buffer.WriteString("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 100000\r\n\r\ndata: {\"choices\":[{\"delta\":{\"content\":" + string(quoted) + "}}]}\n\n")
		} else {
			_, _ = buffer.WriteString(all + "\r\n\r\n")
		}
		_ = buffer.Flush()
		_ = conn.Close()
	default:
		a.work(w, r)
	}
}

// work answers as a provider that works.
func (a *aviary) work(w http.ResponseWriter, r *http.Request) {
	switch {
	case answersAsAModel(w, r):
	case strings.Contains(r.URL.Path, "/users/"):
		_, _ = io.WriteString(w, canaryUser)
	default:
		_, _ = io.WriteString(w, `{"data":[],"object":"list","total_count":0}`)
	}
}

const canaryUser = `{"id":"user_canary","object":"user","first_name":"` + canaryName + `","last_name":"` + canaryName + `","created_at":1700000000000,"updated_at":1700000000000,
	"primary_email_address_id":"idn_1","email_addresses":[{"id":"idn_1","email_address":"` + canaryMail + `","verification":{"status":"verified"}}]}`

func newAviary(t *testing.T, more map[string]string) *aviary {
	t.Helper()
	a := &aviary{mint: newMint(t, time.Now()), t: t, answered: map[string]int{}, collector: tracingtest.Start(t), settings: canarySettings()}
	a.secret.internal = []byte("canary-internal-0123456789abcdef0123456789")
	a.behave(works)
	providers := httptest.NewServer(a)
	t.Cleanup(providers.Close)
	env := map[string]string{
		"TRIVET_DATA_DIR": t.TempDir(), "CLERK_ISSUER": clerkIssuer, "CLERK_JWT_KEY": a.clerkPEM(), "TRIVET_OPERATORS": "user_operator", "DEFAULT_PLAN": "unlimited",
		"CLERK_API_URL": providers.URL, "OPENAI_BASE_URL": providers.URL + "/v1", "STRIPE_API_URL": providers.URL,
		"BILLING_EVENTS_URL": providers.URL + "/canary-eventsurl", "BILLING_EVENTS_PRIVATE": "true",
		"TRIVET_ALERT_URL": providers.URL + "/canary-alerturl", "TRIVET_ALERT_WEBHOOK_URL": providers.URL + "/canary-alertwebhook", "TRIVET_ALERT_INTERVAL": "1s", "CORS_ALLOWED_ORIGINS": "https://app.example.com",
		"OTEL_EXPORTER_OTLP_ENDPOINT": a.collector.URL, "OTEL_BSP_SCHEDULE_DELAY": "50", "TRIVET_TRACE_PROVIDERS": "true",
		"TRIVET_HTTP_ADDR": "127.0.0.1:0", "TRIVET_GRPC_ADDR": "127.0.0.1:0", "TRIVET_OPS_ADDR": "127.0.0.1:0",
		"OPENAI_RETRY_DELAY": "0s", "CLERK_RETRY_DELAY": "0s", "CLERK_PROBE_INTERVAL": "0s", "OPENAI_PROBE_INTERVAL": "0s", "STRIPE_PROBE_INTERVAL": "0s",
		"OPENAI_BREAKER_FAILURES": "0", "CLERK_BREAKER_FAILURES": "0", "CLERK_READS_PER_SECOND": "10000", "STRIPE_READS_PER_SECOND": "10000",
	}
	maps.Copy(env, a.settings)
	maps.Copy(env, more)
	c, err := load(settings.Env{Get: withDatabase(func(name string) string { return env[name] })}, nil)
	require.NoError(t, err)
	host, err := c.host(&a.log)
	require.NoError(t, err)
	a.system, err = buildWith(t.Context(), c, host, gateway.Development{}, a.secret)
	require.NoError(t, err)
	require.NoError(t, a.system.migrate(t.Context()))
	a.run(host)
	front := httptest.NewServer(a.front())
	t.Cleanup(front.Close)
	a.edge = front.URL
	var made struct{ Secret string }
	require.NoError(t, json.Unmarshal(a.sendWithin(time.Minute, http.MethodPost, "/api/v1/apiKeys", a.token("user_canary"), `{"name":"server"}`).body, &made))
	a.key = made.Secret
	require.NotEmpty(t, a.key)
	return a
}

// run runs the parts of the process until the test ends.
func (a *aviary) run(host *serve.Host) {
	parts, err := a.system.parts(a.t.Context())
	require.NoError(a.t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- host.Run(ctx, parts...) }()
	a.t.Cleanup(func() {
		stop()
		require.NoError(a.t, <-ended)
	})
}

// front is the edge, whose answers panic with their content when the test wants it.
func (a *aviary) front() http.Handler {
	inner := a.system.gateway.Handler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.panics.Load() {
			w = &panickyWriter{ResponseWriter: w}
		}
		inner.ServeHTTP(w, r)
	})
}

// panickyWriter panics with the first answer.
type panickyWriter struct {
	http.ResponseWriter
	once bool
}

func (w *panickyWriter) Write(p []byte) (int, error) {
	if !w.once {
		w.once = true
		panic(fmt.Sprintf("canary-panic %s", p))
	}
	return w.ResponseWriter.Write(p)
}

func (a *aviary) behave(as misbehavior) { a.mode.Store(&as) }

// token is a session token, with an e-mail address in it.
func (a *aviary) token(user string) string {
	a.now = time.Now()
	return a.session(user, map[string]any{"email": canaryMail})
}

type canaryResponse struct {
	status int
	body   []byte
}

// send makes a request and keeps its answer if it is an error. It gives up soon, because some providers do not answer.
func (a *aviary) send(method, path, credential, body string) canaryResponse {
	a.t.Helper()
	return a.sendWithin(2*time.Second, method, path, credential, body)
}

// sendAs posts a body of that Content-Type.
func (a *aviary) sendAs(path, credential, kind, body string) canaryResponse {
	a.t.Helper()
	return a.sendKind(2*time.Second, http.MethodPost, path, credential, kind, body)
}

func (a *aviary) sendWithin(limit time.Duration, method, path, credential, body string) canaryResponse {
	a.t.Helper()
	return a.sendKind(limit, method, path, credential, "application/json", body)
}

func (a *aviary) sendKind(limit time.Duration, method, path, credential, kind, body string) canaryResponse {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), limit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, a.edge+path, strings.NewReader(body))
	require.NoError(a.t, err)
	request.Header.Set("Content-Type", kind)
	request.Header.Set("Accept", "text/html, application/json")
	if credential != "" {
		request.Header.Set("Authorization", "Bearer "+credential)
	}
	return a.do(request)
}

func (a *aviary) do(request *http.Request) canaryResponse {
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return canaryResponse{} // broken off, as some of them should be
	}
	defer func() { _ = response.Body.Close() }()
	got := canaryResponse{status: response.StatusCode}
	got.body, _ = io.ReadAll(response.Body) // a stream of states ends with its time
	a.mu.Lock()
	defer a.mu.Unlock()
	if got.status == http.StatusOK {
		a.answered[request.URL.Path]++
	}
	if got.status >= http.StatusBadRequest {
		a.refused = append(a.refused, fmt.Sprintf("%d %v %s", got.status, response.Header, got.body))
	}
	return got
}

// webhook sends an event of a provider, signed with a secret.
func (a *aviary) webhook(source, id, secret, body string) {
	sign := webhook.Svix
	if source == "stripe" {
		sign = webhook.Stripe
	}
	headers, err := sign([]string{secret}, id, time.Now(), []byte(body))
	require.NoError(a.t, err)
	request, err := http.NewRequestWithContext(a.t.Context(), http.MethodPost, a.edge+"/api/webhooks/"+source, strings.NewReader(body))
	require.NoError(a.t, err)
	request.Header = headers
	a.do(request)
}

// webhooks sends good, forged and unreadable ones.
func (a *aviary) webhooks(turn string) {
	stranger := "whsec_" + base64.StdEncoding.EncodeToString([]byte("another-secret-0123456789"))
	event := func(kind, data string) string {
		return fmt.Sprintf(`{"id":"evt_%s","object":"event","api_version":"2023-10-16","created":%d,"livemode":false,"timestamp":%d,"type":%q,"data":%s}`,
			turn, time.Now().Unix(), time.Now().UnixMilli(), kind, data)
	}
	for source, secret := range map[string]string{"clerk": a.settings["CLERK_WEBHOOK_SECRET"], "stripe": a.settings["STRIPE_WEBHOOK_SECRET"]} {
		for n, body := range []string{
			event("user.updated", canaryUser), event("customer.updated", `{"object":{"id":"cus_1","object":"customer","email":"`+canaryMail+`","name":"`+canaryName+`"}}`),
			event("email.created", `{"body":"canary-mailbody","subject":"canary-mailbody","to_email_address":"`+canaryMail+`"}`), "canary-unreadable",
		} {
			id := fmt.Sprintf("evt_%s_%s_%d", turn, source, n)
			a.webhook(source, id, secret, body)
			a.webhook(source, id+"_forged", stranger, body)
		}
	}
}

// operations are all routes of the edge, from its OpenAPI document.
func operations(t *testing.T) (routes []string) {
	t.Helper()
	var document struct {
		Paths map[string]map[string]any
	}
	require.NoError(t, json.Unmarshal(gen.OpenAPI(), &document))
	for path, methods := range document.Paths {
		for method := range methods {
			if slices.Contains([]string{"get", "post", "delete", "put", "patch"}, method) && !strings.Contains(path, "webhooks") && !strings.HasSuffix(path, "/stream") {
				routes = append(routes, strings.ToUpper(method)+" "+regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(path, "user_canary"))
			}
		}
	}
	slices.Sort(routes)
	return routes
}

// everybodyCalls calls every operation, with each kind of credential and with content.
func (a *aviary) everybodyCalls() {
	bodies := []string{
		`{"model":"gpt-4o-mini","messages":[{"role":"user","content":"` + canaryPrompt + `"}]}`, `{}`,
		`{"model":"text-embedding-3-small","input":"` + canaryPrompt + `"}`,
		`{"model":"` + canaryPrompt + `","input":"` + canaryPrompt + `","` + canaryPrompt + `":1`,
		`{"planId":"pro","successUrl":"https://app.example.com/x","cancelUrl":"https://app.example.com/x","returnUrl":"https://app.example.com/x"}`,
	}
	credentials := []string{a.token("user_canary"), a.token("user_operator"), a.key}
	for _, route := range operations(a.t) {
		method, path, _ := strings.Cut(route, " ")
		for n, body := range bodies {
			if method == http.MethodGet && n > 0 {
				break
			}
			a.send(method, path, credentials[n%len(credentials)], body)
		}
	}
	a.everyModel(a.token("user_models")) // the other one is erased on the way
	stream := `{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"` + canaryPrompt + `"}]}`
	for _, credential := range append(credentials, canaryInvalid, "tvt_live_"+canaryInvalid, strings.Replace(credentials[0], ".", ".x", 1)) {
		a.send(http.MethodPost, "/v1/chat/completions", credential, stream)
		a.send(http.MethodGet, "/api/v1/me?token="+credential, "", "")
		a.send(http.MethodGet, "/console/?access_token="+credential, credential, "")
		a.send(http.MethodGet, "/"+canaryInvalid, "", "")
	}
}
