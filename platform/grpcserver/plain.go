package grpcserver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	accessv1 "github.com/trivet-dev/trivet/gen/go/trivet/access/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/requestid"
	"github.com/trivet-dev/trivet/platform/tracing"
)

// A plain call is an RPC between two parts of one process that is nothing but a function call. It has the same recovery,
// rule, deadline, count of running calls, metrics and errors as a call over the network, and no metadata, copy, channel or
// goroutine. Two things differ:
//
//   - Messages are shared. The request of a unary call is lent: the callee neither changes nor keeps it. Its response is the
//     caller's. The request of a stream is given away: nobody changes it any more, and the callee may keep it. Each message
//     of a stream is lent to the caller until send returns. Programs built with the tag checkcalls enforce this.
//   - The caller's goroutine is the callee's, so a call returns when its handler does: handlers must obey their context, and a
//     caller who cannot wait for one that does not makes the call in a goroutine.
//
// Messages are not validated: the caller is Trivet's own code, and what comes from outside was checked at the door.
// Programs built with the tag checkcalls validate them.

// Unary is a unary RPC as a function.
type Unary[Req, Res any] func(context.Context, *Req) (*Res, error)

// Stream is an RPC as a function that gets a user's passport and passes on each message of the answer with send. An error of
// send means that the caller has left.
type Stream[Req, Res any] func(ctx context.Context, token string, in *Req, send func(*Res) error) error

// Implementation returns the implementation of a service that was registered, such as a billingv1.BillingServiceServer.
func Implementation[T any](s *Server, service string) (T, error) {
	impl, ok := s.services[service].(T)
	if !ok {
		return impl, fmt.Errorf("grpcserver: no implementation of %s is registered", service)
	}
	return impl, nil
}

// Internal returns a unary RPC for one calling service of this process, such as "ai". It fails when the RPC's rule does not
// let this service in, so that no call has to prove again who is calling.
func Internal[Req, Res any](s *Server, peer, fullMethod string, handler Unary[Req, Res]) (Unary[Req, Res], error) {
	m := s.chain.methods[fullMethod]
	switch {
	case m == nil:
		return nil, fmt.Errorf("grpcserver: the RPC %s is not registered", fullMethod)
	case m.rule.GetCaller() != accessv1.Caller_CALLER_INTERNAL || !slices.Contains(m.rule.GetPeers(), peer):
		return nil, fmt.Errorf("grpcserver: the rule of %s does not let the service %q in", fullMethod, peer)
	}
	c := s.chain
	if checkCalls {
		handler = checkedUnary(c, handler)
	}
	return func(ctx context.Context, in *Req) (*Res, error) {
		return internalCall(ctx, c, m, in, handler)
	}, nil
}

func internalCall[Req, Res any](ctx context.Context, c *chain, m *method, in *Req, handler Unary[Req, Res]) (out *Res, err error) {
	c.inflight.Add(1)
	defer c.inflight.Done()
	start := time.Now()
	ctx, span := tracing.Start(fromCaller(ctx), m.span, tracing.Internal)
	m.describe(ctx, span)
	defer func() {
		if err = c.finish(ctx, m, span, start, err, recover()); err != nil {
			out = nil
		}
	}()
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, m.timeout)
		defer cancel()
	}
	if err = ctx.Err(); err != nil {
		return nil, err
	}
	return handler(ctx, in)
}

// fromCaller returns the context of a call: it ends with the caller's and has its request id, but not its identity.
func fromCaller(ctx context.Context) context.Context {
	if _, ok := passport.FromContext(ctx); ok {
		ctx = passport.NewContext(ctx, nil)
	}
	if !requestid.Valid(requestid.From(ctx)) {
		ctx = requestid.With(ctx, requestid.New())
	}
	return ctx
}

// User returns an RPC for users whose answer is a stream.
func User[Req, Res any](s *Server, fullMethod string, handler func(*Req, grpc.ServerStreamingServer[Res]) error) (Stream[Req, Res], error) {
	m := s.chain.methods[fullMethod]
	if m == nil {
		return nil, fmt.Errorf("grpcserver: the RPC %s is not registered", fullMethod)
	}
	if m.rule.GetCaller() != accessv1.Caller_CALLER_USER {
		return nil, fmt.Errorf("grpcserver: the RPC %s is not for users", fullMethod)
	}
	c := s.chain
	if checkCalls {
		handler = checkedStream(c, handler)
	}
	return func(ctx context.Context, token string, in *Req, send func(*Res) error) error {
		return userStream(ctx, c, m, token, in, send, handler)
	}, nil
}

func userStream[Req, Res any](
	ctx context.Context, c *chain, m *method, token string, in *Req, send func(*Res) error, handler func(*Req, grpc.ServerStreamingServer[Res]) error,
) (err error) {
	c.inflight.Add(1)
	defer c.inflight.Done()
	start := time.Now()
	ctx, span := tracing.Start(fromCaller(ctx), m.span, tracing.Internal)
	m.describe(ctx, span)
	defer func() { err = c.finish(ctx, m, span, start, err, recover()) }()
	if token == "" {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_UNAUTHORIZED, "Unauthorized")
	}
	claims, err := c.config.Passports.Verify(token, m.service)
	if err != nil {
		return refusal(err)
	}
	if err := permit(claims, m.rule); err != nil {
		return m.refused(ctx, claims, in, err)
	}
	return handler(in, &plainStream[Res]{ctx: passport.NewContext(ctx, claims), send: send})
}

// errNoMessages is for what a stream with one request cannot do.
var errNoMessages = errors.New("grpcserver: a plain stream has no further request and takes no messages of other types")

// plainStream is the stream that a handler writes to. Metadata go nowhere: no caller in this process reads them.
type plainStream[Res any] struct {
	ctx  context.Context //nolint:containedctx // as gRPC's streams have it
	send func(*Res) error
}

// Send passes on a message of the answer.
func (s *plainStream[Res]) Send(m *Res) error { return s.send(m) }

// Context carries the caller's identity.
func (s *plainStream[Res]) Context() context.Context { return s.ctx }

// SetHeader implements grpc.ServerStream.
func (*plainStream[Res]) SetHeader(metadata.MD) error { return nil }

// SendHeader implements grpc.ServerStream.
func (*plainStream[Res]) SendHeader(metadata.MD) error { return nil }

// SetTrailer implements grpc.ServerStream.
func (*plainStream[Res]) SetTrailer(metadata.MD) {}

// SendMsg implements grpc.ServerStream.
func (s *plainStream[Res]) SendMsg(m any) error {
	if message, ok := m.(*Res); ok {
		return s.send(message)
	}
	return errNoMessages
}

// RecvMsg implements grpc.ServerStream.
func (*plainStream[Res]) RecvMsg(any) error { return errNoMessages }
