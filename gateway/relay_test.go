package gateway_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
)

func TestRelayPlain(t *testing.T) {
	h := newHouse(t, options{})
	var got *aiv1.RelayRequest
	h.ai.relay = func(in *aiv1.RelayRequest, s grpc.ServerStreamingServer[aiv1.RelayResponse]) error {
		got = in
		return answers(&aiv1.RelayHead{Status: 200, Headers: map[string]string{"content-type": "application/json", "x-ratelimit-limit-requests": "5"}},
			`{"id":1}`)(in, s)
	}
	resp := h.do(t, http.MethodPost, "/v1/chat/completions", `{"model":"gpt-5-mini","messages":[]}`)
	require.Equal(t, 200, resp.StatusCode)
	require.Equal(t, `{"id":1}`, text(t, resp))
	require.Equal(t, "5", resp.Header.Get("X-Ratelimit-Limit-Requests"))
	require.Equal(t, `{"model":"gpt-5-mini","messages":[]}`, string(got.GetBody()))
	require.Equal(t, aiv1.Endpoint_ENDPOINT_CHAT_COMPLETIONS, got.GetEndpoint())
}

func TestRelayStream(t *testing.T) {
	h := newHouse(t, options{})
	h.ai.relay = answers(streamHead, "data: 1\n\n", "data: 2\n\n", "data: [DONE]\n\n")
	resp := h.do(t, http.MethodPost, "/v1/chat/completions", `{"stream":true}`)
	require.Equal(t, 200, resp.StatusCode)
	require.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	require.Equal(t, "no", resp.Header.Get("X-Accel-Buffering"))
	require.Equal(t, "data: 1\n\ndata: 2\n\ndata: [DONE]\n\n", text(t, resp))
}
