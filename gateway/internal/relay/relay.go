// Package relay serves OpenAI's wire format under /v1. It passes request bodies to the ai service and response frames to
// the client unchanged.
//
// The edge sends nothing until the head of the response arrives, so that a failure has its own status and SDKs retry it.
// When the caller asked for a stream and the head takes longer than the keep-alive interval, the edge starts the stream
// without the head (200, text/event-stream, comments). Otherwise a proxy would cut the connection while a model thinks for
// two minutes. A later failure is sent as an error event and a cut connection, like a failure after the first token.
package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/trivet-dev/trivet/gateway/internal/call"
	"github.com/trivet-dev/trivet/gateway/internal/frames"
	"github.com/trivet-dev/trivet/gateway/internal/reqbody"
	"github.com/trivet-dev/trivet/gateway/internal/sse"
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
)

// Relay passes requests to the ai service.
type Relay struct {
	AI   aiv1.AIServiceClient
	Body reqbody.Reader
	// Plain calls the ai service of the same process, which passes each piece to send and returns at the end. A nil Plain
	// means that AI is called.
	Plain func(ctx context.Context, in *aiv1.RelayRequest, send func(*aiv1.RelayResponse) error) error
	// KeepAlive is how long a stream may be silent before a comment is sent; 0 disables comments.
	KeepAlive time.Duration
}

// Endpoint returns the handler of one path.
func (h *Relay) Endpoint(endpoint aiv1.Endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		state := call.From(r.Context())
		body, err := h.Body.Require(w, r)
		if err != nil {
			state.Fail(r.Context(), w, err)
			return
		}
		in := &aiv1.RelayRequest{Endpoint: endpoint, Body: body, Headers: requestHeaders(r.Header)}
		if h.Plain != nil {
			h.push(w, r, state, in)
			return
		}
		h.pull(w, r, state, in)
	})
}

// pull calls the ai service over a connection and reads its answer.
func (h *Relay) pull(w http.ResponseWriter, r *http.Request, state *call.State, in *aiv1.RelayRequest) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	stream, err := h.AI.Relay(ctx, in)
	if err != nil {
		state.Fail(r.Context(), w, err)
		return
	}
	a := answer{ctx: r.Context(), state: state, w: w, out: sse.NewWriter(w)}
	if !mayStream(in.GetBody()) {
		a.plain(stream.Recv)
		return
	}
	source := frames.Read(ctx, cancel, stream.Recv)
	defer source.Close()
	a.streamed(source, h.KeepAlive, in.GetBody())
}

// mayStream reports whether a request may ask for a stream; other responses need no reading ahead. A body that hides the
// name in escapes is still streamed piece by piece, but without keep-alive comments.
func mayStream(body []byte) bool { return bytes.Contains(body, []byte(`"stream"`)) }

// wantsStream parses the body. It is called only when a response is late.
func wantsStream(body []byte) bool {
	var wish struct {
		Stream bool `json:"stream"`
	}
	return json.Unmarshal(body, &wish) == nil && wish.Stream
}
