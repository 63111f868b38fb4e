package clerk_test

import (
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	clerksdk "github.com/clerk/clerk-sdk-go/v2"
	"github.com/clerk/clerk-sdk-go/v2/jwks"
	"github.com/clerk/clerk-sdk-go/v2/jwt"
	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/sandbox/clerk"
)

func part(t *testing.T, token string, n int) map[string]any {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[n])
	require.NoError(t, err)
	var out map[string]any
	require.NoError(t, json.Unmarshal(raw, &out))
	return out
}

func payload(t *testing.T, token string) map[string]any {
	t.Helper()
	return part(t, token, 1)
}

// verify lets the SDK check a token with the keys that the instance publishes.
func (s *server) verify(t *testing.T, token string, now time.Time) (*clerksdk.SessionClaims, error) {
	t.Helper()
	return jwt.Verify(t.Context(), &jwt.VerifyParams{Token: token, JWKSClient: jwks.NewClient(s.config), Clock: &clock{now}})
}

func TestSessionTokenClaims(t *testing.T) {
	now := newClock()
	s := serve(t, clerk.Config{Now: now.Now})
	token := s.mint(t, clerk.TokenSpec{User: "alice", Org: "acme", Plan: "pro", Permissions: []string{"org:chat:read", "org:files:read", "org:chat:write"}})
	kid, err := s.KeyID(t.Context())
	require.NoError(t, err)
	require.Regexp(t, `^ins_[0-9A-Za-z]{27}$`, kid)
	require.Equal(t, map[string]any{"alg": "RS256", "typ": "JWT", "kid": kid, "cat": "cl_B7d4PD111AAA"}, part(t, token, 0))

	claims := payload(t, token)
	require.Regexp(t, `^sess_[0-9A-Za-z]{27}$`, claims["sid"])
	require.Regexp(t, `^[0-9A-Za-z]{20}$`, claims["jti"])
	delete(claims, "sid")
	delete(claims, "jti")
	iat := float64(now.at.Unix())
	require.Equal(t, map[string]any{
		"v": 2.0, "iss": s.Issuer(), "sub": "alice", "azp": clerk.DefaultAuthorizedParty, "sts": "active", "fva": []any{0.0, -1.0},
		"iat": iat, "nbf": iat - 10, "exp": iat + 60, "pla": "o:pro", "fea": "o:chat,o:files",
		"o": map[string]any{"id": "acme", "slg": "acme", "rol": "admin", "per": "read,write", "fpm": "3,1"},
	}, claims)

	verified, err := s.verify(t, token, now.at.Add(59*time.Second))
	require.NoError(t, err)
	require.Equal(t, []string{"org:chat:read", "org:chat:write", "org:files:read"}, verified.ActiveOrganizationPermissions)
	_, err = s.verify(t, token, now.at.Add(61*time.Second))
	require.ErrorContains(t, err, "expired")

	personal := payload(t, s.mint(t, clerk.TokenSpec{User: "alice"}))
	require.NotContains(t, personal, "o")
	require.Equal(t, "u:free", personal["pla"])
	require.NotEqual(t, payload(t, token)["jti"], personal["jti"])
}

func TestAnyTextAsSubject(t *testing.T) {
	s := serve(t, clerk.Config{})
	emails := map[string]bool{}
	for _, id := range []string{"a", "A", "a b", "a-b", "ада/日本?x=1&y#z", "../../etc", `"quoted"`, strings.Repeat("x", 256), "user_2abc", ".", "%2F", "a+b@c"} {
		require.Equal(t, id, payload(t, s.mint(t, clerk.TokenSpec{User: id, Org: "org of all"}))["sub"])
		u, ok := s.User(id)
		require.True(t, ok)
		require.Regexp(t, `^[a-z0-9._-]+@example\.test$`, u.PrimaryEmail())
		require.False(t, emails[u.PrimaryEmail()], "%s has another's address", id)
		emails[u.PrimaryEmail()] = true
		require.NotEmpty(t, *u.FirstName)
	}
	u, _ := s.User("user_2abc")
	require.Equal(t, "2abc", *u.FirstName)
	for _, id := range []string{"", "a\nb", "a\x00", "a\u0085", strings.Repeat("x", 257), "\xff"} {
		_, err := s.MintToken(t.Context(), clerk.TokenSpec{User: id})
		require.ErrorContains(t, err, "user ", "%q", id)
	}
}

func TestRolesInAnOrganization(t *testing.T) {
	s := serve(t, clerk.Config{})
	role := func(user, role string) any {
		return payload(t, s.mint(t, clerk.TokenSpec{User: user, Org: "acme", Role: role}))["o"].(map[string]any)["rol"]
	}
	require.Equal(t, "admin", role("alice", ""), "who creates it is an admin")
	require.Equal(t, "member", role("bob", ""), "who joins is a member")
	require.Equal(t, "admin", role("bob", "org:admin"))
	require.Equal(t, "admin", role("bob", ""), "a role stays")
	require.Equal(t, "billing_manager", role("bob", "billing_manager"))
}

