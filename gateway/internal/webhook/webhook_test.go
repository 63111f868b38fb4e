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

// A provider gets a 503 before it gives up waiting for a store that hangs.
func TestHangingStore(t *testing.T) {
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
	require.Contains(t, w.Body.String(), `"code":"SERVICE_UNAVAILABLE"`)
	require.False(t, refused)
}

// An event that was stored just after the timeout is answered as stored.
func TestEventStoredAfterTheTimeout(t *testing.T) {
	h := &webhook.Handler{Timeout: time.Millisecond, Receive: func(ctx context.Context, _ map[string]string, _ []byte) error {
		<-ctx.Done()
		return nil
	}}
	require.Equal(t, http.StatusOK, post(h, t.Context()).Code)
}

func TestHeaders(t *testing.T) {
	const name = "Stripe-Signature"
	for test, tc := range map[string]struct {
		values []string
		status int
	}{
		"none":             {nil, http.StatusOK},
		"empty":            {[]string{""}, http.StatusOK},
		"all of ASCII":     {[]string{" !09AZaz~\t"}, http.StatusOK},
		"the longest":      {[]string{strings.Repeat("x", 8<<10)}, http.StatusOK},
		"longer":           {[]string{strings.Repeat("x", 8<<10+1)}, http.StatusUnauthorized},
		"not UTF-8":        {[]string{"t=1\xff"}, http.StatusUnauthorized},
		"not ASCII":        {[]string{"t=1é"}, http.StatusUnauthorized},
		"DEL":              {[]string{"t=1\x7f"}, http.StatusUnauthorized},
		"NUL":              {[]string{"t=1\x00"}, http.StatusUnauthorized},
		"twice":            {[]string{"a", "b"}, http.StatusUnauthorized},
		"twice, the same":  {[]string{"a", "a"}, http.StatusUnauthorized},
		"twice, and empty": {[]string{"a", ""}, http.StatusUnauthorized},
	} {
		t.Run(test, func(t *testing.T) {
			var got map[string]string
			refused := 0
			h := &webhook.Handler{
				Headers: []string{name}, Body: reqbody.Reader{Max: webhook.MaxBody, Timeout: time.Minute},
				Receive: func(_ context.Context, headers map[string]string, _ []byte) error { got = headers; return nil },
				Refused: func(*http.Request) { refused++ },
			}
			r := httptest.NewRequest(http.MethodPost, "/api/webhooks/stripe", strings.NewReader("{}"))
			r.Header.Set("X-Else", "\xff")
			if tc.values != nil {
				r.Header[name] = tc.values
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			require.Equal(t, tc.status, w.Code, w.Body)
			if tc.status != http.StatusOK {
				require.Contains(t, w.Body.String(), "WEBHOOK_SIGNATURE_INVALID")
				require.Nil(t, got)
				require.Equal(t, 1, refused)
				return
			}
			want := map[string]string{}
			if tc.values != nil {
				want["stripe-signature"] = tc.values[0]
			}
			require.Equal(t, want, got)
			require.Zero(t, refused)
		})
	}
}
