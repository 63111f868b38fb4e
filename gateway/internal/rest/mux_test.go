package rest_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/trivet-dev/trivet/gateway/internal/reqbody"
	"github.com/trivet-dev/trivet/gateway/internal/rest"
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
)

// recording is a connection that records the metadata of calls, and returns headers and trailers.
type recording struct {
	sent     metadata.MD
	deadline bool
	method   string
}

func (c *recording) Invoke(ctx context.Context, method string, _, _ any, opts ...grpc.CallOption) error {
	c.sent, _ = metadata.FromOutgoingContext(ctx)
	_, c.deadline = ctx.Deadline()
	c.method = method
	for _, o := range opts {
		switch o := o.(type) {
		case grpc.HeaderCallOption:
			*o.HeaderAddr = metadata.Pairs("x-internal", "secret", "set-cookie", "a=b")
		case grpc.TrailerCallOption:
			*o.TrailerAddr = metadata.Pairs("x-internal", "secret")
		}
	}
	return nil
}

func (c *recording) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	panic("not used")
}

func newMux(t *testing.T) (*rest.Mux, *recording) {
	t.Helper()
	c := &recording{}
	mux, err := rest.New(t.Context(), rest.Clients{
		Auth: authv1.NewAuthServiceClient(c), AI: aiv1.NewAIServiceClient(c), Billing: billingv1.NewBillingServiceClient(c),
	}, reqbody.Reader{Max: 1 << 20, Timeout: time.Second})
	require.NoError(t, err)
	return mux, c
}

// Only the path, the query and the body of a request reach a service, and only the message of a response reaches the client.
func TestHeadersStopAtTheMux(t *testing.T) {
	mux, c := newMux(t)
	r := httptest.NewRequest(http.MethodGet, "/api/v1/me", nil)
	for name, value := range map[string]string{
		"Authorization": "Bearer x", "Cookie": "a=b", "User-Agent": "me", "X-Forwarded-For": "10.0.0.1", "Grpc-Metadata-Role": "operator",
		"Grpc-Metadata-X-Trivet-Passport": "forged", "Grpc-Timeout": "1n", "X-Request-Id": "r", "Te": "trailers",
	} {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	require.Contains(t, c.method, "GetMe")
	require.Empty(t, c.sent, "no header is metadata")
	require.False(t, c.deadline, "no header is a deadline")
	for name := range w.Header() {
		require.Contains(t, []string{"Content-Type", "Content-Length"}, name)
	}
	require.Empty(t, w.Result().Trailer)
}

func TestMethodsAreNotOverridden(t *testing.T) {
	mux, c := newMux(t)
	r := httptest.NewRequest(http.MethodPost, "/api/v1/apiKeys", strings.NewReader("name=x"))
	r.Header.Set("X-HTTP-Method-Override", http.MethodGet)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	require.Equal(t, http.StatusBadRequest, w.Code, "a form is not JSON")
	require.Empty(t, c.method)
}
