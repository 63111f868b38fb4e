package gateway

import (
	"net/http"
	"time"

	"github.com/trivet-dev/trivet/gateway/internal/call"
	"github.com/trivet-dev/trivet/gateway/internal/errorbody"
	"github.com/trivet-dev/trivet/gateway/internal/refusals"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/credential"
	"github.com/trivet-dev/trivet/platform/errs"
)

// modelCalls are the routes that call a model. What is refused of them is in the log of requests.
var modelCalls = map[string]struct{}{
	"/v1/chat/completions": {}, "/v1/embeddings": {}, "/v1/completions": {}, "/v1/moderations": {}, "/v1/responses": {}, "/v1/responses/compact": {},
	"/v1/images/generations": {}, "/v1/images/edits": {}, "/v1/audio/speech": {}, "/v1/audio/transcriptions": {}, "/v1/audio/translations": {},
	"/api/v1/chat": {}, "/api/v1/chat:stream": {}, "/api/v1/embeddings": {},
}

// noteUnknown makes a request for a path of OpenAI's API that Trivet does not have, or with a method that the path does not have, a
// logged one. The log names the caller, and the model if the query does.
func (g *Gateway) noteUnknown(r *http.Request, state *call.State) {
	if state.Tree != errorbody.OpenAI {
		return
	}
	state.Logged, state.Model = true, r.URL.Query().Get("model")
	_, _ = g.identify(r, state)
}

// logRefusal logs a call of a model that the edge refused itself, or that reached no ai service. The ai service logs what it refuses. A
// request without a known caller is not logged, nor is one whose client left while it sent the body.
func (g *Gateway) logRefusal(x *exchange, took time.Duration) {
	if x.Failure == nil || x.Called.Load() || x.Failure.Reason == errorsv1.ErrorReason_ERROR_REASON_CANCELLED {
		return
	}
	passports, known := x.Passports.(*credential.Passports)
	if !x.Logged || !known {
		return
	}
	who := passports.Identity
	g.refusals.Add(refusals.Call{
		Account: who.GetAccountId(), User: who.GetUserId(), Key: who.GetApiKeyId(), Model: x.Model, RequestID: x.ID, Code: errs.Code(x.Failure.Reason), Took: took,
	})
}
