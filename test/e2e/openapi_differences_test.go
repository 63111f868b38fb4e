package e2e

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The document that answers are compared with is the one that clients get.
func TestServedOpenAPI(t *testing.T) {
	in := allInOne(t)
	want, err := os.ReadFile(filepath.Join("..", "..", "gen", "openapi", openAPIFile))
	require.NoError(t, err)
	require.JSONEq(t, string(want), string(in.call(t.Context(), http.MethodGet, "/openapi.json", "", "").body))
}

// The validator notices each kind of difference, and only differences.
func TestValidatorNoticesDifferences(t *testing.T) {
	const failure = `{"error":"What happened","code":"NOT_FOUND","requestId":"req_1"}`
	for name, c := range map[string]struct {
		method, path string
		status       int
		kind, body   string
		differs      string // a part of the message; "" for none
	}{
		"right":                  {"GET", "/api/v1/apiKeys/key_1:takeOver", 404, "application/json", failure, ""},
		"right list":             {"GET", "/api/v1/models", 200, "application/json; charset=utf-8", `{"models":[],"nextPageToken":""}`, ""},
		"a field too many":       {"GET", "/api/v1/models", 200, "application/json", `{"models":[],"nextPageToken":"","more":1}`, "more"},
		"a field too few":        {"GET", "/api/v1/models", 200, "application/json", `{}`, "models"},
		"a wrong type":           {"GET", "/api/v1/models", 200, "application/json", `{"models":{},"nextPageToken":""}`, "array"},
		"not JSON":               {"GET", "/api/v1/models", 200, "application/json", `{`, "not JSON"},
		"an unknown status":      {"GET", "/api/v1/models", 204, "application/json", ``, "no such status"},
		"an unknown type":        {"GET", "/api/v1/models", 200, "text/html", `<p>`, "content types"},
		"an unknown path":        {"GET", "/api/v1/nothing", 200, "application/json", `{}`, "no such operation"},
		"an unknown method":      {"PUT", "/api/v1/models", 200, "application/json", `{}`, "no such operation"},
		"a route that is absent": {"GET", "/api/v1/nothing", 404, "application/json", `{"anything":1}`, ""},
		"an error of a kind":     {"GET", "/api/v1/models", 500, "application/json", `{"error":"x","code":"OTHER","requestId":"req_1"}`, "code"},
		"an error of OpenAI":     {"GET", "/v1/models", 404, "application/json", failure, "error"},
		"another server":         {"GET", "/stripe/v1/customers", 200, "application/json", `{}`, ""},
		"an event":               {"POST", "/api/v1/chat:stream", 200, "text/event-stream", "data: {\"other\":1}\n\n", "other"},
		"an event's error":       {"POST", "/api/v1/chat:stream", 200, "text/event-stream", "event: error\ndata: " + failure + "\n\n", ""},
		"an error of Responses":  {"POST", "/v1/responses", 200, "text/event-stream", "event: error\ndata: {\"type\":\"error\",\"sequence_number\":0,\"code\":\"x\",\"message\":\"m\",\"param\":null,\"error\":{\"message\":\"m\",\"type\":\"server_error\",\"param\":null,\"code\":\"x\"}}\n\n", ""},
		"another of Responses":   {"POST", "/v1/responses", 200, "text/event-stream", "event: error\ndata: {\"type\":\"error\",\"sequence_number\":0,\"code\":\"x\",\"message\":\"m\",\"param\":null,\"more\":1,\"error\":{\"message\":\"m\",\"type\":\"server_error\",\"param\":null,\"code\":\"x\"}}\n\n", "more"},
		"a wrong error":          {"POST", "/api/v1/chat:stream", 200, "text/event-stream", "event: error\ndata: {\"error\":1}\n\n", "error"},
		"a part of an event":     {"POST", "/api/v1/chat:stream", 200, "text/event-stream", "data: {\"oth", ""},
		"another path with id":   {"GET", "/api/v1/users/user_1:export", 200, "application/json", `{"user":{}}`, "additional"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", c.kind)
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			}))
			defer server.Close()
			v, err := newOpenAPIValidator(server.Client().Transport)
			require.NoError(t, err)
			request, err := http.NewRequestWithContext(t.Context(), c.method, server.URL+c.path, http.NoBody)
			require.NoError(t, err)
			response, err := (&http.Client{Transport: v}).Do(request)
			require.NoError(t, err)
			require.Equal(t, c.body, readAll(t, response), "the client reads the answer as it is")
			require.NoError(t, response.Body.Close())
			var report strings.Builder
			require.Equal(t, c.differs == "", v.report(&report), report.String())
			require.Contains(t, report.String(), c.differs)
		})
	}
}
