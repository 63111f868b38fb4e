package clerk_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"

	clerksdk "github.com/clerk/clerk-sdk-go/v2"
	"github.com/clerk/clerk-sdk-go/v2/session"
	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/sandbox/clerk"
)

// TestUserStates has the three states that keep a user from signing in. Only a lock leaves sessions alone.
func TestUserStates(t *testing.T) {
	for name, test := range map[string]struct {
		begin, end clerk.UserState
		refusal    string
		stays      bool
		fields     map[string]any
	}{
		"banned":        {clerk.UserState{Banned: new(true)}, clerk.UserState{Banned: new(false)}, "is banned", false, map[string]any{"banned": true}},
		"deprovisioned": {clerk.UserState{Deprovisioned: new(true)}, clerk.UserState{Deprovisioned: new(false)}, "is deprovisioned", false, map[string]any{"deprovisioned": true}},
		"locked": {clerk.UserState{Locked: new(true)}, clerk.UserState{Locked: new(false)}, "is locked", true, map[string]any{
			"locked": true, "lockout_expires_in_seconds": 3600.0, "verification_attempts_remaining": 0.0,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			h := &recorder{}
			s := serve(t, clerk.Config{Emit: h.emit})
			sessions := session.NewClient(s.config)
			s.mint(t, clerk.TokenSpec{User: "alice"})
			b := s.browser(t)
			require.Equal(t, http.StatusSeeOther, b.do(t, "POST", "/sign-in", url.Values{"user": {"alice"}}).status)
			current := payload(t, b.cookie(t, "__session"))["sid"].(string)

			h.take()
			_, err := s.SetUserState("alice", test.begin)
			require.NoError(t, err)
			list, err := sessions.List(t.Context(), &session.ListParams{UserID: clerksdk.String("alice"), Status: clerksdk.String("active")})
			require.NoError(t, err)
			refreshed := b.do(t, "POST", "/v1/client/sessions/"+current+"/tokens", nil)
			if test.stays {
				require.Equal(t, "user.updated", h.types())
				require.EqualValues(t, 2, list.TotalCount)
				require.Equal(t, http.StatusOK, refreshed.status, refreshed.body)
			} else {
				require.Equal(t, "session.revoked session.revoked user.updated", h.types())
				require.Zero(t, list.TotalCount)
				require.Equal(t, http.StatusUnauthorized, refreshed.status, refreshed.body)
				_, err = s.MintToken(t.Context(), clerk.TokenSpec{User: "alice"})
				require.ErrorContains(t, err, test.refusal)
			}
			again := s.browser(t).do(t, "POST", "/sign-in", url.Values{"user": {"alice"}})
			require.Equal(t, http.StatusUnprocessableEntity, again.status, "no new session")
			require.Contains(t, again.body, test.refusal)

			requireUser(t, s, "alice", test.fields)
			_, err = s.SetUserState("alice", test.end)
			require.NoError(t, err)
			requireUser(t, s, "alice", map[string]any{
				"banned": false, "deprovisioned": false, "locked": false, "lockout_expires_in_seconds": nil, "verification_attempts_remaining": 10.0,
			})
			s.mint(t, clerk.TokenSpec{User: "alice"})
		})
	}
}

// TestLockedUserWithoutSession: a locked user cannot begin a session by any way.
func TestLockedUserWithoutSession(t *testing.T) {
	s := serve(t, clerk.Config{})
	_, err := s.CreateUsers(clerk.Bulk{Count: 1, Prefix: "locked_"})
	require.NoError(t, err)
	const id = "locked_000001"
	status, _ := s.call(t, "POST", "/v1/users/"+id+"/lock", "Bearer "+s.SecretKey(), "")
	require.Equal(t, http.StatusOK, status)
	_, err = s.MintToken(t.Context(), clerk.TokenSpec{User: id})
	require.ErrorContains(t, err, "is locked")
	status, _ = s.call(t, "POST", "/v1/users/"+id+"/unlock", "Bearer "+s.SecretKey(), "")
	require.Equal(t, http.StatusOK, status)
	s.mint(t, clerk.TokenSpec{User: id})
	_, err = s.SetUserState("nobody", clerk.UserState{Banned: new(true)})
	require.ErrorContains(t, err, "No user was found with id nobody")
}

// TestUserFields: @clerk/backend's UserJSON has these, and readers may rely on each being there.
func TestUserFields(t *testing.T) {
	s := serve(t, clerk.Config{})
	s.mint(t, clerk.TokenSpec{User: "alice"})
	requireUser(t, s, "alice", map[string]any{
		"deprovisioned": false, "organization_memberships": nil, "password_last_updated_at": nil, "create_organizations_limit": nil, "timezone": nil,
	})
	status, _ := s.call(t, "PATCH", "/v1/users/alice", "Bearer "+s.SecretKey(), `{"password":"correct horse"}`)
	require.Equal(t, http.StatusOK, status)
	u, ok := s.User("alice")
	require.True(t, ok)
	require.True(t, u.PasswordEnabled)
	require.NotNil(t, u.PasswordLastUpdatedAt)
}

func requireUser(t *testing.T, s *server, id string, fields map[string]any) {
	t.Helper()
	status, body := s.call(t, "GET", "/v1/users/"+id, "Bearer "+s.SecretKey(), "")
	require.Equal(t, http.StatusOK, status)
	var got map[string]any
	require.NoError(t, json.Unmarshal([]byte(body), &got))
	for name, want := range fields {
		value, ok := got[name]
		require.True(t, ok, name)
		require.Equal(t, want, value, name)
	}
}
