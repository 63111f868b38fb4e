package grpcserver

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"google.golang.org/grpc/metadata"

	accessv1 "github.com/trivet-dev/trivet/gen/go/trivet/access/v1"
	"github.com/trivet-dev/trivet/platform/peer"
	"github.com/trivet-dev/trivet/platform/requestid"
	"github.com/trivet-dev/trivet/platform/tracing"
)

// traced begins the span of a call that came with metadata. The trace of another of Trivet's processes is continued; that of anybody
// else is not, because a stranger must not choose trace ids. Calls between services begin no trace of their own: they would be polls and
// watches.
func (c *chain) traced(ctx context.Context, md metadata.MD, m *method) (context.Context, tracing.Span) {
	t := c.config.Tracer
	if t == nil {
		return ctx, tracing.Span{}
	}
	var traceparent string
	if all := md[tracing.Header]; len(all) == 1 && c.fromPeer(md) {
		traceparent = all[0]
	}
	ctx, span := t.Serve(ctx, m.span, traceparent, m.forCallers())
	m.describe(ctx, span)
	return ctx, span
}

// fromPeer reports whether one of Trivet's own services makes a call.
func (c *chain) fromPeer(md metadata.MD) bool {
	proof, err := single(md, peer.Header)
	if err != nil || proof == "" {
		return false
	}
	_, err = c.config.Peers.Verify(proof)
	return err == nil
}

// describe sets the attributes that every call has.
func (m *method) describe(ctx context.Context, span tracing.Span) {
	if span.On() {
		span.Set(attribute.String("rpc.system.name", "grpc"), attribute.String("rpc.method", m.span), attribute.String("trivet.request_id", requestid.From(ctx)))
	}
}

// forCallers reports whether an RPC is for people and programs, not for Trivet's own services.
func (m *method) forCallers() bool {
	//exhaustive:ignore
	switch m.rule.GetCaller() {
	case accessv1.Caller_CALLER_USER, accessv1.Caller_CALLER_ADMIN, accessv1.Caller_CALLER_OPERATOR:
		return true
	default:
		return false
	}
}
