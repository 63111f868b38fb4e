package credential_test

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/credential"
	"github.com/trivet-dev/trivet/platform/errs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeAuth answers Authenticate; the other calls are not made.
type fakeAuth struct {
	authv1.AuthServiceClient
	calls atomic.Int64
	gate  chan struct{}
	life  time.Duration
	watch chan *authv1.WatchRevocationsResponse
}

func (f *fakeAuth) Authenticate(ctx context.Context, r *authv1.AuthenticateRequest, _ ...grpc.CallOption) (*authv1.AuthenticateResponse, error) {
	f.calls.Add(1)
	if f.gate != nil {
		select {
		case <-f.gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if r.GetCredential() == "bad" {
		return nil, errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN, "Invalid token")
	}
	return &authv1.AuthenticateResponse{
		Passports:  map[string]string{"ai": "passport of " + r.GetCredential()},
		ExpireTime: timestamppb.New(time.Now().Add(f.life)),
		Identity:   &authv1.Identity{UserId: "user of " + r.GetCredential(), SessionId: "sess"},
	}, nil
}

type watchStream struct {
	grpc.ServerStreamingClient[authv1.WatchRevocationsResponse]
	ctx      context.Context //nolint:containedctx // a stream's context, as gRPC has it
	messages chan *authv1.WatchRevocationsResponse
}

func (s watchStream) Recv() (*authv1.WatchRevocationsResponse, error) {
	select {
	case m := <-s.messages:
		return m, nil
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
}

func (f *fakeAuth) WatchRevocations(ctx context.Context, _ *authv1.WatchRevocationsRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[authv1.WatchRevocationsResponse], error) {
	return watchStream{ctx: ctx, messages: f.watch}, nil
}

func exchanger(t *testing.T, auth *fakeAuth) *credential.Exchanger {
	t.Helper()
	x, err := credential.New(auth, credential.Options{Now: time.Now})
	require.NoError(t, err)
	return x
}

func TestOneCallHoweverManyCallers(t *testing.T) {
	auth := &fakeAuth{gate: make(chan struct{}), life: time.Minute}
	x := exchanger(t, auth)
	impatient, leave := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() { _, err := x.Exchange(impatient, "a"); first <- err }()
	require.Eventually(t, func() bool { return auth.calls.Load() == 1 }, 5*time.Second, time.Millisecond)
	leave()
	require.ErrorIs(t, <-first, context.Canceled)

	var wait sync.WaitGroup
	for range 50 {
		wait.Go(func() {
			p, err := x.Exchange(t.Context(), "a")
			if err != nil || p.For("ai") != "passport of a" || p.For("billing") != "" {
				t.Errorf("got %v, %v", p, err)
			}
		})
	}
	close(auth.gate)
	wait.Wait()
	require.EqualValues(t, 1, auth.calls.Load(), "the first caller's leaving failed nobody and cost no second call")
}

func TestPassportsAreReusedWhileTheyLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &fakeAuth{life: 60 * time.Second}
		x := exchanger(t, auth)
		ask := func() { _, err := x.Exchange(t.Context(), "a"); require.NoError(t, err) }
		ask()
		time.Sleep(58 * time.Second)
		ask()
		require.EqualValues(t, 1, auth.calls.Load())
		time.Sleep(1500 * time.Millisecond)
		ask()
		require.EqualValues(t, 2, auth.calls.Load(), "a passport that is about to end is not handed out")
	})
}

func TestErrorsAreNotRemembered(t *testing.T) {
	auth := &fakeAuth{life: time.Minute}
	x := exchanger(t, auth)
	for range 2 {
		_, err := x.Passport(t.Context(), "bad", "ai")
		require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN, errs.ReasonOf(err))
	}
	require.EqualValues(t, 2, auth.calls.Load())
	_, err := x.Passport(t.Context(), "good", "billing")
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, errs.ReasonOf(err))
}

func TestRevocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &fakeAuth{life: time.Minute, watch: make(chan *authv1.WatchRevocationsResponse)}
		x := exchanger(t, auth)
		ask := func(c string) { _, err := x.Exchange(t.Context(), c); require.NoError(t, err) }
		ask("a")
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); x.Run(ctx, slog.New(slog.DiscardHandler)) }()

		auth.watch <- &authv1.WatchRevocationsResponse{}
		synctest.Wait()
		ask("a")
		require.EqualValues(t, 2, auth.calls.Load(), "what was remembered before the watch stood is forgotten")
		ask("b")
		require.EqualValues(t, 3, auth.calls.Load())

		auth.watch <- &authv1.WatchRevocationsResponse{Revocations: []*authv1.Revocation{{UserId: "user of a"}}}
		synctest.Wait()
		ask("b")
		require.EqualValues(t, 3, auth.calls.Load(), "others keep their passports")
		ask("a")
		require.EqualValues(t, 4, auth.calls.Load())

		auth.watch <- &authv1.WatchRevocationsResponse{Revocations: []*authv1.Revocation{{SessionId: "sess"}, {ApiKeyId: "key"}}}
		synctest.Wait()
		ask("a")
		ask("b")
		require.EqualValues(t, 6, auth.calls.Load())
		stop()
		<-done
	})
}

// An answer that auth gave before a revocation must not be remembered after it.
func TestRevocationDuringAuthenticate(t *testing.T) {
	auth := &fakeAuth{gate: make(chan struct{}), life: time.Minute}
	x := exchanger(t, auth)
	done := make(chan error, 1)
	go func() { _, err := x.Exchange(t.Context(), "a"); done <- err }()
	require.Eventually(t, func() bool { return auth.calls.Load() == 1 }, 5*time.Second, time.Millisecond)
	x.Revoke([]*authv1.Revocation{{UserId: "user of a"}})
	close(auth.gate)
	require.NoError(t, <-done)
	_, err := x.Exchange(t.Context(), "a")
	require.NoError(t, err)
	require.EqualValues(t, 2, auth.calls.Load())
}

func BenchmarkExchangeWarm(b *testing.B) {
	x, err := credential.New(&fakeAuth{life: time.Hour}, credential.Options{Now: time.Now})
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := x.Exchange(b.Context(), "a-token-of-a-realistic-length-of-about-nine-hundred-bytes"); err != nil {
			b.Fatal(err)
		}
	}
}
