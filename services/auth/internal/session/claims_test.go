package session_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/auth/internal/authtest"
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
			got, err := verifier(t, policy(), epoch).Verify(t.Context(), authtest.NewKeys().Token(t, epoch(), tc.change))
			require.NoError(t, err)
			want := base
			tc.want(&want)
			require.Empty(t, cmp.Diff(&want, got))
		})
	}
}

// TestPackedPermissions compares with what @clerk/shared 3 reads, but for lists that it refuses as a whole.
func TestPackedPermissions(t *testing.T) {
	for name, tc := range map[string]struct {
		features, names, masks string
		want                   []string
	}{
		"one of each":               {"o:a", "read", "1", []string{"org:a:read"}},
		"an empty mask keeps place": {"o:a,o:b,o:c", "read,manage", "3,,1", []string{"org:a:read", "org:a:manage", "org:c:read"}},
		"an empty name keeps place": {"o:a", "read,,manage", "4", []string{"org:a:manage"}},
		"an empty name is nothing":  {"o:a", "read,,manage", "2", nil},
		"an empty feature keeps place": {
			"o:a,,o:c", "read,manage", "1,3,2", []string{"org:a:read", "org:c:manage"},
		},
		"a feature without scope":    {"o:a,b,o:c", "read", "1,1,0", []string{"org:a:read"}},
		"a feature without name":     {"o:,o:b", "read", "1,1", []string{"org:b:read"}},
		"an unknown scope":           {"foo:a,o:b", "read", "1", []string{"org:b:read"}},
		"a mask that overflowed":     {"o:a,o:b", "read,manage", "3,-9223372036854775807", []string{"org:a:read", "org:a:manage"}},
		"a mask of text":             {"o:a,o:b", "read,manage", "x,3", []string{"org:b:read", "org:b:manage"}},
		"a mask with a fraction":     {"o:a,o:b", "read,manage", "1.5,1", []string{"org:b:read"}},
		"a mask beyond 64 bits":      {"o:a", "read,manage", "36893488147419103233", []string{"org:a:read"}},
		"the 65th permission":        {"o:a", strings.Repeat("x,", 64) + "last", "18446744073709551616", []string{"org:a:last"}},
		"the 64th permission":        {"o:a", strings.Repeat("x,", 63) + "last", "9223372036854775808", []string{"org:a:last"}},
		"more masks than features":   {"o:a", "read", "1,1,1", []string{"org:a:read"}},
		"fewer masks than features":  {"o:a,o:b", "read", "1", []string{"org:a:read"}},
		"bits beyond the names":      {"o:a", "read", "7", []string{"org:a:read"}},
		"no names":                   {"o:a", "", "1", nil},
		"no masks":                   {"o:a", "read", "", nil},
		"no features":                {"", "read", "1", nil},
		"blanks around":              {" o:a , o:b ", " read , manage ", " 2 , 1 ", []string{"org:a:manage", "org:b:read"}},
		"the user's take no place":   {"u:a,o:b,uo:c,ou:d", "read", "1,0,1", []string{"org:b:read", "org:d:read"}},
		"names of another type":      {"o:a", "7", "1", []string{"org:a:7"}},
		"all places of each are bad": {",,", ",", ",,", nil},
	} {
		t.Run(name, func(t *testing.T) {
			token := authtest.NewKeys().Token(t, epoch(), map[string]any{
				"fea": tc.features, "o": map[string]any{"id": "org_1", "rol": "member", "per": tc.names, "fpm": tc.masks},
			})
			s, err := verifier(t, policy(), epoch).Verify(t.Context(), token)
			require.NoError(t, err)
			require.Equal(t, tc.want, s.Organization.Permissions)
		})
	}
}

// TestClaimsThatTrivetDoesNotNeed: "Customize session token" lets an application add any claim of any type.
func TestClaimsThatTrivetDoesNotNeed(t *testing.T) {
	org := &session.Organization{ID: "org_1", Role: "member"}
	v1 := func(name string, value any) map[string]any {
		return map[string]any{"v": nil, "org_id": "org_1", "org_role": "org:member", name: value}
	}
	v2 := func(name string, value any) map[string]any {
		return map[string]any{"fea": "o:a", "o": map[string]any{"id": "org_1", "rol": "member", name: value}}
	}
	for name, tc := range map[string]struct {
		change map[string]any
		org    *session.Organization
	}{
		"email is a number":          {map[string]any{"email": 5}, nil},
		"email is a list":            {map[string]any{"email": []string{"a@example.test"}}, nil},
		"email is null":              {map[string]any{"email": json.RawMessage("null")}, nil},
		"firstName is an object":     {map[string]any{"firstName": map[string]any{"x": 1}}, nil},
		"lastName is a bool":         {map[string]any{"lastName": true}, nil},
		"userId is an object":        {map[string]any{"userId": map[string]any{}}, nil},
		"plans are a list":           {map[string]any{"pla": []string{"o:pro"}}, nil},
		"features are a number":      {map[string]any{"fea": 7}, nil},
		"aud is Convex's":            {map[string]any{"aud": "convex"}, nil},
		"aud is empty":               {map[string]any{"aud": []string{}}, nil},
		"aud is an object":           {map[string]any{"aud": map[string]any{}}, nil},
		"dates have fractions":       {map[string]any{"exp": 1900000059.5, "iat": 1899999999.25, "nbf": 1899999998.75}, nil},
		"factors have fractions":     {map[string]any{"fva": []float64{3.5, -1}}, nil},
		"v 2, org_id is an object":   {map[string]any{"org_id": map[string]any{}}, nil},
		"v 2, org_permissions text":  {map[string]any{"org_permissions": "org:a:read"}, nil},
		"v 2, org_role is a number":  {map[string]any{"org_role": 1}, nil},
		"v 2, org_slug is a list":    {map[string]any{"org_slug": []int{1}}, nil},
		"v 2, o is null":             {map[string]any{"o": json.RawMessage("null")}, nil},
		"v 2, slug is a number":      {v2("slg", 7), org},
		"v 2, names are a list":      {v2("per", []string{"read"}), org},
		"v 2, masks are a number":    {v2("fpm", 1), org},
		"v 1, org_permissions text":  {v1("org_permissions", "org:a:read"), org},
		"v 1, org_permissions mixed": {v1("org_permissions", []any{"org:a:read", 7}), org},
		"v 1, org_slug is an object": {v1("org_slug", map[string]any{}), org},
		"v 1, o is text":             {v1("o", "org_9"), org},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := verifier(t, policy(), epoch).Verify(t.Context(), authtest.NewKeys().Token(t, epoch(), tc.change))
			require.NoError(t, err)
			require.Equal(t, "user_1", s.UserID)
			require.Equal(t, tc.org, s.Organization)
			require.Equal(t, session.Profile{}, s.Profile)
		})
	}
	s, err := verifier(t, policy(), epoch).Verify(t.Context(), authtest.NewKeys().Token(t, epoch(), map[string]any{"fva": []float64{3.5, -1}}))
	require.NoError(t, err)
	require.Equal(t, session.Factors{First: 4, Second: session.Never}, s.Factors, "older, never younger")
}

func TestFactorAgeCountsFromIssue(t *testing.T) {
	s := &session.Session{IssueTime: epoch(), Factors: session.Factors{First: 7, Second: session.Never}}
	require.True(t, s.FirstFactorWithin(8*time.Minute, epoch().Add(time.Minute)))
	require.False(t, s.FirstFactorWithin(8*time.Minute, epoch().Add(61*time.Second)))
	require.False(t, s.SecondFactorWithin(1000*time.Hour, epoch()))
}
