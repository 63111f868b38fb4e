package typed

import (
	"context"

	goopenai "github.com/sashabaranov/go-openai"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

// Chat answers a conversation in one piece. Its error is an *errs.Error.
func (c *Client) Chat(ctx context.Context, claims *passport.Claims, in *aiv1.ChatRequest) (*aiv1.ChatResponse, error) {
	req, err := request(in)
	if err != nil {
		return nil, c.refuse(ctx, claims, in, err)
	}
	req.Seed = seedOf(in.Seed)
	headers, err := headersOf(ctx)
	if err != nil {
		return nil, c.refuse(ctx, claims, in, err)
	}
	x := &exchange{client: c, claims: claims, endpoint: wire.Chat, headers: headers, edit: numbers{in.Temperature, in.TopP}.complete}
	res, err := call(ctx, x, func(ctx context.Context, api *goopenai.Client) (goopenai.ChatCompletionResponse, error) {
		return api.CreateChatCompletion(ctx, req)
	})
	if err != nil && !x.invoked {
		return nil, c.refuse(ctx, claims, in, err)
	}
	if c.fallsBack(ctx, in, err) {
		return c.fallbackAnswer(in.GetModel()), nil
	}
	if err != nil {
		return nil, err
	}
	out := &aiv1.ChatResponse{Id: res.ID, Model: res.Model, Usage: x.receipt.Usage.Proto(), CostNanoUsd: x.receipt.Cost}
	out.Message, out.FinishReason = toMessage(res.Choices)
	return out, nil
}

// toMessage returns the first choice: Trivet asks for one.
func toMessage(choices []goopenai.ChatCompletionChoice) (*aiv1.Message, string) {
	if len(choices) == 0 {
		return &aiv1.Message{Role: "assistant"}, ""
	}
	m := choices[0].Message
	out := &aiv1.Message{Role: m.Role, Content: m.Content}
	for _, part := range m.MultiContent { // go-openai fills it when the provider sends a list
		out.Content += part.Text
	}
	if out.GetContent() == "" {
		out.Content = m.Refusal
	}
	for _, call := range m.ToolCalls {
		out.ToolCalls = append(out.ToolCalls, &aiv1.ToolCall{Id: call.ID, Name: call.Function.Name, Arguments: call.Function.Arguments})
	}
	return out, string(choices[0].FinishReason)
}
