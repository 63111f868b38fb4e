package rpc

import (
	"strconv"
	"time"

	"golang.org/x/net/http/httpguts"
	"google.golang.org/grpc"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/services/ai/internal/hold"
	"github.com/trivet-dev/trivet/services/ai/internal/invoke"
	"github.com/trivet-dev/trivet/services/ai/internal/limit"
	"github.com/trivet-dev/trivet/services/ai/internal/responses"
)

// maxPart bounds one message of an answer in one piece, in bytes; gRPC takes at most 4 MiB by default.
const maxPart = 1 << 20

// Relay carries one call in OpenAI's wire format.
func (s *Server) Relay(req *aiv1.RelayRequest, stream grpc.ServerStreamingServer[aiv1.RelayResponse]) error {
	claims, err := passport.Caller(stream.Context())
	if err != nil {
		return err
	}
	if _, known := aiv1.Endpoint_name[int32(req.GetEndpoint())]; !known || req.GetEndpoint() == aiv1.Endpoint_ENDPOINT_UNSPECIFIED {
		err := errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "The endpoint is unknown.").Field("endpoint", "is unknown")
		return s.invoker.Refuse(stream.Context(), claims, modelOf(req), time.Time{}, err)
	}
	if err := checkHeaders(req.GetHeaders()); err != nil {
		return s.invoker.Refuse(stream.Context(), claims, modelOf(req), time.Time{}, err)
	}
	sink := &relaySink{stream: stream}
	if responses.Serves(req.GetEndpoint()) {
		return s.responses.Call(stream.Context(), claims, req, sink)
	}
	return s.invoker.Invoke(stream.Context(), claims, req.GetEndpoint(), req.GetBody(), req.GetHeaders(), sink)
}

// checkHeaders refuses values that HTTP does not allow: sending them would fail, and look like a failure of the provider.
func checkHeaders(headers map[string]string) error {
	for name, value := range headers {
		if !httpguts.ValidHeaderFieldValue(value) {
			field := "headers[" + strconv.Quote(name) + "]"
			return errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "The value of the header %q has characters that HTTP does not allow.", name).
				Field(field, "has characters that HTTP does not allow")
		}
	}
	return nil
}

// relaySink sends an answer as it is. One message serves all parts of a stream: gRPC is done with it when Send returns.
type relaySink struct {
	stream   grpc.ServerStreamingServer[aiv1.RelayResponse]
	message  aiv1.RelayResponse
	streamed bool
	settled  bool
}

// Head sends the head of a stream at once, and keeps one for its body that follows: each message costs a system call.
func (s *relaySink) Head(h invoke.Head) error {
	limit.AddOpenAI(h.Headers, h.Limits)
	s.streamed = h.Streamed
	s.message.Head = &aiv1.RelayHead{Status: int32(h.Status), Headers: h.Headers, Streamed: h.Streamed}
	if !h.Streamed || h.Together {
		return nil
	}
	return s.send(nil)
}

// Body sends a part of the body.
func (s *relaySink) Body(p []byte) error {
	for len(p) > maxPart {
		if err := s.send(p[:maxPart]); err != nil {
			return err
		}
		p = p[maxPart:]
	}
	s.message.Last = s.streamed && s.settled
	return s.send(p)
}

func (s *relaySink) send(p []byte) error {
	s.message.Body = p
	err := s.stream.Send(&s.message)
	s.message.Head = nil
	return err
}

// Settled notes that the end follows. OpenAI's format has no place for a cost.
func (s *relaySink) Settled(hold.Receipt) { s.settled = true }
