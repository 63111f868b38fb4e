package call

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/trivet-dev/trivet/platform/connect"
	"github.com/trivet-dev/trivet/platform/idempotency"
	"github.com/trivet-dev/trivet/platform/passport"
)

// Conn returns a connection to one service. Its calls carry the caller's passport for that service and the caller's
// idempotency key, and drop all other outgoing metadata. When the service rejects the passport's times, because clocks differ, the call is retried once with a
// new passport.
func Conn(conn grpc.ClientConnInterface, service string) grpc.ClientConnInterface {
	return &passportConn{conn: conn, service: service}
}

type passportConn struct {
	conn    grpc.ClientConnInterface
	service string
}

// Invoke implements grpc.ClientConnInterface.
func (c *passportConn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	From(ctx).Called.Store(true)
	token := tokenOf(ctx, c.service)
	err := c.conn.Invoke(outgoing(ctx, token), method, args, reply, opts...)
	if err == nil || !passport.IsClockError(err) {
		return reached(ctx, err)
	}
	renewed, renewErr := renew(ctx, c.service, token)
	if renewErr != nil || renewed == "" {
		return firstOf(renewErr, err)
	}
	return reached(ctx, c.conn.Invoke(outgoing(ctx, renewed), method, args, reply, opts...))
}

// reached notes that a call reached no service, if err says so, and returns err.
func reached(ctx context.Context, err error) error {
	if connect.Unsent(err) {
		From(ctx).Called.Store(false)
	}
	return err
}

// NewStream implements grpc.ClientConnInterface.
func (c *passportConn) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	From(ctx).Called.Store(true)
	token := tokenOf(ctx, c.service)
	begin := func(token string) (grpc.ClientStream, error) {
		return c.conn.NewStream(outgoing(ctx, token), desc, method, opts...)
	}
	stream, err := begin(token)
	if err != nil || desc.ClientStreams {
		return stream, reached(ctx, err)
	}
	return &renewingStream{ClientStream: stream, ctx: ctx, again: func() (grpc.ClientStream, error) {
		renewed, err := renew(ctx, c.service, token)
		if err != nil || renewed == "" {
			return nil, err
		}
		return begin(renewed)
	}}, nil
}

// tokenOf returns the caller's passport for a service, or "" without a caller.
func tokenOf(ctx context.Context, service string) string {
	if p := From(ctx).Passports; p != nil {
		return p.For(service)
	}
	return ""
}

// renew returns a new passport, or "" when no newer passport is available.
func renew(ctx context.Context, service, refused string) (string, error) {
	renewer, ok := From(ctx).Passports.(Renewer)
	if !ok || refused == "" {
		return "", nil
	}
	if renewed, err := renewer.Renew(ctx, service, refused); err != nil || !renewed {
		return "", err
	}
	return tokenOf(ctx, service), nil
}

func outgoing(ctx context.Context, token string) context.Context {
	md := metadata.MD{}
	if token != "" {
		md[passport.Header] = []string{token}
	}
	if key := From(ctx).IdempotencyKey; key != "" {
		md[idempotency.Header] = []string{key}
	}
	return metadata.NewOutgoingContext(ctx, md)
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// renewingStream is a stream with one request that restarts with the same request when its passport is rejected. The
// server rejects a passport before the handler runs, so the rejection is always the first thing received.
type renewingStream struct {
	grpc.ClientStream
	ctx     context.Context                   //nolint:containedctx // the request's own, as gRPC's streams have it
	again   func() (grpc.ClientStream, error) // nil once something was received
	request any
}

// SendMsg implements grpc.ClientStream.
func (s *renewingStream) SendMsg(message any) error {
	s.request = message
	return s.ClientStream.SendMsg(message)
}

// RecvMsg implements grpc.ClientStream.
func (s *renewingStream) RecvMsg(message any) error {
	err := reached(s.ctx, s.ClientStream.RecvMsg(message))
	again, request := s.again, s.request
	s.again, s.request = nil, nil
	if err == nil || again == nil || !passport.IsClockError(err) {
		return err
	}
	stream, renewErr := again()
	if renewErr != nil || stream == nil {
		return firstOf(reached(s.ctx, renewErr), err)
	}
	s.ClientStream = stream
	if err := stream.SendMsg(request); err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	return reached(s.ctx, stream.RecvMsg(message))
}
