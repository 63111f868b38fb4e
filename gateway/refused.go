package gateway

import (
	"time"

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

// logRefusal logs a call of a model that the edge refused itself. The ai service logs what it refuses. A request without a known
// caller is not logged, nor is one whose client left while it sent the body, nor one that found no ai service: whether that
// service has the call is unknown.
func (g *Gateway) logRefusal(x *exchange, took time.Duration) {
	if x.Failure == nil || x.Called.Load() || x.Failure.Reason == errorsv1.ErrorReason_ERROR_REASON_CANCELLED {
		return
	}
	passports, known := x.Passports.(*credential.Passports)
	if _, logged := modelCalls[x.Route]; !logged || !known {
		return
	}
	who := passports.Identity
	g.refusals.Add(refusals.Call{
		Account: who.GetAccountId(), User: who.GetUserId(), Key: who.GetApiKeyId(), RequestID: x.ID, Code: errs.Code(x.Failure.Reason), Took: took,
	})
}