// TestForgedTokens shows that each bad token is bad in the way it says, by what Clerk's own SDK makes of it, or,
// where that accepts what it must not, by looking inside.
func TestForgedTokens(t *testing.T) {
	now := newClock()
	s := serve(t, clerk.Config{Now: now.Now})
	for name, test := range map[string]struct {
		spec   clerk.TokenSpec
		refuse string // what the SDK says; empty when it accepts the token
		inside func(t *testing.T, header, claims map[string]any)
	}{
		"expired":       {clerk.TokenSpec{TTL: -time.Minute}, "expired", nil},
		"old":           {clerk.TokenSpec{Age: time.Hour}, "expired", nil},
		"from tomorrow": {clerk.TokenSpec{Age: -24 * time.Hour}, "not valid yet", nil},
		"no exp":        {clerk.TokenSpec{Forge: clerk.Forge{RemoveClaims: []string{"exp"}}}, "", func(t *testing.T, _, c map[string]any) { t.Helper(); require.NotContains(t, c, "exp") }},
		"other issuer": {clerk.TokenSpec{Forge: clerk.Forge{Claims: map[string]any{"iss": "https://clerk.evil.test"}}}, "", func(t *testing.T, _, c map[string]any) {
			t.Helper()
			require.Equal(t, "https://clerk.evil.test", c["iss"])
		}},
		"pending":       {clerk.TokenSpec{Forge: clerk.Forge{Claims: map[string]any{"sts": "pending"}}}, "", func(t *testing.T, _, c map[string]any) { t.Helper(); require.Equal(t, "pending", c["sts"]) }},
		"sub a number":  {clerk.TokenSpec{Forge: clerk.Forge{Claims: map[string]any{"sub": 7}}}, "cannot unmarshal", nil},
		"claim twice":   {clerk.TokenSpec{Forge: clerk.Forge{Payload: []byte(`{"sub":"a","sub":"b"}`)}}, "duplicate key", nil},
		"not an object": {clerk.TokenSpec{Forge: clerk.Forge{Payload: []byte(`[]`)}}, "cannot unmarshal", nil},
		"stranger":      {clerk.TokenSpec{Forge: clerk.Forge{Stranger: true}}, "cryptographic", nil},
		"broken":        {clerk.TokenSpec{Forge: clerk.Forge{BreakSignature: true}}, "cryptographic", nil},
		"unknown kid":   {clerk.TokenSpec{Forge: clerk.Forge{KeyID: "ins_other"}}, "missing json web key", nil},
		"no kid":        {clerk.TokenSpec{Forge: clerk.Forge{Header: map[string]any{"kid": nil}}}, "missing jwt kid", nil},
		"none": {clerk.TokenSpec{Forge: clerk.Forge{Alg: "none"}}, "algorithm", func(t *testing.T, h, _ map[string]any) {
			t.Helper()
			require.Equal(t, "none", h["alg"])
		}},
		"HS256":                 {clerk.TokenSpec{Forge: clerk.Forge{Alg: "HS256"}}, "algorithm", nil},
		"RS512":                 {clerk.TokenSpec{Forge: clerk.Forge{Alg: "RS512"}}, "algorithm", nil},
		"PS256":                 {clerk.TokenSpec{Forge: clerk.Forge{Alg: "PS256"}}, "algorithm", nil},
		"RS256 signed as RS384": {clerk.TokenSpec{Forge: clerk.Forge{Alg: "RS384", Header: map[string]any{"alg": "RS256"}}}, "cryptographic", nil},
		"odd header":            {clerk.TokenSpec{Forge: clerk.Forge{Header: map[string]any{"x-new": true}}}, "", func(t *testing.T, h, _ map[string]any) { t.Helper(); require.Equal(t, true, h["x-new"]) }},
	} {
		t.Run(name, func(t *testing.T) {
			test.spec.User = "alice"
			token := s.mint(t, test.spec)
			_, err := s.verify(t, token, now.at)
			if test.refuse == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, test.refuse)
			}
			if test.inside != nil {
				test.inside(t, part(t, token, 0), payload(t, token))
			}
		})
	}
	_, err := s.MintToken(t.Context(), clerk.TokenSpec{User: "alice", Forge: clerk.Forge{Alg: "XX"}})
	require.ErrorContains(t, err, `"XX"`)
}

