package session_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/auth/internal/authtest"
	"github.com/trivet-dev/trivet/services/auth/internal/session"
)

// FuzzToken: whatever comes, the answer is a session or a refusal; and a session only for what the key signed.
func FuzzToken(f *testing.F) {
	clerk := authtest.NewKeys()
	good := clerk.Token(f, epoch(), nil)
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add("")
	f.Add("..")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add(encoded(`{"alg":"RS256","kid":"ins_1"}`) + "." + encoded(`{"aud":["a","b"],"exp":1e3}`) + ".c2ln")
	v := verifier(f, policy(), epoch)
	payload := split(good)[1]
	f.Fuzz(func(t *testing.T, token string) {
		s, err := v.Verify(t.Context(), token)
		if err == nil {
			require.Equal(t, payload, split(token)[1], "a payload without a valid signature was accepted")
			require.Equal(t, "user_1", s.UserID)
			return
		}
		require.ErrorAs(t, err, new(*session.Refusal))
	})
}

// FuzzClaims: whatever the key signed, the answer is a whole session or a refusal.
func FuzzClaims(f *testing.F) {
	clerk := authtest.NewKeys()
	for _, change := range []map[string]any{
		nil,
		{"aud": []string{"x"}},
		{"o": map[string]any{"id": "org_1", "per": "a,b", "fpm": "18446744073709551616"}, "fea": "o:a,uo:b"},
		{"act": map[string]any{"sub": "x"}},
		{"v": nil, "org_id": "o", "org_permissions": []string{"a"}},
	} {
		raw, err := json.Marshal(authtest.Claims(epoch(), change))
		require.NoError(f, err)
		f.Add(raw)
	}
	v := verifier(f, policy(), epoch)
	f.Fuzz(func(t *testing.T, payload []byte) {
		s, err := v.Verify(t.Context(), clerk.Sign(t, payload))
		if err != nil {
			require.ErrorAs(t, err, new(*session.Refusal))
			return
		}
		require.NotEmpty(t, s.UserID)
		require.NotEmpty(t, s.ID)
		require.Equal(t, party, s.AuthorizedParty)
		require.False(t, s.Pending)
		require.True(t, s.ExpireTime.After(s.IssueTime))
		require.True(t, s.Organization == nil || s.Organization.ID != "")
		require.True(t, s.Actor == nil || s.Actor.UserID != "")
	})
}

func split(token string) []string { return strings.Split(token, ".") }
