package rest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/trivet-dev/trivet/gateway/internal/call"
	"github.com/trivet-dev/trivet/gateway/internal/errorbody"
	"github.com/trivet-dev/trivet/gateway/internal/frames"
	"github.com/trivet-dev/trivet/gateway/internal/reqbody"
	"github.com/trivet-dev/trivet/gateway/internal/sse"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// message is a proto message of the type T.
type message[T any] interface {
	*T
	proto.Message
}

// Begin starts an RPC that streams its responses, as the generated clients declare it.
type Begin[Q, R any] func(context.Context, *Q, ...grpc.CallOption) (grpc.ServerStreamingClient[R], error)

type events[Q, R any, PQ message[Q], PR message[R]] struct {
	begin     Begin[Q, R]
	body      reqbody.Reader
	keepAlive time.Duration
}

// Events serves an RPC as server-sent events, one per response. A failure before the first response is answered with its own
// status. When the first response takes longer than keepAlive, the stream starts without it. The stream of an RPC that
// succeeded ends in order; any other ends with an error event and a cut connection.
func Events[Q, R any, PQ message[Q], PR message[R]](begin Begin[Q, R], body reqbody.Reader, keepAlive time.Duration) http.Handler {
	return &events[Q, R, PQ, PR]{begin, body, keepAlive}
}

// ServeHTTP implements http.Handler.
func (h *events[Q, R, PQ, PR]) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	state := call.From(r.Context())
	raw, err := h.body.Require(w, r)
	request := new(Q)
	if err == nil {
		err = parse(raw, PQ(request))
	}
	if err != nil {
		state.Fail(r.Context(), w, err)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	stream, err := h.begin(ctx, request)
	if err != nil {
		state.Fail(r.Context(), w, err)
		return
	}
	source := frames.Read(ctx, cancel, stream.Recv)
	defer source.Close()
	first, late, err := source.Within(h.keepAlive)
	if err != nil && !errors.Is(err, io.EOF) {
		state.Fail(r.Context(), w, err)
		return
	}
	out := sse.NewWriter(w)
	out.Begin(http.StatusOK)
	h.end(r.Context(), state, out, h.run(source, out, first, late, err))
}

// run writes the first response, unless it is late or does not exist, and all others.
func (h *events[Q, R, PQ, PR]) run(source *frames.Source[*R], out *sse.Writer, first *R, late bool, err error) error {
	if err != nil {
		return err
	}
	write := func(m *R) error { return writeEvent(out, PR(m)) }
	if late {
		err = out.Ping()
	} else if err = write(first); err == nil {
		err = out.Flush()
	}
	if err != nil {
		return &frames.WriteError{Err: err}
	}
	return frames.Pump(source, out, h.keepAlive, write)
}

// defect is why a response cannot be encoded as JSON. Its write failed because of the response, not because of the client.
type defect struct{ error }

func writeEvent(out io.Writer, m proto.Message) error {
	raw, err := codec{}.Marshal(m)
	if err != nil {
		return defect{err}
	}
	_, err = out.Write(append(append([]byte("data: "), raw...), "\n\n"...))
	return err
}

func (h *events[Q, R, PQ, PR]) end(ctx context.Context, state *call.State, out *sse.Writer, err error) {
	if errors.Is(err, io.EOF) {
		return
	}
	state.Broken = true
	if d, ok := errors.AsType[defect](err); ok {
		err = d.error
	} else if gone, ok := errors.AsType[*frames.WriteError](err); ok {
		state.Failure = errs.New(errorsv1.ErrorReason_ERROR_REASON_CANCELLED, "The client disconnected.").Cause(gone)
		return
	}
	// If this fails, the client is gone.
	_ = out.Fail("error", errorbody.Body(state.Tree, state.Note(ctx, err), state.ID))
}
