// Package inprocess is a gRPC connection to services of the same process. It behaves like one over the network: messages are
// copied, only metadata cross over from the caller's context, and a caller whose context ends is answered at once. It has
// unary calls and streams with one request, which is all that the contract has.
package inprocess

import (
	"context"
	"fmt"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// Channel is the services and the connection to them. Register services before the first call.
type Channel struct {
	unary   grpc.UnaryServerInterceptor
	stream  grpc.StreamServerInterceptor
	calls   map[string]unary
	streams map[string]stream
	running sync.WaitGroup
}

type unary struct {
	impl    any
	handler grpc.MethodHandler
}

type stream struct {
	impl any
	desc grpc.StreamDesc
}

// New makes a channel whose calls pass the interceptors, which are needed.
func New(unaries grpc.UnaryServerInterceptor, streams grpc.StreamServerInterceptor) *Channel {
	return &Channel{unary: unaries, stream: streams, calls: map[string]unary{}, streams: map[string]stream{}}
}

// RegisterService implements grpc.ServiceRegistrar.
func (c *Channel) RegisterService(desc *grpc.ServiceDesc, impl any) {
	for _, m := range desc.Methods {
		c.calls["/"+desc.ServiceName+"/"+m.MethodName] = unary{impl, m.Handler}
	}
	for _, s := range desc.Streams {
		c.streams["/"+desc.ServiceName+"/"+s.StreamName] = stream{impl, s}
	}
}

// Wait returns when no handler runs any more. No call may begin.
func (c *Channel) Wait() { c.running.Wait() }

// Invoke implements grpc.ClientConnInterface. Of the options, grpc.Header has a meaning here.
func (c *Channel) Invoke(ctx context.Context, method string, args, reply any, options ...grpc.CallOption) error {
	call, ok := c.calls[method]
	if !ok {
		return unknown(method)
	}
	into, ok1 := reply.(proto.Message)
	request, ok2 := args.(proto.Message)
	if !ok1 || !ok2 {
		return status.Errorf(codes.Internal, "%s takes protobuf messages, not %T and %T", method, args, reply)
	}
	if err := ctx.Err(); err != nil {
		return status.FromContextError(err).Err()
	}
	request = proto.Clone(request)
	type result struct {
		answer any
		err    error
		header metadata.MD
	}
	results := make(chan result, 1)
	c.running.Go(func() {
		own, cancel := serverContext(ctx)
		defer cancel()
		h := &header{method: method}
		answer, err := call.handler(call.impl, h.within(own), func(m any) error { return give(m, request) }, c.unary)
		results <- result{answer, err, h.get()}
	})
	select {
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	case r := <-results:
		for _, o := range options {
			if wanted, ok := o.(grpc.HeaderCallOption); ok {
				*wanted.HeaderAddr = r.header
			}
		}
		if r.err != nil {
			return asStatus(r.err)
		}
		proto.Reset(into)
		return copyTo(into, r.answer)
	}
}

// serverContext returns the context of a handler: it ends with the caller's, and has the metadata that the caller sends.
func serverContext(caller context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	if deadline, ok := caller.Deadline(); ok {
		cancel()
		ctx, cancel = context.WithDeadline(context.Background(), deadline)
	}
	stop := context.AfterFunc(caller, cancel)
	md, _ := metadata.FromOutgoingContext(caller)
	return metadata.NewIncomingContext(ctx, md.Copy()), func() {
		stop()
		cancel()
	}
}

// give copies a message into another of the same type.
func give(into any, from proto.Message) error {
	m, ok := into.(proto.Message)
	if !ok || m.ProtoReflect().Descriptor() != from.ProtoReflect().Descriptor() {
		return status.Errorf(codes.Internal, "a %T was sent where a %T is expected", from, into)
	}
	proto.Merge(m, from)
	return nil
}

func copyTo(into proto.Message, from any) error {
	m, ok := from.(proto.Message)
	if !ok {
		return status.Errorf(codes.Internal, "the handler answered with a %T", from)
	}
	return give(into, m)
}

func asStatus(err error) error {
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.FromContextError(err).Err()
}

func unknown(method string) error {
	return status.Error(codes.Unimplemented, fmt.Sprintf("unknown method %s", method))
}
