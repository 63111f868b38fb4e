package typed

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"net/http"

	goopenai "github.com/sashabaranov/go-openai"
	"google.golang.org/protobuf/proto"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/services/ai/internal/hold"
	"github.com/trivet-dev/trivet/services/ai/internal/invoke"
	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

// ChatStream answers a conversation piece by piece. An error of send means that the caller has left. The returned error
// is an *errs.Error.
//
// go-openai writes the request but does not read the stream: its reader takes an end without [DONE] for success, loses
// errors that follow a comment, and hides the headers of a stream that failed to open. Package invoke has already
// checked the events that arrive here.
func (c *Client) ChatStream(ctx context.Context, claims *passport.Claims, in *aiv1.ChatStreamRequest, send func(*aiv1.ChatStreamResponse) error) error {
	req, err := request(in)
	if err != nil {
		return err
	}
	req.Stream = true
	if err := goopenai.NewReasoningValidator().Validate(req); err != nil {
		return (&exchange{}).failure(err)
	}
	body, err := json.Marshal(req)
	if err != nil {
		return (&exchange{}).failure(err)
	}
	left := zeros{in.Temperature != nil && in.GetTemperature() == 0, in.TopP != nil && in.GetTopP() == 0}
	s := &streamSink{client: c, send: send}
	if err := c.invoker.Invoke(ctx, claims, wire.Chat, left.complete(body), nil, s); err != nil {
		return ownFields(errs.From(err))
	}
	return s.end()
}

// streamSink translates a stream as it passes.
type streamSink struct {
	client  *Client
	send    func(*aiv1.ChatStreamResponse) error
	head    invoke.Head
	whole   bytes.Buffer // of an answer in one piece
	receipt *hold.Receipt
	id      string
	model   string
	named   bool // a piece has carried the model
	finish  string
}

// chunk is what the typed API shows of a chunk.
type chunk struct {
	ID      string
	Model   string
	Choices []struct {
		Index int
		Delta struct {
			Content   string
			Refusal   string
			ToolCalls []struct {
				Index    int32
				ID       string
				Function struct{ Name, Arguments string }
			} `json:"tool_calls"`
		}
		FinishReason string `json:"finish_reason"`
	}
}

// Head implements invoke.Sink.
func (s *streamSink) Head(h invoke.Head) error { s.head = h; return nil }

// Settled implements invoke.Sink.
func (s *streamSink) Settled(r hold.Receipt) { s.receipt = &r }

// Body implements invoke.Sink. All events of one part make one piece; after the settlement only [DONE] comes.
func (s *streamSink) Body(p []byte) error {
	if !s.head.Streamed {
		s.whole.Write(p)
		return nil
	}
	if s.receipt != nil {
		return s.send(s.last())
	}
	scanner := s.client.scanners.Scanner(bytes.NewReader(p))
	defer scanner.Close()
	out := &aiv1.ChatStreamResponse{}
	for scanner.Fill() == nil {
		for ev, ok := scanner.Next(); ok; ev, ok = scanner.Next() {
			s.add(out, ev.Data)
		}
	}
	if out.GetDelta() == "" && len(out.GetToolCalls()) == 0 {
		return nil // a role, a comment, or the finish reason, which goes into the last piece
	}
	s.name(out)
	return s.send(out)
}

// name sets the answer's id, and its model in the first piece.
func (s *streamSink) name(out *aiv1.ChatStreamResponse) {
	out.Id = s.id
	if !s.named {
		out.Model, s.named = s.model, true
	}
}

func (s *streamSink) add(out *aiv1.ChatStreamResponse, data []byte) {
	var k chunk
	if json.Unmarshal(data, &k) != nil { // a comment has no data
		return
	}
	s.id, s.model = cmp.Or(s.id, k.ID), cmp.Or(s.model, k.Model)
	for _, choice := range k.Choices {
		if choice.Index != 0 {
			continue
		}
		out.Delta += choice.Delta.Content + choice.Delta.Refusal
		for _, call := range choice.Delta.ToolCalls {
			out.ToolCalls = append(out.ToolCalls, &aiv1.ToolCallDelta{
				Index: call.Index, Id: call.ID, Name: call.Function.Name, Arguments: call.Function.Arguments,
			})
		}
		if choice.FinishReason != "" {
			s.finish = choice.FinishReason
		}
	}
}

func (s *streamSink) last() *aiv1.ChatStreamResponse {
	out := &aiv1.ChatStreamResponse{FinishReason: s.finish, Usage: s.receipt.Usage.Proto(), CostNanoUsd: proto.Int64(s.receipt.Cost)}
	s.name(out)
	return out
}

// end translates an answer that is not a stream: an error, or an answer of a provider that does not stream.
func (s *streamSink) end() error {
	if s.head.Streamed {
		return nil
	}
	if s.head.Status >= http.StatusBadRequest {
		var answered goopenai.ErrorResponse
		if json.Unmarshal(s.whole.Bytes(), &answered) != nil || answered.Error == nil {
			answered.Error = &goopenai.APIError{Message: http.StatusText(s.head.Status)}
		}
		return refusal(s.head.Status, answered.Error, s.head.Headers)
	}
	var res goopenai.ChatCompletionResponse
	if err := json.Unmarshal(s.whole.Bytes(), &res); err != nil {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, "The provider's answer cannot be read.").Cause(err)
	}
	message, finish := toMessage(res.Choices)
	s.id, s.model, s.finish = res.ID, res.Model, finish
	out := &aiv1.ChatStreamResponse{Delta: message.GetContent()}
	s.name(out)
	for i, call := range message.GetToolCalls() {
		out.ToolCalls = append(out.ToolCalls, &aiv1.ToolCallDelta{Index: int32(i), Id: call.GetId(), Name: call.GetName(), Arguments: call.GetArguments()})
	}
	if err := s.send(out); err != nil {
		return errs.From(err)
	}
	if err := s.send(s.last()); err != nil {
		return errs.From(err)
	}
	return nil
}
