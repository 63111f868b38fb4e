// Package relay serves OpenAI's wire format under /v1. It passes request bodies to the ai service and response frames to
// the client unchanged.
//
// The edge sends nothing until the head of the response arrives, so that a failure has its own status and SDKs retry it.
// When the caller asked for a stream and the head takes longer than the keep-alive interval, the edge starts the stream
// without the head (200, text/event-stream, comments). Otherwise a proxy would cut the connection while a model thinks for
// two minutes. A later failure is sent as an error event and a cut connection, like a failure after the first token.
package relay

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/gateway/internal/call"
	"github.com/trivet-dev/trivet/gateway/internal/concurrency"
	"github.com/trivet-dev/trivet/gateway/internal/cork"
	"github.com/trivet-dev/trivet/gateway/internal/frames"
	"github.com/trivet-dev/trivet/gateway/internal/reqbody"
	"github.com/trivet-dev/trivet/gateway/internal/sse"
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// Relay passes requests to the ai service.
type Relay struct {
	AI   aiv1.AIServiceClient
	Body reqbody.Reader
	// Form says that bodies are forms with files, which are not read as JSON.
	Form bool
	// Uploads bounds the forms that are in memory at once, in all and for each account; nil means no limit.
	Uploads *concurrency.Uploads
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
		read := h.Body.Require
		if h.Form {
			read = h.Body.RequireBytes
		}
		if h.Uploads != nil {
			if err := h.Uploads.Take(state.Account); err != nil {
				state.Fail(r.Context(), w, err)
				return
			}
			defer h.Uploads.Free(state.Account)
		}
		body, err := read(w, r)
		defer func() { state.Asked(r.Header.Get("Content-Type"), body) }()
		if err != nil {
			state.Fail(r.Context(), w, err)
			return
		}
		h.relay(w, r, state, &aiv1.RelayRequest{Endpoint: endpoint, Body: body, Headers: requestHeaders(r.Header)})
	})
}

// Object returns the handler of a path that names a stored response: /v1/responses/{id}, and what may follow. Such a request
// has no body.
func (h *Relay) Object(endpoint aiv1.Endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		state := call.From(r.Context())
		id := objectID(r.URL.EscapedPath())
		switch {
		case id == "":
			state.Fail(r.Context(), w, errs.New(errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, "No response with this id was found."))
			return
		case len(r.URL.RawQuery) > maxQuery:
			state.Fail(r.Context(), w, errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "The query of the URL must have at most %d bytes.", maxQuery))
			return
		}
		h.relay(w, r, state, &aiv1.RelayRequest{Endpoint: endpoint, ObjectId: id, Query: r.URL.RawQuery, Headers: requestHeaders(r.Header)})
	})
}

const (
	// maxQuery and maxID bound the query of a URL and an id, in bytes, as the contract does.
	maxQuery, maxID = 1024, 128
	// objectPrefix stands before the id in a path.
	objectPrefix = "/v1/responses/"
)

// objectID returns the id in a path; "" for one that cannot be an id.
func objectID(path string) string {
	id, _, _ := strings.Cut(strings.TrimPrefix(path, objectPrefix), "/")
	if len(id) > maxID {
		return ""
	}
	for _, b := range []byte(id) {
		if letter := b|0x20 >= 'a' && b|0x20 <= 'z'; !letter && (b < '0' || b > '9') && b != '_' && b != '-' {
			return ""
		}
	}
	return id
}

// relay makes the call.
func (h *Relay) relay(w http.ResponseWriter, r *http.Request, state *call.State, in *aiv1.RelayRequest) {
	if h.Plain != nil {
		h.push(w, r, state, in)
		return
	}
	h.pull(w, r, state, in)
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
	a := answer{ctx: r.Context(), state: state, w: w, out: sse.NewWriter(w), response: isResponse(in)}
	a.out.Through(cork.Of(r.Context(), r.ProtoMajor))
	defer func() { _ = a.out.Release() }() // net/http sends the end of the response; if this fails, so does that
	if !mayStream(in) {
		a.plain(stream.Recv)
		return
	}
	source := frames.Read(ctx, cancel, stream.Recv)
	defer source.Close()
	a.streamed(source, h.KeepAlive, in)
}

// isResponse reports whether a request is for a response of the Responses API.
func isResponse(in *aiv1.RelayRequest) bool {
	return in.GetEndpoint() == aiv1.Endpoint_ENDPOINT_RESPONSES || in.GetEndpoint() == aiv1.Endpoint_ENDPOINT_RESPONSE_GET
}
