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
	x := &exchange{client: c, claims: claims, endpoint: wire.Chat, headers: headers, edit: numbers{in.Temperature, in.TopP}.complete, own: true}
	_, err = call(ctx, x, func(ctx context.Context, api *goopenai.Client) (goopenai.ChatCompletionResponse, error) {
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
	out := readChat(x.answered())
	out.Usage, out.CostNanoUsd = x.receipt.Usage.Proto(), x.receipt.Cost
	return out, nil
}

// readChat reads the first choice of an answer: Trivet asks for one.
func readChat(body []byte) *aiv1.ChatResponse {
	p, all := pieces{whole: true}, &aiv1.ChatStreamResponse{}
	p.add(all, body)
	p.rest(all)
	m := &aiv1.Message{Role: "assistant", Content: all.GetDelta()}
	calls := map[int32]*aiv1.ToolCall{}
	for _, piece := range all.GetToolCalls() {
		if call, known := calls[piece.GetIndex()]; known { // half a character at its end
			call.Arguments += piece.GetArguments()
			continue
		}
		call := &aiv1.ToolCall{Id: piece.GetId(), Name: piece.GetName(), Arguments: piece.GetArguments()}
		calls[piece.GetIndex()] = call
		m.ToolCalls = append(m.ToolCalls, call)
	}
	return &aiv1.ChatResponse{Id: p.id, Model: p.model, Message: m, FinishReason: p.finish, Reasoning: all.Reasoning}
}
