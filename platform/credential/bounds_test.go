package credential_test

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	"github.com/trivet-dev/trivet/platform/credential"
)

// An answer that auth gave before everything was forgotten may be older than a revocation, so it is not kept.
func TestClearDuringAuthenticate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeAuth{life: time.Minute, gate: make(chan struct{})}
		x, err := credential.New(f, credential.Options{Now: time.Now})
		require.NoError(t, err)
		answered := make(chan error)
		go func() { _, err := x.Exchange(t.Context(), "a"); answered <- err }()
		synctest.Wait()
		x.Clear()
		close(f.gate)
		require.NoError(t, <-answered)
		_, err = x.Exchange(t.Context(), "a")
		require.NoError(t, err)
		require.EqualValues(t, 2, f.calls.Load())
	})
}

// Who asks after a revocation does not get an answer that auth may have given before it.
func TestWhoAsksAfterARevocationAsksAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeAuth{life: time.Minute, gate: make(chan struct{}), numbered: true}
		x, err := credential.New(f, credential.Options{Now: time.Now})
		require.NoError(t, err)
		answered := make(chan error)
		ask := func() { _, err := x.Exchange(t.Context(), "a"); answered <- err }
		go ask()
		synctest.Wait()
		x.Revoke([]*authv1.Revocation{{UserId: "user of a"}})
		go ask()
		go ask()
		synctest.Wait()
		require.EqualValues(t, 2, f.calls.Load())
		close(f.gate)
		for range 3 {
			require.NoError(t, <-answered)
		}
	})
}

// A revocation forgets the credentials that it names. Empty ids match nothing: an API key has no session.
func TestRevocationsForgetOnlyNamedCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeAuth{life: time.Minute}
		x, err := credential.New(f, credential.Options{Now: time.Now})
		require.NoError(t, err)
		_, err = x.Exchange(t.Context(), "a")
		require.NoError(t, err)
		for calls, r := range []*authv1.Revocation{
			{}, {UserId: "another"}, {SessionId: "another"}, {ApiKeyId: "another"}, {UserId: "user of a"}, {SessionId: "sess"},
		} {
			x.Revoke([]*authv1.Revocation{r})
			_, err = x.Exchange(t.Context(), "a")
			require.NoError(t, err)
			require.EqualValues(t, 1+max(0, calls-3), f.calls.Load(), "%v", r)
		}
	})
}

// keyAuth answers for API keys, which have no session.
type keyAuth struct{ *fakeAuth }

func (k keyAuth) Authenticate(ctx context.Context, r *authv1.AuthenticateRequest, o ...grpc.CallOption) (*authv1.AuthenticateResponse, error) {
	answer, err := k.fakeAuth.Authenticate(ctx, r, o...)
	if err == nil {
		answer.Identity = &authv1.Identity{UserId: "user", ApiKeyId: r.GetCredential()}
	}
	return answer, err
}

func TestRevocationsOfAPIKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeAuth{life: time.Minute}
		x, err := credential.New(keyAuth{f}, credential.Options{Now: time.Now})
		require.NoError(t, err)
		_, err = x.Exchange(t.Context(), "key")
		require.NoError(t, err)
		for _, r := range []*authv1.Revocation{{UserId: "another"}, {ApiKeyId: "another"}, {SessionId: "sess"}} {
			x.Revoke([]*authv1.Revocation{r})
			_, err = x.Exchange(t.Context(), "key")
			require.NoError(t, err)
			require.EqualValues(t, 1, f.calls.Load(), "%v", r)
		}
		x.Revoke([]*authv1.Revocation{{ApiKeyId: "key"}})
		_, err = x.Exchange(t.Context(), "key")
		require.NoError(t, err)
		require.EqualValues(t, 2, f.calls.Load())
	})
}

// The age of an answer is negative after the clock was set back: then nobody knows how fresh it is, and it is renewed.
func TestRenewAfterTheClockWasSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var back atomic.Int64
		f := &fakeAuth{life: time.Minute, numbered: true}
		x, err := credential.New(f, credential.Options{Now: func() time.Time { return time.Now().Add(-time.Duration(back.Load())) }})
		require.NoError(t, err)
		p, err := x.Exchange(t.Context(), "a")
		require.NoError(t, err)
		renewed, err := p.Renew(t.Context(), "ai", p.For("ai"))
		require.NoError(t, err)
		require.False(t, renewed, "it is fresh")
		back.Store(int64(time.Hour))
		renewed, err = p.Renew(t.Context(), "ai", p.For("ai"))
		require.NoError(t, err)
		require.True(t, renewed)
	})
}

// An auth without heartbeats is taken to be heard for as long as its stream lasts. When that breaks, and no other comes, an
// answer is reused for seconds only.
func TestABrokenWatchWithoutHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeAuth{life: time.Minute, watch: make(chan *authv1.WatchRevocationsResponse)}
		x := exchanger(t, f)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); x.Run(ctx, slog.New(slog.DiscardHandler)) }()
		defer func() { stop(); <-done }()
		ask := func() { _, err := x.Exchange(t.Context(), "a"); require.NoError(t, err) }
		f.watch <- &authv1.WatchRevocationsResponse{}
		synctest.Wait()
		ask()
		time.Sleep(20 * time.Second)
		f.watch <- nil
		synctest.Wait()
		ask()
		require.EqualValues(t, 1, f.calls.Load())
		time.Sleep(3 * time.Second)
		ask()
		require.EqualValues(t, 2, f.calls.Load())
	})
}
