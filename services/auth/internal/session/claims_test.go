package session_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/auth/internal/clerktest"
	"github.com/trivet-dev/trivet/services/auth/internal/session"
)

func TestTypedIdentity(t *testing.T) {
	base := session.Session{
		UserID: "user_1", ID: "sess_1", Version: 2, AuthorizedParty: party,
		IssueTime: epoch(), ExpireTime: epoch().Add(time.Minute), Factors: session.Factors{First: 1, Second: -1},
	}
	for name, tc := range map[string]struct {
		change map[string]any
		want   func(*session.Session)
	}{
		"plain": {nil, func(*session.Session) {}},
		"version 2, organization": {
			map[string]any{
				"o":   map[string]any{"id": "org_1", "slg": "acme", "rol": "admin", "per": "read,manage", "fpm": "3,2"},
				"fea": "o:dashboard, o:teams", "pla": "o:pro",
			},
			func(s *session.Session) {
				s.Organization = &session.Organization{ID: "org_1", Slug: "acme", Role: "admin", Permissions: []string{
					"org:dashboard:read", "org:dashboard:manage", "org:teams:manage",
				}}
				s.Features, s.Plans = []string{"o:dashboard", "o:teams"}, []string{"o:pro"}
			},
		},
		"features of the user take no number": {
			map[string]any{"o": map[string]any{"id": "org_1", "rol": "org:member", "per": "a,b", "fpm": "2"}, "fea": "u:mine,o:ours,uo:both"},
			func(s *session.Session) {
				s.Organization = &session.Organization{ID: "org_1", Role: "member", Permissions: []string{"org:ours:b"}}
				s.Features = []string{"u:mine", "o:ours", "uo:both"}
			},
		},
		"version 2 ignores version 1's claims": {
			map[string]any{"org_id": "org_9", "org_role": "org:admin"}, func(*session.Session) {},
		},
		"version 1, organization": {
			map[string]any{
				"v": nil, "org_id": "org_1", "org_slug": "acme", "org_role": "org:admin", "org_permissions": []string{"org:a:b"},
				"o": map[string]any{"id": "org_9"},
			},
			func(s *session.Session) {
				s.Version = 1
				s.Organization = &session.Organization{ID: "org_1", Slug: "acme", Role: "admin", Permissions: []string{"org:a:b"}}
			},
		},
		"version 1, old role": {
			map[string]any{"v": nil, "org_id": "org_1", "org_role": "admin"},
			func(s *session.Session) {
				s.Version = 1
				s.Organization = &session.Organization{ID: "org_1", Role: "admin"}
			},
		},
		"impersonated": {
			map[string]any{"act": map[string]any{"sub": "user_2", "sid": "sess_2", "iss": "https://dashboard.example.test"}},
			func(s *session.Session) { s.Actor = &session.Actor{UserID: "user_2", SessionID: "sess_2"} },
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := verifier(t, policy(), epoch).Verify(t.Context(), clerktest.New().Token(t, epoch(), tc.change))
			require.NoError(t, err)
			want := base
			tc.want(&want)
			require.Empty(t, cmp.Diff(&want, got))
		})
	}
}

func TestFactorAgeCountsFromIssue(t *testing.T) {
	s := &session.Session{IssueTime: epoch(), Factors: session.Factors{First: 7, Second: session.Never}}
	require.True(t, s.FirstFactorWithin(8*time.Minute, epoch().Add(time.Minute)))
	require.False(t, s.FirstFactorWithin(8*time.Minute, epoch().Add(61*time.Second)))
	require.False(t, s.SecondFactorWithin(1000*time.Hour, epoch()))
}
