package rpc

import (
	"context"
	"time"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	"github.com/trivet-dev/trivet/platform/modelname"
	"github.com/trivet-dev/trivet/platform/passport"
)

// modelCalls are the RPCs that call a model: what is refused of them is in the log of requests.
var modelCalls = map[string]bool{
	aiv1.AIService_Relay_FullMethodName: true, aiv1.AIService_Chat_FullMethodName: true, aiv1.AIService_ChatStream_FullMethodName: true,
	aiv1.AIService_Embed_FullMethodName: true,
}

// CallRefused logs a call that the server refused before it reached the service: for its scope, or for a field. It implements
// grpcserver.RefusalObserver.
func (s *Server) CallRefused(ctx context.Context, claims *passport.Claims, fullMethod string, request any, err error) {
	if !modelCalls[fullMethod] {
		return
	}
	_ = s.invoker.Refuse(ctx, claims, modelOf(request), time.Time{}, err)
}

// modelOf returns the model that a request names; "" when it names none, or was not read.
func modelOf(request any) string {
	switch r := request.(type) {
	case *aiv1.RelayRequest:
		return modelname.Of(r.GetHeaders()["content-type"], r.GetBody())
	case interface{ GetModel() string }:
		return r.GetModel()
	default:
		return ""
	}
}
