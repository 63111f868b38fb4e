package e2e

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestLeavingIsNotCheaperThanStaying makes each call twice: a caller who stays reads the answer, one who leaves closes
// the connection while the provider works, also while the edge keeps a stream alive. Both pay the same.
func TestLeavingIsNotCheaperThanStaying(t *testing.T) {
	message := `"messages":[{"role":"user","content":"[sandbox tokens=40] say something"}]`
	calls := map[string]struct{ path, body string }{
		"whole answer":     {"/v1/chat/completions", `{"model":"gpt-4o",` + message + `}`},
		"typed chat":       {"/api/v1/chat", `{"model":"gpt-4o",` + message + `}`},
		"typed embeddings": {"/api/v1/embeddings", `{"model":"text-embedding-3-large","input":["several words to embed"]}`},
		"embeddings":       {"/v1/embeddings", `{"model":"text-embedding-3-large","input":"several words to embed"}`},
		"reasoning stream": {"/v1/chat/completions", `{"model":"o4-mini","stream":true,` + message + `}`},
		"typed reasoning":  {"/api/v1/chat:stream", `{"model":"o4-mini",` + message + `}`},
	}
	inEachMode(t, func(t *testing.T, in *installation) {
		for name, c := range calls {
			t.Run(name, func(t *testing.T) {
				token := in.token("user_"+strings.ReplaceAll(name, " ", "_"), nil)
				full := in.account(token).Balance
				a := in.call(t.Context(), http.MethodPost, c.path, token, c.body)
				require.Equal(t, http.StatusOK, a.status, "%s", a.body)
				stayed := full - in.account(token).Balance
				require.Positive(t, stayed)

				in.fault(map[string]any{"kind": "latency", "delay_ms": 1500, "count": 1})
				ctx, leave := context.WithTimeout(t.Context(), 400*time.Millisecond)
				defer leave()
				request, err := http.NewRequestWithContext(ctx, http.MethodPost, in.edge+c.path, strings.NewReader(c.body))
				require.NoError(t, err)
				request.Header.Set("Authorization", "Bearer "+token)
				request.Header.Set("Content-Type", "application/json")
				response, err := http.DefaultClient.Do(request)
				if err == nil { // the edge began a stream to keep it alive
					_, err = io.Copy(io.Discard, response.Body)
					_ = response.Body.Close()
				}
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.Positive(t, in.account(token).Held, "the hold stays until the call is settled")
				require.Eventually(t, func() bool { return in.account(token).Held == 0 }, 20*time.Second, 50*time.Millisecond)
				require.Equal(t, stayed, full-stayed-in.account(token).Balance)
			})
		}
		in.verifyLedger()
	}, "TRIVET_STREAM_KEEPALIVE=100ms")
}
