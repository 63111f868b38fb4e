package call_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/trivet-dev/trivet/gateway/internal/call"
	"github.com/trivet-dev/trivet/platform/passport"
)

// failing fails every call with one error; a stream may fail after some messages.
type failing struct {
	grpc.ClientConnInterface
	err   error
	after int
	calls int
}

func (f *failing) Invoke(context.Context, string, any, any, ...grpc.CallOption) error {
	f.calls++
	return f.err
}

func (f *failing) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	f.calls++
	return &failingStream{err: f.err, left: f.after}, nil
}

type failingStream struct {
	grpc.ClientStream
	err  error
	left int
}

func (s *failingStream) SendMsg(any) error { return nil }
func (s *failingStream) CloseSend() error  { return nil }

func (s *failingStream) RecvMsg(message any) error {
	if s.left--; s.left >= 0 {
		message.(*wrapperspb.StringValue).Value = "request" //nolint:forcetypeassert // the test's own
		return nil
	}
	return s.err
}

// Only a refused passport is renewed: a call that failed for another reason may have had its effect.
func TestOtherFailuresAreNotRepeated(t *testing.T) {
	broken := errors.New("the database is gone")
	p := &passports{now: "old", next: "new"}
	ctx := call.With(t.Context(), &call.State{Passports: p})
	f := &failing{err: broken}
	require.ErrorIs(t, call.Conn(f, "ai").Invoke(ctx, "/x", nil, nil), broken)
	require.Equal(t, 1, f.calls)
	f = &failing{err: broken}
	require.ErrorIs(t, echo(ctx, t, call.Conn(f, "ai")), broken)
	require.Equal(t, 1, f.calls)
	require.Zero(t, p.renewals)
}

// A stream that has sent something is not begun anew: the caller has its first messages.
func TestAStreamIsRenewedBeforeItsFirstMessageOnly(t *testing.T) {
	p := &passports{now: "old", next: "new"}
	ctx := call.With(t.Context(), &call.State{Passports: p})
	f := &failing{err: passport.ClockError(passport.ErrClock), after: 1}
	require.ErrorIs(t, echo(ctx, t, call.Conn(f, "ai")), passport.ErrClock)
	require.Equal(t, 1, f.calls)
	require.Zero(t, p.renewals)
}

// A stream of requests cannot be sent again, so its error is the caller's.
func TestAStreamOfRequestsIsNotRenewed(t *testing.T) {
	p := &passports{now: "old", next: "new"}
	ctx := call.With(t.Context(), &call.State{Passports: p})
	f := &failing{err: passport.ClockError(passport.ErrClock)}
	stream, err := call.Conn(f, "ai").NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/x")
	require.NoError(t, err)
	require.NoError(t, stream.SendMsg(wrapperspb.String("one")))
	require.ErrorIs(t, stream.RecvMsg(&wrapperspb.StringValue{}), passport.ErrClock)
	require.Zero(t, p.renewals)
}
