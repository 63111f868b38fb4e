package gateway_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/gateway"
)

// echoClerk stands in for the sandbox. It echoes the request.
var echoClerk = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Access-Control-Allow-Credentials", "true")
	_ = json.NewEncoder(w).Encode(map[string]string{
		"method": r.Method, "path": r.URL.Path, "query": r.URL.RawQuery, "host": r.Header.Get("X-Forwarded-Host"), "proto": r.Header.Get("X-Forwarded-Proto"),
	})
})

// While the sandbox stands in for Clerk, the edge forwards to its Frontend API, without a credential.
func TestClerksFrontendAPIIsForwarded(t *testing.T) {
	edge := newEdge(t, options{development: gateway.Development{Clerk: echoClerk}})
	for _, method := range []string{"GET", "POST", "PATCH", "DELETE", "OPTIONS"} {
		resp := edge.do(t, method, "/__clerk/v1/client/sessions/sess_1?_method=PATCH", "", header("Authorization", ""), header("X-Forwarded-Host", "evil.test"))
		require.Equal(t, http.StatusOK, resp.status, "%s: %s", method, resp.body)
		var got map[string]string
		require.NoError(t, json.Unmarshal([]byte(resp.body), &got))
		require.Equal(t, map[string]string{
			"method": method, "path": "/v1/client/sessions/sess_1", "query": "_method=PATCH", "host": edge.url[len("http://"):], "proto": "http",
		}, got)
	}
	preflight := edge.do(t, "OPTIONS", "/__clerk/v1/client", "", header("Origin", "http://localhost:5173"), header("Access-Control-Request-Method", "POST"))
	require.Equal(t, "true", preflight.header.Get("Access-Control-Allow-Credentials"), "the sandbox answers, not the edge")
	require.NotContains(t, edge.logs.String(), "sess_1", "the log contains routes instead of paths")
	require.Equal(t, http.StatusNotFound, edge.do(t, "GET", "/__clerk", "").status)
}

func TestClerksFrontendAPIIsAbsentWithoutTheSandbox(t *testing.T) {
	edge := newEdge(t, options{})
	require.Equal(t, http.StatusNotFound, edge.do(t, http.MethodGet, "/__clerk/v1/client", "").status)
}

// In development pages of this machine may call from every port.
func TestLoopbackOrigins(t *testing.T) {
	const configured = "https://app.example.com"
	allow := func(c *gateway.Config) { c.AllowedOrigins = []string{configured} }
	cases := map[string]bool{
		"http://localhost:5173": true, "https://localhost": true, "http://127.0.0.1:3000": true, "http://[::1]:3000": true, "http://app.localhost:1": true, configured: true,
		"http://localhost.evil.test": false, "http://evil.test": false, "http://127.0.0.1.evil.test": false, "http://192.168.1.2:5173": false,
		"null": false, "file://localhost": false, "http://localhost:5173/": false, "http://user@localhost": false,
	}
	dev := newEdge(t, options{config: allow, development: gateway.Development{LoopbackOrigins: true}})
	plain := newEdge(t, options{config: allow})
	for origin, allowed := range cases {
		got := dev.do(t, http.MethodGet, "/v1/models", "", header("Origin", origin)).header.Get("Access-Control-Allow-Origin")
		if allowed {
			require.Equal(t, origin, got)
		} else {
			require.Empty(t, got, origin)
		}
		if origin != configured {
			require.Empty(t, plain.do(t, http.MethodGet, "/v1/models", "", header("Origin", origin)).header.Get("Access-Control-Allow-Origin"), origin)
		}
	}
	for origin, allowed := range cases { // a new edge each, because the log takes one such line a second
		edge := newEdge(t, options{config: allow, development: gateway.Development{LoopbackOrigins: true}})
		edge.do(t, http.MethodGet, "/v1/models", "", header("Origin", origin))
		require.Equal(t, !allowed, strings.Contains(edge.logs.String(), "origin not allowed"), origin)
	}
}

func TestDevelopmentIsRefusedInProduction(t *testing.T) {
	for _, d := range []gateway.Development{{Clerk: echoClerk}, {LoopbackOrigins: true}, {Sandbox: "http://127.0.0.1:8090"}} {
		_, err := gateway.New(t.Context(), gateway.Config{}, gateway.Deps{Production: true, Development: d})
		require.ErrorContains(t, err, "Development is set in production")
	}
	_, err := gateway.New(t.Context(), gateway.Config{}, gateway.Deps{Production: true})
	require.NotContains(t, err.Error(), "Development")
}
