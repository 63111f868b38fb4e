package passport_test

import (
	"errors"
	"fmt"
	"math"
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
				require.Equal(t, tc.wrong == "expired", errors.Is(err, passport.ErrEnded))
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

// A passport that no service would read is not handed out: its owner would be told that the credential is wrong.
func TestTheLongestPassport(t *testing.T) {
	c := &clock{time.Unix(1_800_000_000, 0)}
	i, v := pair(t, c)
	longest, refused := 0, 0
	for padding := 24_200; refused < 3; padding++ {
		token, err := i.Issue(passport.Claims{UserID: "u", AccountID: "u", Email: strings.Repeat("x", padding)}, "ai", c.t.Add(time.Minute))
		if err != nil {
			require.ErrorContains(t, err, "at most 32768")
			refused++
			continue
		}
		require.Zero(t, refused)
		_, err = v.Verify(token, "ai")
		require.NoError(t, err)
		longest = len(token)
	}
	require.Equal(t, 32<<10, longest, "the bound itself is tried")
}

// A caller with everything that a key or a role may have is let in.
func TestPassportsWithLongLists(t *testing.T) {
	c := &clock{time.Unix(1_800_000_000, 0)}
	i, v := pair(t, c)
	limited := passport.Claims{UserID: "u", AccountID: "a", APIKeyID: "k"}
	for range 64 {
		limited.Models = append(limited.Models, strings.Repeat("m", 128)) // the most models, with the longest ids
	}
	for range passport.MaxParentLimits {
		limited.ParentLimits = append(limited.ParentLimits, passport.KeyLimit{
			APIKeyID: "key_" + strings.Repeat("k", 26), RequestsPerMinute: math.MaxInt32, RequestsPerDay: math.MaxInt32,
			TokensPerMinute: math.MaxInt32, ConcurrentStreams: math.MaxInt32,
		})
	}
	role := passport.Claims{UserID: "u", AccountID: "a", OrganizationID: "a", Role: "admin"}
	for n := range 500 {
		role.Permissions = append(role.Permissions, fmt.Sprintf("org:some_feature_%d:manage_settings", n))
	}
	for name, claims := range map[string]passport.Claims{"key": limited, "role": role} {
		token, err := i.Issue(claims, "ai", c.t.Add(time.Minute))
		require.NoError(t, err, name)
		got, err := v.Verify(token, "ai")
		require.NoError(t, err, name)
		require.Equal(t, claims.Models, got.Models)
		require.Equal(t, claims.Permissions, got.Permissions)
	}
}

// A session holds every scope, whatever its passport lists.
func TestASessionIsNotBoundByScopes(t *testing.T) {
	require.True(t, (&passport.Claims{Scopes: []string{"ai.invoke"}}).HasScope("billing.write"))
	require.False(t, (&passport.Claims{APIKeyID: "k"}).HasScope("ai.invoke"), "a key without scopes has none")
}
