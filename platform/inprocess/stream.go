package inprocess

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// depth is how many messages wait for a stream's reader; then the handler is held back.
const depth = 16

// NewStream implements grpc.ClientConnInterface. As with every connection, the caller reads to the end or ends ctx.
func (c *Channel) NewStream(ctx context.Context, _ *grpc.StreamDesc, method string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	s, ok := c.streams[method]
	if !ok {
		return nil, unknown(method)
	}
	if s.desc.ClientStreams {
		return nil, status.Errorf(codes.Unimplemented, "%s takes a stream of requests, which has no in-process form", method)
	}
	return &clientStream{ctx: ctx, channel: c, stream: s, method: method}, nil
}

// clientStream is the caller's end. It is used by one goroutine.
type clientStream struct {
	ctx     context.Context //nolint:containedctx // as gRPC's streams have it
	channel *Channel
	stream  stream
	method  string
	request proto.Message
	pipe    *pipe // nil until the handler runs
}

// pipe is what both ends share.
type pipe struct {
	messages chan proto.Message
	err      error // why the stream ended; valid once messages is closed
}

// SendMsg takes the one request.
func (s *clientStream) SendMsg(message any) error {
	m, ok := message.(proto.Message)
	if !ok || s.request != nil {
		return status.Errorf(codes.Internal, "%s takes one protobuf message", s.method)
	}
	s.request = proto.Clone(m)
	return nil
}

// CloseSend starts the handler.
func (s *clientStream) CloseSend() error {
	if s.pipe != nil {
		return nil
	}
	s.pipe = &pipe{messages: make(chan proto.Message, depth)}
	info := &grpc.StreamServerInfo{FullMethod: s.method, IsServerStream: true}
	s.channel.running.Go(func() {
		ctx, cancel := serverContext(s.ctx)
		defer cancel()
		defer close(s.pipe.messages)
		server := &serverStream{ctx: ctx, pipe: s.pipe, request: s.request}
		s.pipe.err = s.channel.stream(s.stream.impl, server, info, s.stream.desc.Handler)
	})
	return nil
}

// RecvMsg waits for the next message; io.EOF after the last.
func (s *clientStream) RecvMsg(message any) error {
	if s.pipe == nil {
		return status.Error(codes.Internal, "the request was not sent")
	}
	var got proto.Message
	var open bool
	select {
	case got, open = <-s.pipe.messages:
	default:
		select {
		case got, open = <-s.pipe.messages:
		case <-s.ctx.Done():
			return status.FromContextError(s.ctx.Err()).Err()
		}
	}
	switch {
	case open:
		into, ok := message.(proto.Message)
		if !ok {
			return status.Errorf(codes.Internal, "%s answers with protobuf messages", s.method)
		}
		proto.Reset(into)
		return give(into, got)
	case s.pipe.err != nil:
		return asStatus(s.pipe.err)
	default:
		return io.EOF
	}
}

// Header returns none: handlers here send no metadata.
func (*clientStream) Header() (metadata.MD, error) { return nil, nil }

// Trailer returns none.
func (*clientStream) Trailer() metadata.MD { return nil }

// Context returns the caller's.
func (s *clientStream) Context() context.Context { return s.ctx }

// serverStream is the handler's end.
type serverStream struct {
	ctx     context.Context //nolint:containedctx // as gRPC's streams have it
	pipe    *pipe
	request proto.Message // nil once it was received
}

// errNoMessage is for handlers that send what is not a message.
var errNoMessage = errors.New("a stream sends protobuf messages")

// SendMsg copies a message to the caller.
func (s *serverStream) SendMsg(message any) error {
	m, ok := message.(proto.Message)
	if !ok {
		return errNoMessage
	}
	if err := s.ctx.Err(); err != nil {
		return status.FromContextError(err).Err()
	}
	select {
	case s.pipe.messages <- proto.Clone(m):
		return nil
	case <-s.ctx.Done():
		return status.FromContextError(s.ctx.Err()).Err()
	}
}

// RecvMsg gives the one request, then io.EOF.
func (s *serverStream) RecvMsg(message any) error {
	if s.request == nil {
		return io.EOF
	}
	request := s.request
	s.request = nil
	return give(message, request)
}

// Context has the metadata that the caller sent.
func (s *serverStream) Context() context.Context { return s.ctx }

// SetHeader drops metadata: no caller in this process reads them.
func (*serverStream) SetHeader(metadata.MD) error { return nil }

// SendHeader drops metadata.
func (*serverStream) SendHeader(metadata.MD) error { return nil }

// SetTrailer drops metadata.
func (*serverStream) SetTrailer(metadata.MD) {}
