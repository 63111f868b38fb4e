package grpcserver

import (
	"context"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/tap"

	accessv1 "github.com/trivet-dev/trivet/gen/go/trivet/access/v1"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/tracing"
)

// tap refuses a call by its headers, before gRPC reads the message: interceptors run after that, and anybody who reaches the
// port could have the server hold messages of 32 MiB. A call with a credential passes, because asking auth takes time that
// this callback, on the goroutine that reads the connection, does not have; authorize decides later.
func (c *chain) tap(ctx context.Context, info *tap.Info) (context.Context, error) {
	m := c.methods[info.FullMethodName]
	if m == nil {
		return ctx, nil // gRPC's own services take small messages, and unknown methods are refused unread
	}
	claims, err := c.screen(info, m)
	if err != nil {
		ctx = withRequestID(ctx, info.Header)
		return ctx, c.finish(ctx, m, tracing.Span{}, time.Now(), m.refused(ctx, claims, nil, err), nil)
	}
	return context.WithValue(ctx, screenedKey{}, &screened{headers: info.Header, claims: claims}), nil
}

// screened is what tap knows of a call, so that the interceptors do not find it out again.
type screened struct {
	headers metadata.MD      // gRPC's own, which must not change; metadata.FromIncomingContext copies each of them
	claims  *passport.Claims // of the passport that tap has verified; nil if there was none
}

// screenedKey is the key of a *screened.
type screenedKey struct{}

// headersOf returns the headers of a call, which must not be changed.
func headersOf(ctx context.Context) metadata.MD {
	if s, ok := ctx.Value(screenedKey{}).(*screened); ok {
		return s.headers
	}
	md, _ := metadata.FromIncomingContext(ctx)
	return md
}

// screen returns why a call is refused, with the claims of a known caller.
func (c *chain) screen(info *tap.Info, m *method) (*passport.Claims, error) {
	switch m.rule.GetCaller() {
	case accessv1.Caller_CALLER_PUBLIC:
		return nil, nil
	case accessv1.Caller_CALLER_INTERNAL:
		return nil, c.checkPeer(info.Header, m)
	case accessv1.Caller_CALLER_USER, accessv1.Caller_CALLER_ADMIN, accessv1.Caller_CALLER_OPERATOR:
		token, err := single(info.Header, passport.Header)
		if err != nil {
			return nil, err
		}
		if token == "" {
			_, err = c.credential(info.Header)
			return nil, err
		}
		claims, err := c.config.Passports.Verify(token, m.service)
		if err != nil {
			return nil, refusal(err)
		}
		return claims, permit(claims, m.rule)
	case accessv1.Caller_CALLER_UNSPECIFIED:
	}
	return nil, noRule()
}
