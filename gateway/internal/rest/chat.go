package rest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/trivet-dev/trivet/gateway/internal/call"
	"github.com/trivet-dev/trivet/gateway/internal/errorbody"
	"github.com/trivet-dev/trivet/gateway/internal/frames"
	"github.com/trivet-dev/trivet/gateway/internal/reqbody"
	"github.com/trivet-dev/trivet/gateway/internal/sse"
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// ChatStream serves AIService.ChatStream as server-sent events, one per message. A failure before the first message is
// answered with its own status. When the first message takes longer than KeepAlive, the stream starts without it.
type ChatStream struct {
	AI   aiv1.AIServiceClient
	Body reqbody.Reader
	// KeepAlive is how long the stream may be silent before a comment is sent; 0 disables comments.
	KeepAlive time.Duration
}

// ServeHTTP implements http.Handler.
func (h *ChatStream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	state := call.From(r.Context())
	raw, err := h.Body.Require(w, r)
	defer func() { state.Asked("", raw) }()
	request := &aiv1.ChatStreamRequest{}
	if err == nil {
		err = parse(raw, request)
	}
	if err != nil {
		state.Fail(r.Context(), w, err)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	stream, err := h.AI.ChatStream(ctx, request)
	if err != nil {
		state.Fail(r.Context(), w, err)
		return
	}
	source := frames.Read(ctx, cancel, stream.Recv)
	defer source.Close()
	c := &chat{out: sse.NewWriter(w)}
	first, late, err := source.Within(h.KeepAlive)
	if err != nil {
		state.Fail(r.Context(), w, whole(err, false))
		return
	}
	c.out.Begin(http.StatusOK)
	if late {
		err = c.out.Ping()
	} else {
		err = c.first(first)
	}
	if err == nil {
		err = frames.Pump(source, c.out, h.KeepAlive, c.piece)
	}
	c.end(r.Context(), state, err)
}

// chat is one stream that has started.
type chat struct {
	out      *sse.Writer
	buf      []byte
	finished bool
	defect   error // a message that cannot be encoded as JSON
}

func (c *chat) first(m *aiv1.ChatStreamResponse) error {
	err := c.piece(m)
	if err == nil {
		err = c.out.Flush()
	}
	if err != nil {
		return &frames.WriteError{Err: err}
	}
	return nil
}

func (c *chat) piece(m *aiv1.ChatStreamResponse) error {
	b, err := appendPiece(append(c.buf[:0], "data: "...), m)
	if err != nil {
		c.defect = err
		return err
	}
	c.buf = append(b, "\n\n"...)
	c.finished = c.finished || m.GetFinishReason() != ""
	_, err = c.out.Write(c.buf)
	return err
}

// end ends the response. The end is orderly only after the message with the finish reason. Otherwise end sends an error
// event and cuts the connection, because clients take an orderly end for success.
func (c *chat) end(ctx context.Context, state *call.State, err error) {
	if errors.Is(err, io.EOF) && c.finished {
		return
	}
	state.Broken = true
	if c.defect != nil {
		err = c.defect // the write failed because of the message, not because of the client
	}
	if gone, ok := errors.AsType[*frames.WriteError](err); ok {
		state.Failure = errs.New(errorsv1.ErrorReason_ERROR_REASON_CANCELLED, "The client disconnected.").Cause(gone)
		return
	}
	// If this fails, the client is gone.
	_ = c.out.Fail("error", errorbody.Body(state.Tree, state.Note(ctx, whole(err, c.finished)), state.ID))
}

// whole returns an error for a stream that ended without a finish reason.
func whole(err error, finished bool) error {
	if errors.Is(err, io.EOF) && !finished {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, "The response broke off before its end. Please try again.")
	}
	return err
}
