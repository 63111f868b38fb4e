package grpcserver

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	accessv1 "github.com/trivet-dev/trivet/gen/go/trivet/access/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/peer"
	"github.com/trivet-dev/trivet/platform/requestid"
)

// longestTimeout is the longest deadline that a batched call may bring; longer ones are shortened to it.
const longestTimeout = time.Hour

// batched makes one call of a batch with the same recovery, rule, deadline, count of running calls, validation, metrics, trace and
// errors as a call that comes alone. The peer was verified when its stream began.
func (c *chain) batched(ctx context.Context, m *method, name string, call *billingv1.BatchedCall) (out any, err error) {
	c.inflight.Add(1)
	defer c.inflight.Done()
	start := time.Now()
	id := call.GetRequestId()
	if !requestid.Valid(id) {
		id = requestid.New()
	}
	ctx, span := c.config.Tracer.Serve(requestid.With(ctx, id), m.span, call.GetTraceparent(), m.forCallers())
	m.describe(ctx, span)
	defer func() {
		if err = c.finish(ctx, m, span, start, err, recover()); err != nil {
			out = nil
		}
	}()
	if m.rule.GetCaller() != accessv1.Caller_CALLER_INTERNAL {
		return nil, errs.New(errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, "Only calls between services may be made in a batch.")
	}
	if !slices.Contains(m.rule.GetPeers(), name) {
		return nil, peer.RefuseName(name)
	}
	if err := ctx.Err(); err != nil {
		return nil, err // nobody waits any more
	}
	return m.handler(m.impl, ctx, func(into any) error { return c.decode(ctx, m, call.GetRequest(), into) }, nil)
}

// decode reads and validates the request of a batched call.
func (c *chain) decode(ctx context.Context, m *method, encoded []byte, into any) error {
	request := message(into)
	if err := proto.Unmarshal(encoded, request); err != nil {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "The request is not a %s.", request.ProtoReflect().Descriptor().Name()).Cause(err)
	}
	if err := c.validate(request); err != nil {
		return m.invalid(ctx, request, err)
	}
	return nil
}

// answer is the answer of a call as it travels.
func answer(id uint32, out any, err error) *billingv1.BatchedAnswer {
	a := &billingv1.BatchedAnswer{Id: id}
	if err == nil {
		if a.Response, err = proto.Marshal(message(out)); err == nil {
			return a
		}
		err = status.Error(codes.Internal, err.Error())
	}
	st := status.Convert(err).Proto()
	a.Code, a.Message, a.Details = st.GetCode(), st.GetMessage(), st.GetDetails()
	return a
}

// timeoutOf is how long a batched call may take.
func (m *method) timeoutOf(call *billingv1.BatchedCall) time.Duration {
	switch micros := call.GetTimeoutMicros(); {
	case micros <= 0:
		return m.timeout
	case micros > longestTimeout.Microseconds():
		return longestTimeout
	default:
		return time.Duration(micros) * time.Microsecond
	}
}
