//go:build !race

package gateway_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
)

// The edge adds a fixed number of allocations to a call of the all-in-one, and none to a piece of a stream. The bounds are a
// third above what is needed.
func TestAllocationsOfARelayedCall(t *testing.T) {
	measure := func(head *aiv1.RelayHead, pieces int, body string) float64 {
		d := &direct{head: &aiv1.RelayResponse{Head: head}, piece: &aiv1.RelayResponse{Body: event}, pieces: pieces}
		d.relay = d.plain
		handler := d.gateway(t).Handler()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, chatPath, nil)
		r.Header["Authorization"] = []string{"Bearer " + goodToken}
		r.RemoteAddr = "127.0.0.1:1"
		reader := strings.NewReader(body)
		r.ContentLength = int64(len(body))
		return testing.AllocsPerRun(200, func() {
			reader.Reset(body)
			r.Body = io.NopCloser(reader)
			handler.ServeHTTP(&nullWriter{h: http.Header{}}, r)
		})
	}
	whole := measure(&aiv1.RelayHead{Status: 200, Headers: map[string]string{"content-type": "application/json"}}, 1, `{"model":"gpt-5-mini","messages":[]}`)
	few, many := measure(streamHead, 100, wantsStream), measure(streamHead, 500, wantsStream)
	t.Logf("allocations: %.0f whole, %.0f streamed in 100 pieces, %.0f in 500", whole, few, many)
	require.LessOrEqual(t, whole, 25.0)
	require.LessOrEqual(t, few, 32.0)
	require.InDelta(t, few, many, 2, "a piece allocates nothing")
}
