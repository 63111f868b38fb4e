package passport_test

import (
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/passport"
)

func TestIssueRefuses(t *testing.T) {
	c := &clock{time.Unix(1_800_000_000, 0)}
	i, v := pair(t, c)
	for name, tc := range map[string]struct {
		claims   passport.Claims
		audience string
		life     time.Duration
		wrong    string
	}{
		"good":              {passport.Claims{UserID: "u", AccountID: "a"}, "ai", time.Second, ""},
		"no user":           {passport.Claims{AccountID: "a"}, "ai", time.Minute, "required"},
		"no account":        {passport.Claims{UserID: "u"}, "ai", time.Minute, "required"},
		"no audience":       {passport.Claims{UserID: "u", AccountID: "a"}, "", time.Minute, "required"},
		"ends now":          {passport.Claims{UserID: "u", AccountID: "a"}, "ai", 0, "expired"},
		"ended a while ago": {passport.Claims{UserID: "u", AccountID: "a"}, "ai", -time.Minute, "expired"},
	} {
		t.Run(name, func(t *testing.T) {
			token, err := i.Issue(tc.claims, tc.audience, c.t.Add(tc.life))
			if tc.wrong != "" {
				require.ErrorContains(t, err, tc.wrong)
				require.Empty(t, token)
				return
			}
			require.NoError(t, err)
			_, err = v.Verify(token, tc.audience)
			require.NoError(t, err)
		})
	}
}

// The longest life is a minute, and the second that the two dates are rounded by.
func TestTheLongestLife(t *testing.T) {
	c := &clock{time.Unix(1_800_000_000, 0)}
	_, v := pair(t, c)
	good := passport.Claims{UserID: "u", AccountID: "u"}
	for life, want := range map[time.Duration]error{61 * time.Second: nil, 62 * time.Second: passport.ErrInvalid} {
		_, err := v.Verify(forge(t, c.t, jwt.Claims{Expiry: jwt.NewNumericDate(c.t.Add(life))}, good), "ai")
		require.ErrorIs(t, err, want, "%s", life)
	}
}

func TestTheLongestPassport(t *testing.T) {
	c := &clock{time.Unix(1_800_000_000, 0)}
	i, v := pair(t, c)
	seen := map[int]bool{}
	for padding := 5700; len(seen) < 4; padding++ {
		token, err := i.Issue(passport.Claims{UserID: "u", AccountID: "u", Email: strings.Repeat("x", padding)}, "ai", c.t.Add(time.Minute))
		require.NoError(t, err)
		if len(token) < 8190 {
			continue
		}
		seen[len(token)] = true
		_, err = v.Verify(token, "ai")
		require.Equal(t, len(token) <= 8192, err == nil, "%d bytes: %v", len(token), err)
	}
	require.True(t, seen[8192], "the bound itself is tried")
}

// A session holds every scope, whatever its passport lists.
func TestASessionIsNotBoundByScopes(t *testing.T) {
	require.True(t, (&passport.Claims{Scopes: []string{"ai.invoke"}}).HasScope("billing.write"))
	require.False(t, (&passport.Claims{APIKeyID: "k"}).HasScope("ai.invoke"), "a key without scopes has none")
}
