package session_test

import (
	"context"
	"testing"
	"time"

	"github.com/clerk/clerk-sdk-go/v2"
	clerkhttp "github.com/clerk/clerk-sdk-go/v2/http"
	clerkjwt "github.com/clerk/clerk-sdk-go/v2/jwt"
	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/auth/internal/authtest"
	"github.com/trivet-dev/trivet/services/auth/internal/session"
)

// TestWhatTheSDKAccepts is the table of what clerk-sdk-go v2.7.0 lets through, or gets wrong, when its jwt.Verify is given
// the right key and a handler for authorized parties. Each row is settled here. The column sdk is not hearsay: the SDK
// runs, and a row fails when a new version answers otherwise. (How the SDK fetches keys is in the tests of jwks.)
func TestWhatTheSDKAccepts(t *testing.T) {
	for _, row := range []struct {
		name   string
		change map[string]any
		ours   session.Verdict
		sdk    bool // accepted
	}{
		{"good token", nil, session.VerdictAccepted, true},
		{"no exp", map[string]any{"exp": nil}, session.VerdictMissingClaim, true},
		{"no iat", map[string]any{"iat": nil}, session.VerdictMissingClaim, true},
		{"no sid", map[string]any{"sid": nil}, session.VerdictMissingClaim, true},
		{"no sub", map[string]any{"sub": nil}, session.VerdictMissingClaim, true},
		{"session with an audience", map[string]any{"aud": "convex"}, session.VerdictAccepted, true},
		{"JWT template as session", map[string]any{"sid": nil, "v": nil, "sts": nil, "fva": nil, "aud": "hasura"}, session.VerdictMissingClaim, true},
		{"another Clerk instance", map[string]any{"iss": "https://clerk.evil.test"}, session.VerdictIssuer, true},
		{"issuer with the right beginning", map[string]any{"iss": authtest.Issuer + ".evil.test"}, session.VerdictIssuer, true},
		{"issuer that is not Clerk", map[string]any{"iss": "https://evil.test"}, session.VerdictIssuer, false},
		{"pending session", map[string]any{"sts": "pending"}, session.VerdictPending, true},
		{"unknown status", map[string]any{"sts": "elsewhere"}, session.VerdictPending, true},
		{"issued in 3 s (clock skew)", map[string]any{"iat": epoch().Unix() + 3}, session.VerdictAccepted, false},
		{"issued in 6 s", map[string]any{"iat": epoch().Unix() + 6}, session.VerdictFuture, false},
		{"another authorized party", map[string]any{"azp": "https://evil.test"}, session.VerdictParty, false},
		{"unknown version", map[string]any{"v": 3}, session.VerdictVersion, true},
		{"organization without id", map[string]any{"o": map[string]any{"rol": "admin"}}, session.VerdictClaims, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			token := authtest.NewKeys().Token(t, epoch(), row.change)
			_, sdkErr := sdkVerify(t, token, func(azp string) bool { return azp == party })
			require.Equal(t, row.sdk, sdkErr == nil, "clerk-sdk-go: %v", sdkErr)
			_, err := verifier(t, policy(), epoch).Verify(t.Context(), token)
			if row.ours == session.VerdictAccepted {
				require.NoError(t, err)
			} else {
				requireVerdict(t, row.ours, err)
			}
			t.Logf("%-34s clerk-sdk-go: %-9s here: %s", row.name, accepted(sdkErr == nil), row.ours)
		})
	}
}

// TestMissingPartyIsRefused: the SDK's own AuthorizedPartyMatches lets a token without azp pass, and everything when its
// list is empty.
func TestMissingPartyIsRefused(t *testing.T) {
	token := authtest.NewKeys().Token(t, epoch(), map[string]any{"azp": nil})
	_, err := sdkVerify(t, token, sdkParties(t, party))
	require.NoError(t, err, "clerk-sdk-go accepts")
	_, err = verifier(t, policy(), epoch).Verify(t.Context(), token)
	requireVerdict(t, session.VerdictMissingClaim, err)
}

// TestMissingFactorAgeIsStale: the SDK reads a missing fva as [0,0], which means "verified just now".
func TestMissingFactorAgeIsStale(t *testing.T) {
	token := authtest.NewKeys().Token(t, epoch(), map[string]any{"fva": nil})
	claims, err := sdkVerify(t, token, nil)
	require.NoError(t, err)
	require.Equal(t, [2]int64{0, 0}, claims.FactorVerificationAge, "clerk-sdk-go: just verified")

	s, err := verifier(t, policy(), epoch).Verify(t.Context(), token)
	require.NoError(t, err)
	require.Equal(t, session.Factors{First: session.Never, Second: session.Never}, s.Factors)
	require.False(t, s.FirstFactorWithin(24*time.Hour, epoch()))
	require.False(t, s.SecondFactorWithin(24*time.Hour, epoch()))
}

// TestVersionWithoutOrganization: the SDK calls a version 2 token without organization version 1.
func TestVersionWithoutOrganization(t *testing.T) {
	token := authtest.NewKeys().Token(t, epoch(), nil)
	claims, err := sdkVerify(t, token, nil)
	require.NoError(t, err)
	require.Equal(t, 1, claims.Version, "clerk-sdk-go")
	s, err := verifier(t, policy(), epoch).Verify(t.Context(), token)
	require.NoError(t, err)
	require.Equal(t, 2, s.Version)
}

func sdkVerify(t testing.TB, token string, parties clerkjwt.AuthorizedPartyHandler) (*clerk.SessionClaims, error) {
	t.Helper()
	return clerkjwt.Verify(context.Background(), &clerkjwt.VerifyParams{
		Token: token, Clock: sdkClock{}, AuthorizedPartyHandler: parties,
		JWK: &clerk.JSONWebKey{Key: &authtest.Key(0).PublicKey, KeyID: "ins_1", Algorithm: "RS256", Use: "sig"},
	})
}

// sdkParties is the handler that the SDK's own option makes.
func sdkParties(t *testing.T, parties ...string) clerkjwt.AuthorizedPartyHandler {
	t.Helper()
	var params clerkhttp.AuthorizationParams
	require.NoError(t, clerkhttp.AuthorizedPartyMatches(parties...)(&params))
	return params.AuthorizedPartyHandler
}

type sdkClock struct{}

func (sdkClock) Now() time.Time { return epoch() }

func accepted(ok bool) string {
	if ok {
		return "accepted"
	}
	return "refused"
}
