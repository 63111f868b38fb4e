package grpcserver

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"buf.build/go/protovalidate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	accessv1 "github.com/trivet-dev/trivet/gen/go/trivet/access/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/peer"
	"github.com/trivet-dev/trivet/platform/requestid"
	"github.com/trivet-dev/trivet/platform/tracing"
)

// chain is every interceptor in order, as one unary and one stream function.
type chain struct {
	config      Config
	methods     map[string]*method
	validator   protovalidate.Validator
	instruments *instruments
	inflight    *sync.WaitGroup
	stopping    context.Context //nolint:containedctx // ends when the server begins to stop
	given       given           // stays empty unless checkCalls
}

func (c *chain) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
	m := c.methods[info.FullMethod]
	if m == nil {
		return c.unknown(info.FullMethod, func() (any, error) { return handler(ctx, req) })
	}
	c.inflight.Add(1)
	defer c.inflight.Done()
	start := time.Now()
	md := headersOf(ctx)
	ctx, span := c.traced(withRequestID(ctx, md), md, m)
	defer func() { err = c.finish(ctx, m, span, start, err, recover()) }()

	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, m.timeout)
		defer cancel()
	}
	if ctx, err = c.authorize(ctx, md, m); err != nil {
		return nil, err
	}
	if err := c.validate(req); err != nil {
		return nil, m.invalid(ctx, req, err)
	}
	return handler(ctx, req)
}

func (c *chain) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	m := c.methods[info.FullMethod]
	if m == nil {
		_, err := c.unknown(info.FullMethod, func() (any, error) { return nil, handler(srv, stream) })
		return err
	}
	c.inflight.Add(1)
	defer c.inflight.Done()
	start := time.Now()
	md := headersOf(stream.Context())
	ctx, span := c.traced(withRequestID(stream.Context(), md), md, m)
	defer func() { err = c.finish(ctx, m, span, start, err, recover()) }()

	if ctx, err = c.authorize(ctx, md, m); err != nil {
		return err
	}
	switch {
	case m.rule.GetCaller() != accessv1.Caller_CALLER_INTERNAL:
	case info.IsClientStream:
		ctx = c.withBatchDoor(ctx, md, m)
	default:
		// Between services, streams are watches without an end of their own: they must not hold up a stop.
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(c.stopping, cancel)()
	}
	if err := c.accept(stream, md, m); err != nil {
		return err
	}
	return handler(srv, &serverStream{ServerStream: stream, ctx: ctx, chain: c, method: m})
}

// accept tells the caller that the stream is accepted: a caller that does not see it in time asks another replica. A caller that has no
// other replica says so, which saves both sides a frame. It still hears of the acceptance of a watch, whose first message may take long.
func (*chain) accept(stream grpc.ServerStream, md metadata.MD, m *method) error {
	if len(md[peer.UnawaitedHeader]) > 0 && m.rule.GetCaller() != accessv1.Caller_CALLER_INTERNAL {
		return nil
	}
	if err := stream.SendHeader(metadata.MD{peer.AcceptedHeader: {"1"}}); err != nil {
		return fmt.Errorf("%w before its call was accepted: %w", errLeft, err)
	}
	return nil
}

// errLeft is why a call of a connection that the caller has closed ends: a process that was frozen finds such calls when it continues.
var errLeft = fmt.Errorf("the caller left: %w", context.Canceled)

// unknown lets gRPC's own services through, which have no rule, and nothing else.
func (c *chain) unknown(fullMethod string, call func() (any, error)) (any, error) {
	if strings.HasPrefix(fullMethod, "/grpc.health.v1.Health/") || strings.HasPrefix(fullMethod, "/grpc.reflection.") {
		return call()
	}
	return nil, noRule()
}

// finish turns what the handler left into what goes over the wire, and tells log, metrics and trace.
func (c *chain) finish(ctx context.Context, m *method, span tracing.Span, start time.Time, err error, panicked any) error {
	took := time.Since(start)
	defer span.End()
	if panicked != nil {
		err = fmt.Errorf("panic in %s: %s\n%s", m.name, errs.PanicText(panicked), debug.Stack())
	}
	if err == nil {
		c.instruments.record(ctx, m, codes.OK, took)
		if c.config.Logger.Enabled(ctx, slog.LevelDebug) {
			c.config.Logger.LogAttrs(ctx, slog.LevelDebug, "rpc", slog.String("method", m.name), slog.Duration("took", took), slog.String("request_id", requestid.From(ctx)))
		}
		return nil
	}
	e := errs.From(err)
	st := e.GRPCStatus()
	span.Fail(errs.Code(e.Reason))
	c.instruments.record(ctx, m, st.Code(), took)
	c.config.Logger.LogAttrs(ctx, levelOf(e.Reason), "rpc failed",
		slog.String("method", m.name), slog.String("reason", errs.Code(e.Reason)), slog.Any("error", err),
		slog.Duration("took", took), slog.String("request_id", requestid.From(ctx)))
	return st.Err()
}

// levelOf keeps callers' mistakes out of the operator's sight.
func levelOf(reason errorsv1.ErrorReason) slog.Level {
	//exhaustive:ignore
	switch reason {
	case errorsv1.ErrorReason_ERROR_REASON_UNSPECIFIED, errorsv1.ErrorReason_ERROR_REASON_INTERNAL, errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR:
		return slog.LevelError
	case errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_TIMEOUT,
		errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, errorsv1.ErrorReason_ERROR_REASON_DEADLINE_EXCEEDED:
		return slog.LevelWarn
	default:
		return slog.LevelDebug
	}
}

func withRequestID(ctx context.Context, md metadata.MD) context.Context {
	if ids := md[requestid.Header]; len(ids) == 1 && requestid.Valid(ids[0]) {
		return requestid.With(ctx, ids[0])
	}
	return requestid.With(ctx, requestid.New())
}

func (c *chain) validate(message any) error {
	m, ok := message.(proto.Message)
	if !ok {
		return nil
	}
	if err := c.validator.Validate(m); err != nil {
		return invalid(m, err)
	}
	return withoutNUL(m.ProtoReflect())
}

// serverStream carries the interceptors' context and validates what comes in.
type serverStream struct {
	grpc.ServerStream
	ctx    context.Context //nolint:containedctx // gRPC's way to give a stream another context
	chain  *chain
	method *method
}

// Context returns the context with the caller's identity.
func (s *serverStream) Context() context.Context { return s.ctx }

// RecvMsg receives and validates a message.
func (s *serverStream) RecvMsg(message any) error {
	if err := s.ServerStream.RecvMsg(message); err != nil {
		return err
	}
	if err := s.chain.validate(message); err != nil {
		return s.method.invalid(s.ctx, message, err)
	}
	return nil
}