func TestInvalidSpecs(t *testing.T) {
	s := serve(t, clerk.Config{})
	for name, test := range map[string]struct {
		spec clerk.TokenSpec
		want string
	}{
		"role, no org": {clerk.TokenSpec{User: "a", Role: "admin"}, "role needs an org"},
		"role":         {clerk.TokenSpec{User: "a", Org: "o", Role: "org:"}, "role must be included"},
		"email":        {clerk.TokenSpec{User: "a", Email: "a"}, "email must be a valid"},
		"ttl":          {clerk.TokenSpec{User: "a", TTL: 20 * 365 * 24 * time.Hour}, "ttl must be at most 10 years"},
		"permission":   {clerk.TokenSpec{User: "a", Org: "o", Permissions: []string{"read"}}, "permissions must look like"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.MintToken(t.Context(), test.spec)
			require.ErrorContains(t, err, test.want)
		})
	}
	_, ok := s.User("a")
	require.False(t, ok, "a refused spec leaves nothing behind")
}

func TestRotation(t *testing.T) {
	now := newClock()
	s := serve(t, clerk.Config{Now: now.Now})
	old := s.mint(t, clerk.TokenSpec{User: "alice"})
	oldKey, err := s.KeyID(t.Context())
	require.NoError(t, err)

	newKey, err := s.RotateKey(t.Context(), clerk.Rotation{KeepOld: true})
	require.NoError(t, err)
	require.NotEqual(t, oldKey, newKey)
	_, err = s.verify(t, old, now.at)
	require.NoError(t, err, "the old key is still published")
	second := s.mint(t, clerk.TokenSpec{User: "alice"})
	_, err = s.verify(t, second, now.at)
	require.NoError(t, err)

	same, err := s.RotateKey(t.Context(), clerk.Rotation{KeepID: true})
	require.NoError(t, err)
	require.Equal(t, newKey, same)
	_, err = s.verify(t, second, now.at)
	require.ErrorContains(t, err, "cryptographic", "the same key id, another key")

	_, err = s.RotateKey(t.Context(), clerk.Rotation{})
	require.NoError(t, err)
	_, err = s.verify(t, old, now.at)
	require.ErrorContains(t, err, "missing json web key")
}

func TestKeysAndUsersSurviveARestart(t *testing.T) {
	now, dir := newClock(), t.TempDir()
	first := serve(t, clerk.Config{Now: now.Now, Dir: dir})
	token := first.mint(t, clerk.TokenSpec{User: "alice", Org: "acme"})
	pem, err := first.PublicKeyPEM(t.Context())
	require.NoError(t, err)

	second := serve(t, clerk.Config{Now: now.Now, Dir: dir})
	_, err = second.verify(t, token, now.at)
	require.NoError(t, err)
	u, ok := second.User("alice")
	require.True(t, ok)
	require.Equal(t, "alice@example.test", u.PrimaryEmail())
	require.Equal(t, "admin", payload(t, second.mint(t, clerk.TokenSpec{User: "alice", Org: "acme"}))["o"].(map[string]any)["rol"])
	require.NotEqual(t, payload(t, token)["sid"], payload(t, second.mint(t, clerk.TokenSpec{User: "alice"}))["sid"], "identifiers do not come again")

	key, err := clerksdk.JSONWebKeyFromPEM(pem)
	require.NoError(t, err)
	require.Equal(t, 2048, key.Key.(*rsa.PublicKey).N.BitLen())
	_, err = jwt.Verify(t.Context(), &jwt.VerifyParams{Token: token, JWK: key, Clock: now})
	require.NoError(t, err, "the PEM checks tokens without the network")
}

func TestConcurrentRequests(t *testing.T) {
	s := serve(t, clerk.Config{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for _, id := range []string{"a", "b", "c"} {
				_, err := s.MintToken(t.Context(), clerk.TokenSpec{User: id, Org: "acme"})
				if err != nil {
					t.Error(err)
				}
				s.call(t, "GET", "/v1/users?limit=100", "Bearer "+s.SecretKey(), "")
			}
		})
	}
	wg.Wait()
	_, body := s.call(t, "GET", "/v1/users/count", "Bearer "+s.SecretKey(), "")
	require.Contains(t, body, `"total_count":3`)
}

// A life beyond 10 years is refused, also one that does not fit into Go's durations.
func TestLifeOfASessionsToken(t *testing.T) {
	s := serve(t, clerk.Config{})
	sid, _ := payload(t, s.mint(t, clerk.TokenSpec{User: "alice"}))["sid"].(string)
	life := func(seconds string) (int, string) {
		return s.call(t, http.MethodPost, "/v1/sessions/"+sid+"/tokens", "Bearer "+s.SecretKey(), `{"expires_in_seconds":`+seconds+`}`)
	}
	status, body := life("315360000")
	require.Equal(t, http.StatusOK, status, body)
	for _, tooLong := range []string{"315360001", "18446744075", "-315360001", "-18446744075"} {
		status, body = life(tooLong)
		require.Equal(t, http.StatusUnprocessableEntity, status, body)
		require.Contains(t, body, "expires_in_seconds")
	}
}
