package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/trivet-dev/trivet/gateway"
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/health"
	"github.com/trivet-dev/trivet/platform/idempotency"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/peer"
	"github.com/trivet-dev/trivet/platform/requestid"
)

func TestCredentials(t *testing.T) {
	none := header("Authorization", "")
	cases := map[string]struct {
		edit    func(*http.Request)
		query   string
		status  int
		message string
		code    string
		openai  string
	}{
		"none":         {none, "", 401, "Unauthorized", "UNAUTHORIZED", "missing_api_key"},
		"unknown":      {header("Authorization", "Bearer other-"+canary), "", 401, "Invalid token", "INVALID_TOKEN", "invalid_api_key"},
		"other scheme": {header("Authorization", "Basic "+canary), "", 401, "Invalid token", "INVALID_TOKEN", "invalid_api_key"},
		"too long":     {header("Authorization", "Bearer "+strings.Repeat("x", 9000)), "", 401, "Invalid token", "INVALID_TOKEN", "invalid_api_key"},
		"tab":          {header("Authorization", "Bearer x\t"+canary), "", 401, "Invalid token", "INVALID_TOKEN", "invalid_api_key"},
		"twice": {
			func(r *http.Request) { r.Header.Add("Authorization", "Bearer "+goodToken) }, "", 401, "Invalid token",
			"INVALID_TOKEN", "invalid_api_key",
		},
		"in the URL": {none, "?access_token=" + canary, 400, "A credential in the URL", "INVALID_ARGUMENT", "invalid_value"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			edge := newEdge(t, options{})
			for _, path := range []string{"POST /v1/chat/completions", "GET /v1/models", "GET /api/v1/me", "POST /api/v1/chat:stream"} {
				method, path, _ := strings.Cut(path, " ")
				resp := edge.do(t, method, path+tc.query, `{}`, tc.edit)
				require.Equal(t, tc.status, resp.status, path)
				require.Equal(t, tc.status == 401, resp.header.Get("WWW-Authenticate") == "Bearer")
				if strings.HasPrefix(path, "/v1") {
					require.Contains(t, resp.body, `{"error":{"message":"`+tc.message)
					require.Contains(t, resp.body, `"code":"`+tc.openai+`"`)
				} else {
					require.Contains(t, resp.body, `{"error":"`+tc.message)
					require.Contains(t, resp.body, `"code":"`+tc.code+`"`)
				}
				require.NotContains(t, resp.body, canary)
			}
			calls, _ := edge.ai.seen()
			require.Zero(t, calls)
			require.NotContains(t, edge.logs.String(), canary)
		})
	}
}

func TestCredentialIsExchangedOnce(t *testing.T) {
	edge := newEdge(t, options{})
	for range 3 {
		require.Equal(t, 200, edge.do(t, http.MethodGet, "/v1/models", "").status)
	}
	edge.auth.err = errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, "Clerk is down.")
	require.Equal(t, 200, edge.do(t, http.MethodGet, "/v1/models", "").status, "a cached credential does not need auth")
	resp := edge.do(t, http.MethodGet, "/v1/models", "", header("Authorization", "Bearer new"))
	require.Equal(t, 503, resp.status)
}

func TestPublicRoutes(t *testing.T) {
	edge := newEdge(t, options{})
	edge.auth.err = errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, "Clerk is down.")
	edge.ai.state, edge.billing.stripe = health.Operational, health.Down
	for path, part := range map[string]string{
		"/healthz": "ok", "/openapi.json": "swagger", "/docs": "<html", "/api/v1/billing/plans": "plans",
		"/api/v1/status": `{"status":"degraded","services":{"ai":"operational","auth":"operational","billing":"operational"},` +
			`"integrations":{"clerk":{"status":"operational","since":"2027-01-15T08:00:00Z"},"openai":{"status":"operational","since":"2027-01-15T08:00:00Z"},` +
			`"stripe":{"status":"down","since":"2027-01-15T08:00:00Z","banner":"Payment processing is temporarily unavailable. Please try again later."}}}`,
	} {
		for _, auth := range []string{"", "Bearer whatever", "Basic x"} {
			resp := edge.do(t, http.MethodGet, path, "", header("Authorization", auth))
			require.Equal(t, 200, resp.status, path)
			require.Contains(t, resp.body, part, path)
		}
		head := edge.do(t, http.MethodHead, path, "")
		require.Equal(t, 200, head.status)
		require.Empty(t, head.body)
	}
}

