package webhook_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/gateway/internal/call"
	"github.com/trivet-dev/trivet/gateway/internal/reqbody"
	"github.com/trivet-dev/trivet/gateway/internal/webhook"
)

func post(h *webhook.Handler, ctx context.Context) *httptest.ResponseRecorder {
	h.Body = reqbody.Reader{Max: webhook.MaxBody, Timeout: time.Minute}
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "/api/webhooks/stripe", strings.NewReader("{}"))
	h.ServeHTTP(w, r.WithContext(call.With(ctx, &call.State{})))
	return w
}

// A provider gets an answer before it gives up: a store that hangs is as good as one that is down.
func TestAStoreThatHangs(t *testing.T) {
	refused := false
	h := &webhook.Handler{
		Timeout: time.Millisecond,
		Receive: func(ctx context.Context, _ map[string]string, _ []byte) error {
			<-ctx.Done()
			return ctx.Err()
		},
		Refused: func(*http.Request) { refused = true },
	}
	w := post(h, t.Context())
	require.Equal(t, http.StatusServiceUnavailable, w.Code, w.Body)
	require.Equal(t, "5", w.Header().Get("Retry-After"))
	require.Contains(t, w.Body.String(), "send it again")
	require.False(t, refused)
}

// What was stored in the last moment is stored.
func TestStoredInTheLastMoment(t *testing.T) {
	h := &webhook.Handler{Timeout: time.Millisecond, Receive: func(ctx context.Context, _ map[string]string, _ []byte) error {
		<-ctx.Done()
		return nil
	}}
	require.Equal(t, http.StatusOK, post(h, t.Context()).Code)
}
