package call_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/trivet-dev/trivet/gateway/internal/call"
	"github.com/trivet-dev/trivet/platform/passport"
)

// service accepts the passport "new" and rejects the times of all others.
type service struct {
	grpc.ClientConnInterface
	seen []metadata.MD
}

func (s *service) answer(ctx context.Context) error {
	md, _ := metadata.FromOutgoingContext(ctx)
	s.seen = append(s.seen, md)
	if tokens := md[passport.Header]; len(tokens) == 1 && tokens[0] == "new" {
		return nil
	}
	return passport.ClockError(passport.ErrClock)
}

func (s *service) Invoke(ctx context.Context, _ string, _, _ any, _ ...grpc.CallOption) error {
	return s.answer(ctx)
}

func (s *service) NewStream(ctx context.Context, _ *grpc.StreamDesc, _ string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	return &stream{err: s.answer(ctx)}, nil
}

// plain echoes its request twice, or fails.
func (s *service) plain(_ context.Context, token string, in *wrapperspb.StringValue, send func(*wrapperspb.StringValue) error) error {
	if err := s.answer(metadata.NewOutgoingContext(context.Background(), metadata.Pairs(passport.Header, token))); err != nil {
		return err
	}
	return errors.Join(send(in), send(in))
}

// stream echoes its request twice, or fails.
type stream struct {
	grpc.ClientStream
	err     error
	request any
	closed  bool
	sent    int
}

func (s *stream) SendMsg(message any) error { s.request = message; return nil }
func (s *stream) CloseSend() error          { s.closed = true; return nil }

func (s *stream) RecvMsg(message any) error {
	switch {
	case s.err != nil:
		return s.err
	case !s.closed:
		return errors.New("the request is not complete")
	case s.sent == 2:
		return io.EOF
	}
	s.sent++
	message.(*wrapperspb.StringValue).Value = s.request.(*wrapperspb.StringValue).Value //nolint:forcetypeassert // the test's own
	return nil
}

// passports renews from now to next.
type passports struct {
	now, next string
	err       error
	renewals  int
}

func (p *passports) For(service string) string { return map[string]string{"ai": p.now}[service] }

func (p *passports) Renew(_ context.Context, _, refused string) (bool, error) {
	p.renewals++
	if p.err != nil || p.next == "" || refused != p.now {
		return false, p.err
	}
	p.now = p.next
	return true, nil
}

func TestRejectedPassportIsRenewedOnce(t *testing.T) {
	away := errors.New("auth is unavailable")
	for name, tc := range map[string]struct {
		passports       *passports
		calls, renewals int
		want            error
	}{
		"accepted":              {&passports{now: "new"}, 1, 0, nil},
		"renewed":               {&passports{now: "old", next: "new"}, 2, 1, nil},
		"refused twice":         {&passports{now: "old", next: "older"}, 2, 1, passport.ErrClock},
		"too fresh to renew":    {&passports{now: "old"}, 1, 1, passport.ErrClock},
		"auth is unavailable":   {&passports{now: "old", err: away}, 1, 1, away},
		"a call without a user": {&passports{}, 1, 0, passport.ErrClock},
	} {
		t.Run(name, func(t *testing.T) {
			for kind, do := range map[string]func(context.Context, *service) error{
				"unary": func(ctx context.Context, s *service) error {
					return call.Conn(s, "ai").Invoke(ctx, "/x", nil, nil)
				},
				"stream": func(ctx context.Context, s *service) error {
					return echo(ctx, t, call.Conn(s, "ai"))
				},
				"plain": func(ctx context.Context, s *service) error {
					var got []string
					err := call.Plain(s.plain, "ai")(ctx, wrapperspb.String("request"), func(m *wrapperspb.StringValue) error {
						got = append(got, m.GetValue())
						return nil
					})
					if err == nil {
						require.Equal(t, []string{"request", "request"}, got)
					}
					return err
				},
			} {
				p, s := *tc.passports, &service{}
				ctx := metadata.AppendToOutgoingContext(call.With(t.Context(), &call.State{Passports: &p}), "x-layer-above", "1")
				err := do(ctx, s)
				require.ErrorIs(t, err, tc.want, kind)
				require.Len(t, s.seen, tc.calls, kind)
				require.Equal(t, tc.renewals, p.renewals, kind)
				for _, md := range s.seen {
					require.NotContains(t, md, "x-layer-above", kind)
				}
			}
		})
	}
}

func echo(ctx context.Context, t *testing.T, conn grpc.ClientConnInterface) error {
	t.Helper()
	s, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/x")
	require.NoError(t, err)
	require.NoError(t, s.SendMsg(wrapperspb.String("request")))
	require.NoError(t, s.CloseSend())
	for range 2 {
		var got wrapperspb.StringValue
		if err := s.RecvMsg(&got); err != nil {
			return err
		}
		require.Equal(t, "request", got.GetValue())
	}
	require.ErrorIs(t, s.RecvMsg(&wrapperspb.StringValue{}), io.EOF)
	return nil
}

func TestClientStreamsAreNotRestarted(t *testing.T) {
	p, s := &passports{now: "old", next: "new"}, &service{}
	ctx := call.With(t.Context(), &call.State{Passports: p})
	both, err := call.Conn(s, "ai").NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/x")
	require.NoError(t, err)
	require.ErrorIs(t, both.RecvMsg(nil), passport.ErrClock)
	require.Zero(t, p.renewals)
}

func TestOtherServicesGetNoPassport(t *testing.T) {
	s := &service{}
	ctx := call.With(t.Context(), &call.State{Passports: &passports{now: "new"}})
	require.Error(t, call.Conn(s, "billing").Invoke(ctx, "/x", nil, nil))
	require.Empty(t, s.seen[0][passport.Header])
}

// A call that has sent something is not made again, whatever it ends with.
func TestPlainCallsThatHaveSentAreNotRepeated(t *testing.T) {
	p, calls := &passports{now: "old", next: "new"}, 0
	ctx := call.With(t.Context(), &call.State{Passports: p})
	rpc := func(_ context.Context, _ string, in *wrapperspb.StringValue, send func(*wrapperspb.StringValue) error) error {
		calls++
		return errors.Join(send(in), passport.ClockError(passport.ErrClock))
	}
	err := call.Plain(rpc, "ai")(ctx, wrapperspb.String("x"), func(*wrapperspb.StringValue) error { return nil })
	require.Error(t, err)
	require.Equal(t, 1, calls)
}
