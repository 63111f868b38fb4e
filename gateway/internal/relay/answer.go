package relay

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/gateway/internal/call"
	"github.com/trivet-dev/trivet/gateway/internal/errorbody"
	"github.com/trivet-dev/trivet/gateway/internal/frames"
	"github.com/trivet-dev/trivet/gateway/internal/sse"
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

type (
	piece  = *aiv1.RelayResponse
	source = *frames.Source[piece]
)

// answer writes one response.
type answer struct {
	ctx   context.Context //nolint:containedctx // the request's own, and both live as long
	state *call.State
	w     http.ResponseWriter
	out   *sse.Writer
	// response tells that the answer is a stream of the Responses API, if it is one.
	response bool
	// sound tells that the answer is sound, which the client may play while it comes.
	sound bool
	// speaks tells that raw sound came when the stream of events had started.
	speaks bool
	// refusal is the provider's error when it came after the stream had started; otherwise nil.
	refusal *refusal
}

// plain relays a response that is not a stream.
func (a *answer) plain(next func() (piece, error)) {
	first, err := next()
	if !a.head(first, err) {
		return
	}
	a.body(first, first.GetHead().GetStreamed(), next)
}

// streamed relays a response to a caller who may have asked for a stream.
func (a *answer) streamed(s source, keepAlive time.Duration, request *aiv1.RelayRequest) {
	first, late, err := s.Within(keepAlive)
	switch {
	case late && wantsStream(request):
		a.early()
		a.events(s, keepAlive)
		return
	case late:
		first, err = s.Next()
	}
	if !a.head(first, err) {
		return
	}
	if !first.GetHead().GetStreamed() {
		a.body(first, false, s.Next)
		return
	}
	if err := a.write(first); err != nil {
		a.left(err)
		return
	}
	if err := a.out.Flush(); err != nil {
		a.left(err)
		return
	}
	a.events(s, keepAlive)
}

// head sends the status and the headers. Without a valid head it sends the error and returns false.
func (a *answer) head(first piece, err error) bool {
	head := first.GetHead()
	switch {
	case err != nil:
	case head == nil, head.GetStatus() < http.StatusOK, head.GetStatus() > 599:
		err = errs.New(errorsv1.ErrorReason_ERROR_REASON_INTERNAL, "The ai service sent a response without a valid head.")
	}
	if errors.Is(err, io.EOF) {
		err = errs.New(errorsv1.ErrorReason_ERROR_REASON_INTERNAL, "The ai service sent an empty response.")
	}
	if err != nil {
		a.state.Fail(a.ctx, a.w, err)
		return false
	}
	h := a.w.Header()
	copyHeaders(h, head.GetHeaders())
	a.sound = strings.HasPrefix(h.Get("Content-Type"), "audio/")
	if head.GetStreamed() {
		a.out.Begin(int(head.GetStatus()))
		return true
	}
	a.w.WriteHeader(int(head.GetStatus()))
	return true
}

// body writes all pieces as they arrive.
func (a *answer) body(message piece, events bool, next func() (piece, error)) {
	var err error
	for ; err == nil; message, err = next() {
		_, werr := a.out.Write(message.GetBody())
		if werr == nil && (events || a.sound) {
			werr = a.out.Flush()
		}
		if werr != nil {
			a.left(werr)
			return
		}
	}
	a.end(err, events)
}

// early starts a stream before its head has come. The next write notices a client that has disconnected.
func (a *answer) early() {
	a.out.Begin(http.StatusOK)
	_ = a.out.Ping()
}

// events pumps a stream that has started.
func (a *answer) events(s source, keepAlive time.Duration) {
	err := frames.Pump(s, a.out, keepAlive, a.piece)
	if gone, ok := errors.AsType[*frames.WriteError](err); ok {
		a.left(gone)
		return
	}
	a.end(err, true)
}

// piece writes one piece of a stream. A piece with a head arrived after the stream had started.
func (a *answer) piece(m piece) error {
	if head := m.GetHead(); head != nil && !head.GetStreamed() {
		if a.speaks = isSound(head); !a.speaks {
			a.refusal = &refusal{status: head.GetStatus()}
		}
	}
	switch {
	case a.refusal != nil:
		a.refusal.add(m.GetBody())
		return nil
	case a.speaks:
		return a.speak(m.GetBody())
	}
	return a.write(m)
}

// write adds a part of the body, which Flush sends.
func (a *answer) write(m piece) error {
	if m.GetLast() {
		a.out.Last()
	}
	_, err := a.out.Write(m.GetBody())
	return err
}

// end ends a response that has started. The end is orderly only when the ai service reported the response as complete. A
// broken stream gets an error event; a broken body cannot carry one. Both connections are cut, because clients take an
// orderly end for success.
func (a *answer) end(err error, events bool) {
	if errors.Is(err, io.EOF) && a.refusal == nil {
		if a.speaks {
			_, _ = a.out.Write([]byte(speechDone)) // if this fails, the client is gone
		}
		return
	}
	a.state.Broken = true
	var body []byte
	if a.refusal != nil && errors.Is(err, io.EOF) {
		body = a.refusal.body(a.ctx, a.state)
	} else {
		body = errorbody.Body(errorbody.OpenAI, a.state.Note(a.ctx, err), a.state.ID)
	}
	if !events {
		return
	}
	name := ""
	if a.response {
		name, body = "error", responseError(body)
	}
	// If this fails, the client is gone.
	_ = a.out.Fail(name, body)
}

// responseError returns the event that ends a broken stream of the Responses API, for the body of an error. It has both forms
// that clients read: the members of OpenAI's error event, and the envelope of an error.
func responseError(body []byte) []byte {
	var envelope struct {
		Error json.RawMessage `json:"error"`
	}
	var inner struct {
		Message string          `json:"message"`
		Code    json.RawMessage `json:"code"`
		Param   json.RawMessage `json:"param"`
	}
	if json.Unmarshal(body, &envelope) != nil || json.Unmarshal(envelope.Error, &inner) != nil {
		return body
	}
	event, err := json.Marshal(struct {
		Type     string          `json:"type"`
		Sequence int             `json:"sequence_number"`
		Code     json.RawMessage `json:"code"`
		Message  string          `json:"message"`
		Param    json.RawMessage `json:"param"`
		Error    json.RawMessage `json:"error"`
	}{"error", 0, inner.Code, inner.Message, inner.Param, envelope.Error})
	if err != nil {
		return body
	}
	return event
}

// left records that the client is gone or has stopped reading.
func (a *answer) left(err error) {
	a.state.Broken = true
	a.state.Failure = errs.New(errorsv1.ErrorReason_ERROR_REASON_CANCELLED, "The client disconnected.").Cause(err)
}