func TestUnknownPathsAndMethods(t *testing.T) {
	edge := newEdge(t, options{})
	for _, tc := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/v1/nothing", 404, ""},
		{"POST", "/v1/batches", 404, ""},
		{"PUT", "/v1/responses/resp_1", 405, "GET, DELETE, HEAD"},
		{"GET", "/v1/responses/compact", 405, "POST"},
		{"GET", "/v1/responses/resp%2F1", 404, ""},
		{"GET", "/v1", 404, ""},
		{"GET", "/api/v1/nothing", 404, ""},
		{"POST", "/", 405, "GET, HEAD"},
		{"GET", "/docs/", 404, ""},
		{"GET", "//docs", 404, ""},
		{"GET", "/api/v1/../v1/me", 404, ""},
		{"GET", "/v1/chat/completions", 405, "POST"},
		{"POST", "/v1/models", 405, "GET, HEAD"},
		{"DELETE", "/api/v1/me", 405, "GET, HEAD"},
		{"OPTIONS", "/api/v1/me", 405, "GET, HEAD"},
		{"GET", "/api/v1/chat:stream", 405, "POST"},
		{"PUT", "/api/v1/users/x", 405, "GET, HEAD"},
		{"BREW", "/healthz", 405, "GET, HEAD"},
	} {
		t.Run(tc.method+" "+tc.path, func(t *testing.T) {
			resp := edge.do(t, tc.method, tc.path, "")
			require.Equal(t, tc.status, resp.status)
			require.Equal(t, tc.allow, resp.header.Get("Allow"))
			require.True(t, json.Valid([]byte(resp.body)))
			require.Equal(t, strings.HasPrefix(tc.path, "/v1"), strings.HasPrefix(resp.body, `{"error":{"message"`))
		})
	}
	resp := edge.do(t, http.MethodPost, "/v1/models", "", header("X-HTTP-Method-Override", "GET"))
	require.Equal(t, 405, resp.status)
}

// Huge bodies are refused in both trees and reach no service.
func TestHugeBodies(t *testing.T) {
	huge := bytes.Repeat([]byte(" "), 20<<20)
	for _, path := range []string{chatPath, "/v1/embeddings", "/api/v1/chat", ssePath} {
		for name, body := range map[string]io.Reader{"sized": bytes.NewReader(huge), "chunked": io.MultiReader(bytes.NewReader(huge))} {
			t.Run(name+" "+path, func(t *testing.T) {
				edge := newEdge(t, options{})
				resp := edge.send(t, http.MethodPost, path, body)
				require.Equal(t, http.StatusRequestEntityTooLarge, resp.status)
				if strings.HasPrefix(path, "/v1") {
					require.Contains(t, resp.body, `"code":"request_too_large"`)
				} else {
					require.Contains(t, resp.body, `"code":"BODY_TOO_LARGE"`)
				}
				calls, _ := edge.ai.seen()
				require.Zero(t, calls)
			})
		}
	}
}

// send is do for a body that the server may refuse before the client has sent all of it. It uses its own connection.
func (e *testEdge) send(t *testing.T, method, path string, body io.Reader) reply {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(e.url, "http://"))
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	r, err := http.NewRequestWithContext(t.Context(), method, e.url+path, body)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+goodToken)
	written := make(chan struct{})
	go func() {
		defer close(written)
		_ = r.Write(conn) // the server closes before the end
	}()
	resp, err := http.ReadResponse(bufio.NewReader(conn), r)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	read, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	_ = conn.Close()
	<-written
	return reply{status: resp.StatusCode, header: resp.Header, body: string(read)}
}

