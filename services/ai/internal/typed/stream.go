package typed

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"

	goopenai "github.com/sashabaranov/go-openai"
	"google.golang.org/protobuf/proto"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
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
		return c.refuse(ctx, claims, in, err)
	}
	req.Seed = seedOf(in.Seed)
	req.Stream = true
	if err := goopenai.NewReasoningValidator().Validate(req); err != nil {
		return c.refuse(ctx, claims, in, (&exchange{}).failure(err))
	}
	body, err := json.Marshal(req)
	if err != nil {
		return (&exchange{}).failure(err)
	}
	headers, err := headersOf(ctx)
	if err != nil {
		return c.refuse(ctx, claims, in, err)
	}
	s := &streamSink{client: c, send: send}
	err = c.invoker.Invoke(ctx, claims, wire.Chat, numbers{in.Temperature, in.TopP}.complete(body), headers, s)
	if c.fallsBack(ctx, in, err) {
		return c.streamFallback(in.GetModel(), send)
	}
	if err != nil {
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
	pieces  pieces
	named   bool // a piece has carried the model
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
			s.pieces.add(out, ev.Data)
		}
	}
	if out.GetDelta() == "" && out.Reasoning == nil && len(out.GetToolCalls()) == 0 {
		return nil // a role, a comment, or the finish reason, which goes into the last piece
	}
	s.name(out)
	return s.send(out)
}

// name sets the answer's id, and its model in the first piece.
func (s *streamSink) name(out *aiv1.ChatStreamResponse) {
	out.Id = s.pieces.id
	if !s.named {
		out.Model, s.named = s.pieces.model, true
	}
}

func (s *streamSink) last() *aiv1.ChatStreamResponse {
	out := &aiv1.ChatStreamResponse{FinishReason: s.pieces.finish, Usage: s.receipt.Usage.Proto(), CostNanoUsd: proto.Int64(s.receipt.Cost)}
	s.pieces.rest(out)
	s.name(out)
	return out
}

// end translates an answer that is not a stream: an error that the provider answered.
func (s *streamSink) end() error {
	if s.head.Streamed {
		return nil
	}
	var answered goopenai.ErrorResponse
	if json.Unmarshal(s.whole.Bytes(), &answered) != nil || answered.Error == nil {
		answered.Error = &goopenai.APIError{Message: http.StatusText(s.head.Status)}
	}
	return s.client.refusal(s.head.Status, answered.Error, s.head.Headers)
}
