package gateway_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/gateway"
)

// In split mode the sandbox is another process.
func TestForwardClerk(t *testing.T) {
	var host string
	sandbox := httptest.NewServer(http.StripPrefix("/clerk", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host = r.Host
		w.Header().Set("Cache-Control", "max-age=300")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		echoClerk(w, r)
	})))
	defer sandbox.Close()
	clerk, err := gateway.ForwardClerk(sandbox.URL + "/")
	require.NoError(t, err)
	edge := newEdge(t, options{development: gateway.Development{Clerk: clerk}})
	own := edge.url[len("http://"):]
	resp := edge.do(t, http.MethodPost, "/__clerk/v1/client?_method=PATCH", "a=b", header("Authorization", ""))
	require.JSONEq(t, `{"method":"POST","path":"/v1/client","query":"_method=PATCH","host":"`+own+`","proto":"http"}`, resp.body)
	require.Equal(t, own, host, "the sandbox judges the caller's Host")
	require.Equal(t, []string{"max-age=300"}, resp.header.Values("Cache-Control"))
	require.Equal(t, []string{"nosniff"}, resp.header.Values("X-Content-Type-Options"))
	require.NotEmpty(t, resp.header.Get("X-Request-Id"))

	sandbox.Close()
	require.Equal(t, http.StatusBadGateway, edge.do(t, http.MethodGet, "/__clerk/v1/client", "").status)
	for _, bad := range []string{"", "127.0.0.1:8090", "://"} {
		_, err := gateway.ForwardClerk(bad)
		require.Error(t, err, bad)
	}
}