// Each reason arrives in both error formats.
func TestEveryReasonOverTheWire(t *testing.T) {
	edge := newEdge(t, options{})
	for number, name := range errorsv1.ErrorReason_name {
		if number == 0 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			e := errs.New(errorsv1.ErrorReason(number), "What happened.").After(1500e6).Field("model", "is wrong").Cause(fmt.Errorf("secret %s", canary))
			m := errs.MappingOf(e.Reason)
			edge.billing.err = e
			edge.ai.relay = func(*aiv1.RelayRequest, relayStream) error { return e }
			edge.ai.stream = func(*aiv1.ChatStreamRequest, chatStream) error { return e }
			for _, resp := range []reply{
				edge.do(t, http.MethodGet, "/api/v1/billing/account", ""),
				edge.do(t, http.MethodPost, ssePath, typedChat),
				edge.do(t, http.MethodPost, chatPath, `{}`),
				edge.do(t, http.MethodPost, chatPath, wantsStream),
			} {
				require.Equal(t, m.HTTP, resp.status)
				require.Equal(t, "2", resp.header.Get("Retry-After"))
				require.NotContains(t, resp.body, canary)
				require.True(t, strings.Contains(resp.body, `"code":"`+m.Code+`"`) || strings.Contains(resp.body, `"code":"`+m.OpenAICode+`"`), resp.body)
			}
		})
	}
	resp := edge.do(t, http.MethodGet, "/api/v1/billing/invoices", "")
	require.Equal(t, http.StatusNotImplemented, resp.status)
	require.Equal(t, "false", resp.header.Get("X-Should-Retry"))
	require.Contains(t, resp.body, "NOT_IMPLEMENTED")
}

// Only allowed request headers reach a service, and only allowed response headers reach the client.
func TestHeadersStopAtTheEdge(t *testing.T) {
	edge := newEdge(t, options{})
	var relayed map[string]string
	leak := metadata.Pairs("x-secret", "s", "set-cookie", "s", "grpc-metadata-x", "s")
	edge.ai.relay = func(in *aiv1.RelayRequest, s relayStream) error {
		relayed = in.GetHeaders()
		_ = s.SendHeader(leak)
		s.SetTrailer(leak)
		return answers(&aiv1.RelayHead{Status: 200, Headers: map[string]string{
			"content-type": "application/json", "openai-organization": "org-ours", "set-cookie": "a=b", "server": "x", "x-request-id": "theirs",
			"content-length": "999", "connection": "upgrade", "access-control-allow-origin": "*", "x-secret": "s",
		}}, `{}`)(in, s)
	}
	edge.ai.chat = func(ctx context.Context, _ *aiv1.ChatRequest) (*aiv1.ChatResponse, error) {
		_ = grpc.SendHeader(ctx, leak)
		_ = grpc.SetTrailer(ctx, leak)
		return &aiv1.ChatResponse{}, nil
	}
	edge.ai.stream = func(_ *aiv1.ChatStreamRequest, s chatStream) error {
		_ = s.SendHeader(leak)
		return s.Send(&aiv1.ChatStreamResponse{FinishReason: "stop"})
	}
	bad := func(r *http.Request) {
		for name, value := range map[string]string{
			"Trivet-Passport": "forged", "Trivet-Peer": "forged", "Grpc-Metadata-Trivet-Passport": "forged", "Grpc-Metadata-X": "x", "Grpc-Timeout": "1n",
			"X-Forwarded-For": "1.2.3.4", "X-Forwarded-Host": "evil", "X-Http-Method-Override": "DELETE", "Cookie": "a=b", "Te": "trailers",
			"X-Api-Key": "x", "Openai-Organization": "org", "X-Stainless-Os": "x", "User-Agent": "x", "Grpc-Encoding": "gzip", "Grpcgateway-Authorization": "x",
			"Openai-Beta": "assistants=v2", "Idempotency-Key": "k1", "Accept": "text/event-stream", "Content-Type": "application/json",
			"X-Request-Id": "mine-1", "Forwarded": "for=1.2.3.4",
		} {
			r.Header.Set(name, value)
		}
	}
	allowed := map[string]bool{passport.Header: true, peer.Header: true, requestid.Header: true, idempotency.Header: true}
	for _, path := range []string{chatPath, "/api/v1/chat", ssePath} {
		resp := edge.do(t, http.MethodPost, path, typedChat, bad)
		require.Equal(t, 200, resp.status, resp.body)
		_, md := edge.ai.seen()
		for name, values := range md {
			require.True(t, allowed[name], "%s reached the service", name)
			require.Len(t, values, 1)
			require.NotContains(t, values[0], "forged")
			require.NotContains(t, values[0], canary)
		}
		require.Equal(t, []string{"mine-1"}, md.Get(requestid.Header))
		for name := range resp.header {
			switch name {
			case "Content-Type", "Content-Length", "Cache-Control", "Date", "X-Content-Type-Options", "Content-Security-Policy", "X-Request-Id", "X-Accel-Buffering":
			default:
				t.Errorf("%s: %s reached the caller", path, name)
			}
		}
		require.Equal(t, "mine-1", resp.header.Get("X-Request-Id"))
	}
	require.Equal(t, map[string]string{
		"openai-beta": "assistants=v2", "idempotency-key": "k1", "accept": "text/event-stream", "content-type": "application/json",
	}, relayed)
	edge.do(t, http.MethodPost, chatPath, `{}`, header("Openai-Beta", "\xff"), header("Accept", strings.Repeat("a", 5000)), header("Content-Type", "text/plain"))
	require.Equal(t, map[string]string{"content-type": "text/plain"}, relayed)
}

