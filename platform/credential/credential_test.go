package credential_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
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
	skew  time.Duration // of auth's clock
	watch chan *authv1.WatchRevocationsResponse
	// numbered makes each passport of a credential another one.
	numbered bool
	watches  atomic.Int64
}

func (f *fakeAuth) passport(credential string) string {
	if f.numbered {
		return fmt.Sprintf("passport %d of %s", f.calls.Load(), credential)
	}
	return "passport of " + credential
}

// stand makes the watch stand, and beat until the test ends.
func (f *fakeAuth) stand(t *testing.T, x *credential.Exchanger) {
	t.Helper()
	if f.watch == nil {
		f.watch = make(chan *authv1.WatchRevocationsResponse)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { x.Run(ctx, slog.New(slog.DiscardHandler)) })
	f.watch <- first()
	running.Go(func() {
		for {
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				return
			}
			select {
			case f.watch <- &authv1.WatchRevocationsResponse{}:
			case <-ctx.Done():
				return
			}
		}
	})
	t.Cleanup(func() { stop(); running.Wait() })
	synctest.Wait()
}

// first is the first message of a watch.
func first() *authv1.WatchRevocationsResponse {
	return &authv1.WatchRevocationsResponse{HeartbeatInterval: durationpb.New(time.Second)}
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
		Passports:  map[string]string{"ai": f.passport(r.GetCredential())},
		ExpireTime: timestamppb.New(time.Now().Add(f.skew).Add(f.life)),
		Identity:   &authv1.Identity{UserId: "user of " + r.GetCredential(), SessionId: "sess"},
	}, nil
}

// errBroken is the error of a stream that is sent a nil message.
var errBroken = errors.New("the stream broke")

type watchStream struct {
	grpc.ServerStreamingClient[authv1.WatchRevocationsResponse]
	ctx      context.Context //nolint:containedctx // a stream's context, as gRPC has it
	messages chan *authv1.WatchRevocationsResponse
}

func (s watchStream) Recv() (*authv1.WatchRevocationsResponse, error) {
	select {
	case m := <-s.messages:
		if m == nil {
			return nil, errBroken
		}
		return m, nil
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
}

func (f *fakeAuth) WatchRevocations(ctx context.Context, _ *authv1.WatchRevocationsRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[authv1.WatchRevocationsResponse], error) {
	f.watches.Add(1)
	return watchStream{ctx: ctx, messages: f.watch}, nil
}

func exchanger(t *testing.T, auth *fakeAuth) *credential.Exchanger {
	t.Helper()
	x, err := credential.New(auth, credential.Options{Now: time.Now})
	require.NoError(t, err)
	return x
}

func TestConcurrentCallersShareOneCall(t *testing.T) {
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

func TestPassportsAreReusedUntilTenSecondsBeforeTheirEnd(t *testing.T) {
	for name, tc := range map[string]struct {
		life, skew, reused time.Duration
	}{
		"a minute":                    {60 * time.Second, 0, 50 * time.Second},
		"auth is 10 s behind":         {60 * time.Second, -10 * time.Second, 40 * time.Second},
		"auth is 10 s ahead":          {60 * time.Second, 10 * time.Second, 60 * time.Second},
		"of a token that ends soon":   {8 * time.Second, 0, 6 * time.Second},
		"of a token that ends sooner": {2 * time.Second, 0, 1500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				auth := &fakeAuth{life: tc.life, skew: tc.skew}
				x := exchanger(t, auth)
				auth.stand(t, x)
				ask := func() { _, err := x.Exchange(t.Context(), "a"); require.NoError(t, err) }
				ask()
				time.Sleep(tc.reused - time.Millisecond)
				ask()
				require.EqualValues(t, 1, auth.calls.Load())
				time.Sleep(time.Millisecond)
				ask()
				require.EqualValues(t, 2, auth.calls.Load(), "a passport that is about to end is not handed out")
			})
		})
	}
}

func TestAPassportThatEndedAlreadyIsHandedOutOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &fakeAuth{life: time.Minute, skew: -time.Hour}
		x := exchanger(t, auth)
		auth.stand(t, x)
		for want := range int64(3) {
			p, err := x.Passport(t.Context(), "a", "ai")
			require.NoError(t, err)
			require.Equal(t, "passport of a", p, "auth says so, and the services' clocks may agree with auth's")
			require.Equal(t, want+1, auth.calls.Load())
		}
	})
}

func TestRenew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &fakeAuth{life: time.Minute, numbered: true}
		x := exchanger(t, auth)
		auth.stand(t, x)
		p, err := x.Exchange(t.Context(), "a")
		require.NoError(t, err)
		other, err := x.Exchange(t.Context(), "a")
		require.NoError(t, err)
		token := p.For("ai")

		time.Sleep(time.Second - time.Millisecond)
		renewed, err := p.Renew(t.Context(), "ai", token)
		require.NoError(t, err)
		require.False(t, renewed, "another one of the same second would be refused too")
		require.Equal(t, token, p.For("ai"))
		again, err := x.Renew(t.Context(), "a", "ai", token)
		require.NoError(t, err)
		require.Empty(t, again)
		require.EqualValues(t, 1, auth.calls.Load())

		time.Sleep(time.Millisecond)
		renewed, err = p.Renew(t.Context(), "ai", token)
		require.NoError(t, err)
		require.True(t, renewed)
		require.Equal(t, "passport 2 of a", p.For("ai"))
		renewed, err = p.Renew(t.Context(), "ai", token)
		require.NoError(t, err)
		require.True(t, renewed, "it has been renewed already")
		renewed, err = other.Renew(t.Context(), "ai", token)
		require.NoError(t, err)
		require.True(t, renewed)
		require.Equal(t, "passport 2 of a", other.For("ai"), "what another caller renewed is used")
		again, err = x.Renew(t.Context(), "a", "ai", token)
		require.NoError(t, err)
		require.Equal(t, "passport 2 of a", again)
		require.EqualValues(t, 2, auth.calls.Load())

		time.Sleep(time.Second)
		again, err = x.Renew(t.Context(), "a", "ai", "passport 2 of a")
		require.NoError(t, err)
		require.Equal(t, "passport 3 of a", again)
		_, err = x.Renew(t.Context(), "a", "billing", "")
		require.NoError(t, err)
		_, err = x.Renew(t.Context(), "bad", "ai", "x")
		require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN, errs.ReasonOf(err))
	})
}

