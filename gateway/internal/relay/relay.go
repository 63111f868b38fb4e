// Package relay serves OpenAI's wire format under /v1. Bodies are not read here: they go to the ai service as they came,
// and its frames come back as they are.
//
// Until the head of the answer comes, nothing is sent, so that a failure has its true status and SDKs retry it. When a
// caller asked for a stream and the head is later than the keep-alive interval, the stream is begun without it (200,
// text/event-stream, comments): else a proxy would cut a connection on which a model thinks for two minutes. A failure
// after that comes as an error event and a cut connection, which is what it would be after the first token, too.
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

// Relay hands requests to the ai service.
type Relay struct {
	// AI is the service.
	AI aiv1.AIServiceClient
	// Body reads the requests' bodies.
	Body reqbody.Reader
	// KeepAlive is the longest silence on a stream; 0 lets silences be.
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
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		stream, err := h.AI.Relay(ctx, &aiv1.RelayRequest{Endpoint: endpoint, Body: body, Headers: requestHeaders(r.Header)})
		if err != nil {
			state.Fail(r.Context(), w, err)
			return
		}
		a := answer{ctx: r.Context(), state: state, w: w, out: sse.NewWriter(w)}
		if !mayStream(body) {
			a.plain(stream.Recv)
			return
		}
		source := frames.Read(ctx, cancel, stream.Recv)
		defer source.Close()
		a.streamed(source, h.KeepAlive, body)
	})
}

// mayStream spares answers that are surely none the reading ahead. Bodies that hide the name in escapes are streamed,
// too, piece by piece, but without keep-alive comments.
func mayStream(body []byte) bool { return bytes.Contains(body, []byte(`"stream"`)) }

// wantsStream reads the body; it is only asked when an answer is late.
func wantsStream(body []byte) bool {
	var wish struct {
		Stream bool `json:"stream"`
	}
	return json.Unmarshal(body, &wish) == nil && wish.Stream
}
