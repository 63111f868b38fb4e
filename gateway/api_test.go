package gateway_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
)

func TestTypedAPI(t *testing.T) {
	h := newHouse(t, options{})
	require.Contains(t, text(t, h.do(t, http.MethodGet, "/api/v1/me", "")), `"user_1"`)
	require.Contains(t, text(t, h.do(t, http.MethodGet, "/api/v1/billing/account", "")), `"1500000000"`)
}

func TestChatStream(t *testing.T) {
	h := newHouse(t, options{})
	h.ai.stream = func(_ *aiv1.ChatStreamRequest, s grpc.ServerStreamingServer[aiv1.ChatStreamResponse]) error {
		_ = s.Send(&aiv1.ChatStreamResponse{Id: "a", Delta: "Hel"})
		return s.Send(&aiv1.ChatStreamResponse{Id: "a", Delta: "lo", FinishReason: "stop"})
	}
	resp := h.do(t, http.MethodPost, "/api/v1/chat:stream", `{"model":"gpt-5-mini","messages":[{"role":"user","content":"x"}]}`)
	require.Contains(t, text(t, resp), "finishReason")
}