// While revocations are not heard, a deleted key must not work for as long as its passport lives.
func TestWithoutAWatchAnswersAreReusedForSecondsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &fakeAuth{life: time.Minute}
		x := exchanger(t, auth)
		ask := func() { _, err := x.Exchange(t.Context(), "a"); require.NoError(t, err) }
		ask()
		time.Sleep(3*time.Second - time.Millisecond)
		ask()
		require.EqualValues(t, 1, auth.calls.Load())
		time.Sleep(time.Millisecond)
		ask()
		require.EqualValues(t, 2, auth.calls.Load())
	})
}

func TestASilentWatchEmptiesTheCacheAndBeginsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &fakeAuth{life: time.Minute, watch: make(chan *authv1.WatchRevocationsResponse)}
		x := exchanger(t, auth)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); x.Run(ctx, slog.New(slog.DiscardHandler)) }()
		defer func() { stop(); <-done }()
		ask := func() { _, err := x.Exchange(t.Context(), "a"); require.NoError(t, err) }

		auth.watch <- first()
		for range 20 { // heartbeats keep it standing
			time.Sleep(2900 * time.Millisecond)
			auth.watch <- &authv1.WatchRevocationsResponse{}
		}
		require.EqualValues(t, 1, auth.watches.Load())
		ask()
		time.Sleep(2900 * time.Millisecond)
		ask()
		require.EqualValues(t, 1, auth.calls.Load())
		time.Sleep(100 * time.Millisecond)
		ask()
		require.EqualValues(t, 2, auth.calls.Load(), "nothing was heard for 3 s")
		time.Sleep(101 * time.Millisecond)
		require.EqualValues(t, 2, auth.watches.Load(), "a new watch begins")
		time.Sleep(10 * time.Second)
		require.Greater(t, auth.watches.Load(), int64(3), "one that does not stand within 3 s is given up too")
		ask()
		calls := auth.calls.Load()
		auth.watch <- first()
		synctest.Wait()
		ask()
		require.Equal(t, calls+1, auth.calls.Load(), "what was remembered meanwhile is forgotten")
		time.Sleep(2 * time.Second)
		auth.watch <- &authv1.WatchRevocationsResponse{}
		time.Sleep(2 * time.Second)
		ask()
		require.Equal(t, calls+1, auth.calls.Load())
	})
}

func TestABrokenWatchIsBridgedForSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &fakeAuth{life: time.Minute, watch: make(chan *authv1.WatchRevocationsResponse)}
		x := exchanger(t, auth)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); x.Run(ctx, slog.New(slog.DiscardHandler)) }()
		defer func() { stop(); <-done }()
		ask := func() { _, err := x.Exchange(t.Context(), "a"); require.NoError(t, err) }
		auth.watch <- first()
		synctest.Wait()
		ask()
		time.Sleep(time.Second)
		auth.watch <- nil // auth restarts
		synctest.Wait()
		time.Sleep(2*time.Second - time.Millisecond) // 3 s after the last message
		ask()
		require.EqualValues(t, 1, auth.calls.Load(), "a restart of auth is not felt")
		time.Sleep(time.Millisecond)
		ask()
		require.EqualValues(t, 2, auth.calls.Load())
	})
}

func TestAnAuthWithoutHeartbeatsIsNotSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &fakeAuth{life: time.Minute, watch: make(chan *authv1.WatchRevocationsResponse)}
		x := exchanger(t, auth)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); x.Run(ctx, slog.New(slog.DiscardHandler)) }()
		defer func() { stop(); <-done }()
		auth.watch <- &authv1.WatchRevocationsResponse{}
		synctest.Wait()
		_, err := x.Exchange(t.Context(), "a")
		require.NoError(t, err)
		time.Sleep(45 * time.Second)
		_, err = x.Exchange(t.Context(), "a")
		require.NoError(t, err)
		require.EqualValues(t, 1, auth.calls.Load())
		require.EqualValues(t, 1, auth.watches.Load())
	})
}

// A watch that breaks again and again must not become a storm of calls.
func TestBrokenWatchesBeginAgainMoreAndMoreSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := &fakeAuth{life: time.Minute, watch: make(chan *authv1.WatchRevocationsResponse)}
		x := exchanger(t, auth)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); x.Run(ctx, slog.New(slog.DiscardHandler)) }()
		defer func() { stop(); <-done }()
		var gaps []time.Duration
		for last := time.Now(); len(gaps) < 8; last = time.Now() {
			auth.watch <- nil // the stream breaks at once
			gaps = append(gaps, time.Since(last).Round(time.Millisecond))
		}
		ms := time.Millisecond
		require.Equal(t, []time.Duration{0, 100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 2000 * ms, 2000 * ms}, gaps)
		time.Sleep(2 * time.Second)
		auth.watch <- first()
		auth.watch <- nil
		begin := time.Now()
		auth.watch <- nil
		require.Equal(t, 100*ms, time.Since(begin), "a watch that stood begins again soon")
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

		auth.watch <- first()
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
