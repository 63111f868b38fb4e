package e2e

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// loggedRequest is a record of GET /api/v1/requests.
type loggedRequest struct {
	ID, RequestID, UserID, Model, Outcome, ErrorCode, CostNanoUsd string
}

type requestPage struct {
	Requests      []loggedRequest
	NextPageToken string
}

// Whoever pastes the request id of an answer or an error finds the call, and nobody else does. Each way to refuse a call is in the log, by
// the edge or by ai, with the model where it was read.
func TestARequestIDLeadsToItsRecord(t *testing.T) {
	const (
		completed, refused = "OUTCOME_COMPLETED", "OUTCOME_REFUSED"
		chat, hello        = "/v1/chat/completions", `"messages": [{"role": "user", "content": "Hello"}]`
		mini               = `{"model": "gpt-4o-mini", ` + hello + `}`
		upload             = "multipart/form-data; boundary=b"
		form               = "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--b--\r\n"
	)
	inEachMode(t, func(t *testing.T, in *installation) {
		alice, bob := in.token("user_alice", nil), in.token("user_bob", nil)
		key := func(body string) string {
			var made struct{ Secret string }
			in.post("/api/v1/apiKeys", alice, body, &made)
			return made.Secret
		}
		narrow, limited, poor, reader := key(`{"name": "narrow", "models": ["gpt-5-nano"]}`), key(`{"name": "limited", "requestsPerMinute": 1}`),
			key(`{"name": "poor", "spendLimitNanoUsd": "1"}`), key(`{"name": "reader", "scopes": ["billing.read"]}`)
		require.Equal(t, http.StatusOK, in.call(t.Context(), http.MethodPost, chat, limited, mini).status)
		list := func(token, id string) (page requestPage) {
			t.Helper()
			in.get("/api/v1/requests?requestId="+url.QueryEscape(id), token, &page)
			return page
		}
		check := func(c loggedCall) {
			t.Helper()
			kind := cmp.Or(c.kind, "application/json")
			a := in.callAs(t.Context(), cmp.Or(c.method, http.MethodPost), c.path, cmp.Or(c.token, alice), kind, c.body)
			require.Equal(t, c.status, a.status, "%s %s", c.path, a.body)
			id := a.header.Get("X-Request-Id")
			require.NotEmpty(t, id)
			var found requestPage
			require.Eventually(t, func() bool { found = list(alice, id); return len(found.Requests) > 0 }, time.Minute, 50*time.Millisecond, "%s %s", c.path, a.body)
			require.Len(t, found.Requests, 1)
			got := found.Requests[0]
			require.Equal(t, loggedRequest{
				ID: got.ID, RequestID: id, UserID: "user_alice", Model: c.model, Outcome: c.outcome, ErrorCode: c.code, CostNanoUsd: got.CostNanoUsd,
			}, got)
			require.Equal(t, c.outcome == completed, got.CostNanoUsd != "0")
			require.Empty(t, list(bob, id).Requests)

			var one struct{ Request loggedRequest }
			in.get("/api/v1/requests/"+got.ID, alice, &one)
			require.Equal(t, got, one.Request)
			require.Equal(t, http.StatusNotFound, in.call(t.Context(), http.MethodGet, "/api/v1/requests/"+got.ID, bob, "").status)
		}
		calls := []loggedCall{
			{path: chat, body: mini, status: 200, outcome: completed, model: "gpt-4o-mini"},
			{path: chat, body: `{"model": "gpt-0", ` + hello + `}`, status: 404, outcome: refused, code: "MODEL_NOT_FOUND", model: "gpt-0"},
			{path: chat, body: `{"model": "gpt-4o-mini", "n": -1, ` + hello + `}`, status: 400, outcome: refused, code: "INVALID_ARGUMENT", model: "gpt-4o-mini"},
			{path: chat, body: `{"model": "gpt-4o-mini", "messages": [`, status: 400, outcome: refused, code: "MALFORMED_BODY", model: "gpt-4o-mini"},
			{path: "/v1/responses", body: `{"model": "gpt-0", "input": "hi"}`, status: 404, outcome: refused, code: "MODEL_NOT_FOUND", model: "gpt-0"},
			{path: "/v1/audio/transcriptions", kind: upload, body: form, status: 400, outcome: refused, code: "INVALID_ARGUMENT", model: "whisper-1"},
			{path: chat, token: narrow, body: mini, status: 403, outcome: refused, code: "MODEL_NOT_ALLOWED", model: "gpt-4o-mini"},
			{path: chat, token: limited, body: mini, status: 429, outcome: refused, code: "RATE_LIMIT_EXCEEDED", model: "gpt-4o-mini"},
			{path: chat, token: poor, body: mini, status: 402, outcome: refused, code: "INSUFFICIENT_BALANCE", model: "gpt-4o-mini"},
			{path: "/api/v1/chat", body: `{"model": "gpt-4o-mini"}`, status: 400, outcome: refused, code: "INVALID_ARGUMENT", model: "gpt-4o-mini"},
			// by the edge
			{path: "/api/v1/chat", body: `{"model": "gpt-4o-mini", "modell": "x"}`, status: 400, outcome: refused, code: "INVALID_ARGUMENT", model: "gpt-4o-mini"},
			{path: "/api/v1/chat:stream", body: `{"model": "gpt-4o-mini", `, status: 400, outcome: refused, code: "MALFORMED_BODY", model: "gpt-4o-mini"},
			{path: chat, body: `{"model": "gpt-4o-mini"}` + strings.Repeat(" ", 128<<10), status: 413, outcome: refused, code: "BODY_TOO_LARGE"},
			{path: "/v1/threads", body: mini, status: 404, outcome: refused, code: "NOT_FOUND"},
			{path: chat, method: http.MethodPut, body: mini, status: 405, outcome: refused, code: "METHOD_NOT_ALLOWED"},
		}
		for _, c := range calls {
			check(c)
		}
		more := 1 // the call that took the limit of its key
		// The scope of a key is checked before the request is read where a network lies between the edge and ai.
		scope := in.call(t.Context(), http.MethodPost, chat, reader, mini)
		require.Equal(t, http.StatusForbidden, scope.status, "%s", scope.body)
		require.Eventually(t, func() bool { return len(list(alice, scope.header.Get("X-Request-Id")).Requests) == 1 }, time.Minute, 50*time.Millisecond)
		more++
		if slices.ContainsFunc(in.running, func(p *program) bool { return p.name == "ai" }) {
			in.program("ai").end(t)
			check(loggedCall{path: chat, body: mini, status: 503, outcome: refused, code: "SERVICE_UNAVAILABLE", model: "gpt-4o-mini"})
			check(loggedCall{path: "/api/v1/chat", body: mini, status: 503, outcome: refused, code: "SERVICE_UNAVAILABLE", model: "gpt-4o-mini"})
			check(loggedCall{path: "/api/v1/chat:stream", body: mini, status: 503, outcome: refused, code: "SERVICE_UNAVAILABLE", model: "gpt-4o-mini"})
			check(loggedCall{path: "/v1/audio/transcriptions", kind: upload, body: form, status: 503, outcome: refused, code: "SERVICE_UNAVAILABLE", model: "whisper-1"})
			more += 4
		}
		require.Equal(t, http.StatusUnauthorized, in.call(t.Context(), http.MethodPost, chat, "", "{}").status)
		require.Equal(t, http.StatusNotFound, in.call(t.Context(), http.MethodPost, "/v1/threads", "", "{}").status)
		var all requestPage
		in.get("/api/v1/requests?pageSize=100", alice, &all)
		require.Len(t, all.Requests, len(calls)+more, "a call without an identity is not logged")
	}, "TRIVET_MAX_BODY_BYTES=65536")
}

// loggedCall is a call and its record.
type loggedCall struct {
	method, path, token, kind, body string // a POST of JSON by Alice, unless they say otherwise
	status                          int
	outcome, code, model            string
}
