package session_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/auth/internal/authtest"
	"github.com/trivet-dev/trivet/services/auth/internal/session"
)

// counting is a verifier with a fixed answer that counts the calls.
type counting struct {
	calls  atomic.Int64
	answer func() (*session.Session, error)
}

func (c *counting) Verify(context.Context, string) (*session.Session, error) {
	c.calls.Add(1)
	return c.answer()
}

func lasting(life time.Duration) func() (*session.Session, error) {
	return func() (*session.Session, error) {
		return &session.Session{UserID: "user_1", ExpireTime: epoch().Add(life)}, nil
	}
}

func cached(t *testing.T, inner session.Verifier, now *time.Time) *session.Cache {
	t.Helper()
	c, err := session.NewCache(inner, 4, func() time.Time { return *now })
	require.NoError(t, err)
	return c
}

func TestCacheLife(t *testing.T) {
	for name, tc := range map[string]struct{ life, kept time.Duration }{
		"a minute at most":   {time.Hour, time.Minute},
		"until it expires":   {10 * time.Second, 10 * time.Second},
		"at its end: not":    {0, 0},
		"in the leeway: not": {-time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			now, inner := epoch(), &counting{answer: lasting(tc.life)}
			c := cached(t, inner, &now)
			ask := func(after time.Duration) int64 {
				now = epoch().Add(after)
				_, err := c.Verify(t.Context(), "token")
				require.NoError(t, err)
				return inner.calls.Load()
			}
			require.EqualValues(t, 1, ask(0))
			if tc.kept > 0 {
				require.EqualValues(t, 1, ask(tc.kept-1))
			} else {
				require.Zero(t, c.Len(), "a token that has no time left takes no place")
			}
			require.EqualValues(t, 2, ask(tc.kept))
		})
	}
}

func TestCacheKnowsWholeTokensOnly(t *testing.T) {
	now, inner := epoch(), &counting{answer: lasting(time.Minute)}
	c := cached(t, inner, &now)
	for _, token := range []string{"head.body.sig", "head.body.siG", "head.body."} {
		_, err := c.Verify(t.Context(), token)
		require.NoError(t, err)
	}
	require.EqualValues(t, 3, inner.calls.Load())
}

func TestCacheIsBoundedAndKeepsNoRefusal(t *testing.T) {
	now, inner := epoch(), &counting{answer: lasting(time.Minute)}
	c := cached(t, inner, &now)
	for i := range 100 {
		_, err := c.Verify(t.Context(), strings.Repeat("x", i))
		require.NoError(t, err)
	}
	require.Equal(t, 4, c.Len())

	bad := errors.New("bad")
	inner.answer = func() (*session.Session, error) { return nil, bad }
	for range 3 {
		_, err := c.Verify(t.Context(), "bad")
		require.ErrorIs(t, err, bad)
	}
	require.EqualValues(t, 103, inner.calls.Load())
	_, err := c.Verify(t.Context(), strings.Repeat("x", session.MaxTokenBytes+1))
	requireVerdict(t, session.VerdictTooLarge, err)
	require.EqualValues(t, 103, inner.calls.Load(), "not even hashed")
	_, err = c.Verify(t.Context(), strings.Repeat("x", session.MaxTokenBytes))
	require.ErrorIs(t, err, bad, "the longest token is verified")
}

func TestClearForgetsVerdictsUnderWay(t *testing.T) {
	now, inner := epoch(), &counting{}
	c := cached(t, inner, &now)
	inner.answer = func() (*session.Session, error) {
		c.Clear() // a revocation while the token is being verified
		return lasting(time.Minute)()
	}
	_, err := c.Verify(t.Context(), "token")
	require.NoError(t, err)
	require.Zero(t, c.Len())
	inner.answer = lasting(time.Minute)
	_, err = c.Verify(t.Context(), "token")
	require.NoError(t, err)
	require.Equal(t, 1, c.Len())
	c.Clear()
	require.Zero(t, c.Len())
}

// BenchmarkVerify compares a token seen before, a token checked in full, and the SDK with the right key at hand.
func BenchmarkVerify(b *testing.B) {
	full := verifier(b, policy(), epoch)
	token := authtest.NewKeys().Token(b, epoch(), map[string]any{
		"o":   map[string]any{"id": "org_1", "slg": "acme", "rol": "admin", "per": "read,manage", "fpm": "3,2"},
		"fea": "o:dashboard,o:teams", "pla": "o:pro",
	})
	c, err := session.NewCache(full, 1024, epoch)
	require.NoError(b, err)
	run := func(verify func() error) func(*testing.B) {
		return func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := verify(); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	ctx := context.Background()
	b.Run("warm", run(func() error { _, err := c.Verify(ctx, token); return err }))
	b.Run("full", run(func() error { _, err := full.Verify(ctx, token); return err }))
	b.Run("clerk-sdk-go", run(func() error { _, err := sdkVerify(b, token, nil); return err }))
}