func TestRequestID(t *testing.T) {
	edge := newEdge(t, options{})
	for given, kept := range map[string]bool{
		"mine-1": true, "A.b_c-9": true, strings.Repeat("x", 64): true, strings.Repeat("x", 65): false, "a b": false, "a;b": false, "é": false, "": false,
	} {
		resp := edge.do(t, http.MethodGet, "/healthz", "", header("X-Request-Id", given))
		require.Equal(t, kept, resp.header.Get("X-Request-Id") == given, given)
		require.True(t, requestid.Valid(resp.header.Get("X-Request-Id")))
	}
	resp := edge.do(t, http.MethodGet, "/healthz", "", func(r *http.Request) { r.Header["X-Request-Id"] = []string{"a", "b"} })
	require.NotContains(t, []string{"a", "b"}, resp.header.Get("X-Request-Id"))
}

func TestRequestLog(t *testing.T) {
	edge := newEdge(t, options{})
	edge.do(t, http.MethodGet, "/api/v1/users/user_canary?x=1", "", header("X-Request-Id", "r-1"))
	edge.do(t, http.MethodGet, "/api/v1/users/user_canary", "", header("X-Request-Id", "r-2"))
	edge.do(t, http.MethodGet, "/canary-path", "")
	lines := strings.Split(strings.TrimSpace(edge.logs.String()), "\n")
	require.Len(t, lines, 3, "one line per request")
	var line map[string]any
	require.NoError(t, json.Unmarshal([]byte(lines[1]), &line))
	require.Positive(t, line["took"])
	delete(line, "time")
	delete(line, "took")
	require.NotZero(t, line["bytes"])
	delete(line, "bytes")
	require.Equal(t, map[string]any{
		"level": "INFO", "msg": "request", "method": "GET", "route": "/api/v1/users/{user_id}", "status": 200.0, "request_id": "r-2",
	}, line)
	require.NotContains(t, edge.logs.String(), "canary", "the log contains no ids, paths, queries or credentials")
	require.Contains(t, lines[0], `"reason":"INVALID_ARGUMENT"`)
}

func TestSecurityHeaders(t *testing.T) {
	for production, want := range map[bool]string{false: "", true: "max-age=31536000; includeSubDomains"} {
		edge := newEdge(t, options{production: production})
		for _, path := range []string{"/healthz", "/nothing", "/v1/models", "/docs"} {
			resp := edge.do(t, http.MethodGet, path, "")
			require.Equal(t, "nosniff", resp.header.Get("X-Content-Type-Options"))
			require.Equal(t, "no-store", resp.header.Get("Cache-Control"))
			require.Equal(t, want, resp.header.Get("Strict-Transport-Security"))
		}
	}
}

