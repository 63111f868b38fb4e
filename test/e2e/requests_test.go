package e2e

import (
	"net/http"
	"net/url"
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

// Whoever pastes the request id of an answer or an error finds the call, and nobody else does.
func TestARequestIDLeadsToItsRecord(t *testing.T) {
	inEachMode(t, func(t *testing.T, in *installation) {
		alice, bob := in.token("user_alice", nil), in.token("user_bob", nil)
		list := func(token, id string) (page requestPage) {
			t.Helper()
			in.get("/api/v1/requests?requestId="+url.QueryEscape(id), token, &page)
			return page
		}
		for _, c := range []struct {
			path, body, outcome, code string
			status                    int
		}{
			{"/v1/chat/completions", `{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}`, "OUTCOME_COMPLETED", "", http.StatusOK},
			{"/v1/chat/completions", `{"model": "gpt-0", "messages": [{"role": "user", "content": "Hello"}]}`, "OUTCOME_REFUSED", "MODEL_NOT_FOUND", http.StatusNotFound},
			{"/api/v1/chat", `{"model": "gpt-4o-mini"}`, "OUTCOME_REFUSED", "INVALID_ARGUMENT", http.StatusBadRequest},
			{"/api/v1/chat", `{"modell": "gpt-4o-mini"}`, "OUTCOME_REFUSED", "INVALID_ARGUMENT", http.StatusBadRequest}, // by the edge
		} {
			a := in.call(t.Context(), http.MethodPost, c.path, alice, c.body)
			require.Equal(t, c.status, a.status, "%s", a.body)
			id := a.header.Get("X-Request-Id")
			require.NotEmpty(t, id)
			var found requestPage
			require.Eventually(t, func() bool { found = list(alice, id); return len(found.Requests) > 0 }, time.Minute, 50*time.Millisecond)
			require.Len(t, found.Requests, 1)
			got := found.Requests[0]
			require.Equal(t, loggedRequest{
				ID: got.ID, RequestID: id, UserID: "user_alice", Model: got.Model, Outcome: c.outcome, ErrorCode: c.code, CostNanoUsd: got.CostNanoUsd,
			}, got)
			require.Equal(t, c.outcome == "OUTCOME_COMPLETED", got.CostNanoUsd != "0")
			require.Empty(t, list(bob, id).Requests)

			var one struct{ Request loggedRequest }
			in.get("/api/v1/requests/"+got.ID, alice, &one)
			require.Equal(t, got, one.Request)
			require.Equal(t, http.StatusNotFound, in.call(t.Context(), http.MethodGet, "/api/v1/requests/"+got.ID, bob, "").status)
		}
		require.Equal(t, http.StatusUnauthorized, in.call(t.Context(), http.MethodPost, "/v1/chat/completions", "", "{}").status)
		var all requestPage
		in.get("/api/v1/requests", alice, &all)
		require.Len(t, all.Requests, 4, "a call without an identity is not logged")
	})
}
