package passport_test

import (
	"crypto/ed25519"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/passport"
)

var rotated = passport.Claims{UserID: "u", AccountID: "u"} //nolint:gochecknoglobals // a constant

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) } //nolint:forcetypeassert // it is one

// A running process takes the steps of a rotation without refusing a passport, whichever of its keys signed it.
func TestKeysAreReplacedWhileTheyAreUsed(t *testing.T) {
	c := &clock{time.Unix(1_800_000_000, 0)}
	issuer, verifier := pair(t, c)
	old, next := key(t, 1), key(t, 2)
	issue := func() string {
		token, err := issuer.Issue(rotated, "ai", c.t.Add(time.Minute))
		require.NoError(t, err)
		return token
	}
	verify := func(token string) error {
		_, err := verifier.Verify(token, "ai")
		return err
	}
	first := issue()
	require.NoError(t, verify(first))
	require.NoError(t, verifier.Replace([]ed25519.PublicKey{public(old), public(next)}))
	require.NoError(t, verify(first))
	require.NoError(t, issuer.Replace(next))
	require.Equal(t, public(next), issuer.PublicKey())
	second := issue()
	require.NoError(t, verify(second))
	require.NoError(t, verifier.Replace([]ed25519.PublicKey{public(next)}))
	for range 2 { // the second time from the cache
		require.NoError(t, verify(first), "it was signed before the key was removed")
		require.NoError(t, verify(second))
	}
	c.t = c.t.Add(time.Minute + 6*time.Second)
	require.ErrorIs(t, verify(first), passport.ErrClock)

	require.Error(t, verifier.Replace(nil))
	require.Error(t, verifier.Replace([]ed25519.PublicKey{public(next), []byte("short")}))
	require.Error(t, issuer.Replace(old[:5]))
	require.Error(t, issuer.Replace(nil))
	require.NoError(t, verify(issue()), "the keys before the error stay")
}

// A removed key verifies only what was signed before, as far as clocks may differ, whether or not its name was seen since.
func TestARemovedKeySignsNothingNew(t *testing.T) {
	removed := time.Unix(1_800_000_000, 0)
	for name, tc := range map[string]struct {
		issued   time.Duration // after the removal
		verified time.Duration
		again    int // how often the other keys were replaced meanwhile
		good     bool
	}{
		"before the removal":                      {-time.Second, 0, 0, true},
		"before the removal, verified at its end": {-time.Second, 59 * time.Second, 0, true},
		"by a clock that is ahead":                {15 * time.Second, 10 * time.Second, 0, true},
		"after the removal":                       {16 * time.Second, 16 * time.Second, 0, false},
		"long after the removal":                  {time.Hour, time.Hour, 0, false},
		"before further replacements":             {-time.Second, 30 * time.Second, 3, true},
		"after further replacements":              {16 * time.Second, 16 * time.Second, 3, false},
		"by a key that was forgotten":             {81 * time.Second, 82 * time.Second, 3, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := &clock{removed}
			_, v := pair(t, c)
			require.NoError(t, v.Replace([]ed25519.PublicKey{public(key(t, 2))}))
			for n := range tc.again {
				c.t = removed.Add(tc.verified / time.Duration(tc.again) * time.Duration(n+1))
				require.NoError(t, v.Replace([]ed25519.PublicKey{public(key(t, byte(3+n)))}))
			}
			c.t = removed.Add(tc.verified)
			issued := removed.Add(tc.issued)
			_, err := v.Verify(forge(t, issued, jwt.Claims{Expiry: jwt.NewNumericDate(issued.Add(time.Minute))}, rotated), "ai")
			require.Equal(t, tc.good, err == nil, "%v", err)
		})
	}
}

// A key that returns is a key like any other.
func TestARemovedKeyReturns(t *testing.T) {
	c := &clock{time.Unix(1_800_000_000, 0)}
	issuer, v := pair(t, c)
	require.NoError(t, v.Replace([]ed25519.PublicKey{public(key(t, 2))}))
	require.NoError(t, v.Replace([]ed25519.PublicKey{issuer.PublicKey()}))
	c.t = c.t.Add(time.Hour)
	token, err := issuer.Issue(rotated, "ai", c.t.Add(time.Minute))
	require.NoError(t, err)
	_, err = v.Verify(token, "ai")
	require.NoError(t, err)
}