func TestCORS(t *testing.T) {
	edge := newEdge(t, options{config: func(c *gateway.Config) { c.AllowedOrigins = []string{"https://app.example.com"} }})
	none := header("Authorization", "")
	preflight := func(origin string) reply {
		return edge.do(t, http.MethodOptions, chatPath, "", none, header("Origin", origin), header("Access-Control-Request-Method", "POST"),
			header("Access-Control-Request-Headers", "authorization,content-type,openai-organization,x-stainless-brand-new"))
	}
	resp := preflight("https://app.example.com")
	require.Equal(t, 204, resp.status)
	require.Equal(t, "https://app.example.com", resp.header.Get("Access-Control-Allow-Origin"))
	require.Contains(t, resp.header.Get("Access-Control-Allow-Headers"), "x-stainless-brand-new")
	require.Empty(t, resp.header.Get("Access-Control-Allow-Credentials"))
	for _, origin := range []string{"https://app.example.com.evil.test", "https://evil.test", "http://app.example.com", "null"} {
		resp := preflight(origin)
		require.Empty(t, resp.header.Get("Access-Control-Allow-Origin"), origin)
	}

	resp = edge.do(t, http.MethodGet, "/api/v1/me", "", none, header("Origin", "https://app.example.com"))
	require.Equal(t, 401, resp.status)
	require.Equal(t, "https://app.example.com", resp.header.Get("Access-Control-Allow-Origin"), "pages can read errors")
	exposed := strings.ToLower(resp.header.Get("Access-Control-Expose-Headers"))
	for _, name := range []string{"x-request-id", "retry-after", "retry-after-ms", "x-should-retry", "x-ratelimit-remaining-tokens"} {
		require.Contains(t, strings.Split(exposed, ", "), name)
	}
	require.Contains(t, resp.header.Get("Vary"), "Origin")

	closed := newEdge(t, options{})
	resp = closed.do(t, http.MethodOptions, chatPath, "", none, header("Origin", "https://app.example.com"), header("Access-Control-Request-Method", "POST"))
	require.Empty(t, resp.header.Get("Access-Control-Allow-Origin"), "no origin is allowed")
}

func TestIPLimit(t *testing.T) {
	edge := newEdge(t, options{config: func(c *gateway.Config) {
		c.IPRequestsPerMinute, c.TrustedProxies = 4, []string{"127.0.0.1", "::1"}
	}})
	from := header("X-Forwarded-For", "9.9.9.9, 198.51.100.1")
	require.Equal(t, 200, edge.do(t, http.MethodGet, "/v1/models", "", from).status)
	resp := edge.do(t, http.MethodGet, "/v1/models", "", from, header("Authorization", "Bearer new"))
	require.Equal(t, 429, resp.status, "the limit applies before the credential is checked")
	require.Contains(t, resp.body, `"code":"rate_limit_exceeded"`)
	require.Equal(t, "15", resp.header.Get("Retry-After"))
	_, asked := edge.auth.calls.Load("new")
	require.False(t, asked)
	require.Equal(t, 200, edge.do(t, http.MethodGet, "/v1/models", "", header("X-Forwarded-For", "198.51.100.2")).status)
	for range 5 {
		require.Equal(t, 200, edge.do(t, http.MethodGet, "/v1/models", "").status, "loopback")
	}

	open := newEdge(t, options{config: func(c *gateway.Config) { c.IPRequestsPerMinute = 4 }})
	for range 5 {
		require.Equal(t, 200, open.do(t, http.MethodGet, "/v1/models", "", from).status, "X-Forwarded-For is ignored without trusted proxies")
	}
}

// No failure leaks the credential into a log or a response.
func TestNoFailureLeaksTheCredential(t *testing.T) {
	edge := newEdge(t, options{})
	edge.billing.err = errs.New(errorsv1.ErrorReason_ERROR_REASON_INTERNAL, "No.")
	edge.ai.relay = func(*aiv1.RelayRequest, relayStream) error { return io.ErrUnexpectedEOF }
	edge.ai.stream = func(*aiv1.ChatStreamRequest, chatStream) error { return io.ErrUnexpectedEOF }
	var bodies strings.Builder
	for _, path := range []string{
		"GET /api/v1/billing/account", "POST " + chatPath, "POST " + ssePath, "GET /v1/models?token=" + canary, "GET /" + canary,
		"GET /api/v1/users?page_size=" + canary, "PUT /v1/models", "POST /v1/models/" + canary,
	} {
		method, path, _ := strings.Cut(path, " ")
		for _, auth := range []string{"Bearer " + goodToken, "Bearer bad-" + canary, "Basic " + canary, "Bearer " + canary + "," + canary} {
			bodies.WriteString(edge.do(t, method, path, typedChat, header("Authorization", auth)).body)
		}
	}
	require.NotContains(t, edge.logs.String(), canary)
	require.NotContains(t, bodies.String(), canary)
}
