package typed

import (
	"context"
	"errors"
	"log/slog"

	"google.golang.org/protobuf/proto"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	usagev1 "github.com/trivet-dev/trivet/gen/go/trivet/usage/v1"
	"github.com/trivet-dev/trivet/services/ai/internal/invoke"
)

// fallsBack reports whether the fallback text answers a conversation whose call ended with err: no target of the model
// was available, so nothing was sent and nothing is owed. A caller who asked for JSON gets the error, because the text
// is not JSON.
func (c *Client) fallsBack(ctx context.Context, in prompt, err error) bool {
	if c.fallback == "" || in.GetResponseFormat() != nil || !errors.Is(err, invoke.ErrNoTarget) {
		return false
	}
	c.log.WarnContext(ctx, "no target of the model is available; the caller gets the text of TRIVET_FALLBACK_TEXT",
		slog.String("model", in.GetModel()), slog.Any("error", err))
	c.invoker.NoteFallbackText(ctx, in.GetModel())
	return true
}

// fallbackFinish is why a fallback answer ends.
const fallbackFinish = "stop"

func (c *Client) fallbackAnswer(model string) *aiv1.ChatResponse {
	return &aiv1.ChatResponse{
		Model: model, Message: &aiv1.Message{Role: "assistant", Content: c.fallback}, FinishReason: fallbackFinish,
		Usage: &usagev1.CallUsage{}, Fallback: proto.Bool(true),
	}
}

// streamFallback sends the fallback answer in the two pieces that a stream has at least.
func (c *Client) streamFallback(model string, send func(*aiv1.ChatStreamResponse) error) error {
	if err := send(&aiv1.ChatStreamResponse{Model: model, Delta: c.fallback, Fallback: proto.Bool(true)}); err != nil {
		return err
	}
	return send(&aiv1.ChatStreamResponse{
		FinishReason: fallbackFinish, Usage: &usagev1.CallUsage{}, CostNanoUsd: proto.Int64(0), Fallback: proto.Bool(true),
	})
}
