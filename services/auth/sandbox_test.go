package auth_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/sandbox/clerk"
	"github.com/trivet-dev/trivet/sandbox/fault"
	"github.com/trivet-dev/trivet/services/auth"
)

// sandboxed is a fixture whose Clerk is the sandbox's.
type sandboxed struct {
	*fixture
	fake *clerk.Fake

	mu    sync.Mutex
	calls map[string]int // by "METHOD path"
}

func startSandboxed(t *testing.T, change func(*auth.Config)) *sandboxed {
	t.Helper()
	fake, err := clerk.New(clerk.Config{})
	require.NoError(t, err)
	s := &sandboxed{fake: fake, calls: map[string]int{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.calls[r.Method+" "+r.URL.Path]++
		s.mu.Unlock()
		fake.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { require.NoError(t, fake.Close()) })
	s.fixture = start(t, func(c *auth.Config) {
		var err error
		c.APIURL, err = url.Parse(server.URL)
		require.NoError(t, err)
		c.Issuer, c.PublishableKey = "", fake.PublishableKey()
		c.SecretKeys = settings.NewSecrets(fake.SecretKey())
		if change != nil {
			change(c)
		}
	})
	return s
}

func (s *sandboxed) count(call string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[call]
}

func (s *sandboxed) mint(t *testing.T, spec clerk.TokenSpec) string {
	t.Helper()
	token, err := s.fake.MintToken(t.Context(), spec)
	require.NoError(t, err)
	return token
}

// backend calls the Backend API as Clerk's dashboard would.
func (s *sandboxed) backend(t *testing.T, method, path string) {
	t.Helper()
	request := httptest.NewRequest(method, path, http.NoBody)
	request.Header.Set("Authorization", "Bearer "+s.fake.SecretKey())
	answer := httptest.NewRecorder()
	s.fake.ServeHTTP(answer, request)
	require.Equal(t, http.StatusOK, answer.Code, answer.Body.String())
}

const soon, tick = 20 * time.Second, 5 * time.Millisecond

func TestUnsyncedUserIsCompletedOnce(t *testing.T) {
	s := startSandboxed(t, func(c *auth.Config) { c.Operators = []string{"user_op"} })
	token := s.mint(t, clerk.TokenSpec{User: "user_ada.lovelace", Org: "org_acme"})
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if _, err := s.authenticate(t, token); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	operator := s.as(t, s.mint(t, clerk.TokenSpec{User: "user_op"}))
	require.Eventually(t, func() bool {
		u, err := s.rpc.GetUser(operator, &authv1.GetUserRequest{UserId: "user_ada.lovelace"})
		return err == nil && u.GetUser().GetLastName() == "Example"
	}, soon, tick)
	require.Eventually(t, func() bool {
		o, err := s.rpc.GetOrganization(operator, &authv1.GetOrganizationRequest{OrganizationId: "org_acme"})
		return err == nil && o.GetOrganization().GetName() != ""
	}, soon, tick)
	for range 10 {
		_, err := s.authenticate(t, token)
		require.NoError(t, err)
	}
	require.Equal(t, 1, s.count("GET /v1/users/user_ada.lovelace"), "one call for any number of requests")
	require.Equal(t, 1, s.count("GET /v1/organizations/org_acme"))
	require.Equal(t, 1, s.count("GET /v1/jwks"))

	list, err := s.rpc.ListUsers(operator, &authv1.ListUsersRequest{Email: "USER_ada.lovelace@example.test"})
	require.NoError(t, err)
	require.Len(t, list.GetUsers(), 1)
	require.True(t, list.GetUsers()[0].GetCreateTime().IsValid())
	members, err := s.rpc.ListMemberships(operator, &authv1.ListMembershipsRequest{UserId: "user_ada.lovelace"})
	require.NoError(t, err)
	require.Equal(t, "admin", members.GetMemberships()[0].GetRole())
}

func TestClerkIsSlowAndTheRequestIsNot(t *testing.T) {
	s := startSandboxed(t, nil)
	_, err := s.authenticate(t, s.mint(t, clerk.TokenSpec{User: "user_first"}))
	require.NoError(t, err)
	_, err = s.fake.Faults().Add(fault.Fault{Kind: fault.Hang, Path: "/v1/users/*"})
	require.NoError(t, err)
	token := s.mint(t, clerk.TokenSpec{User: "user_new", Email: "new@example.test"})
	answer, err := s.authenticate(t, token)
	require.NoError(t, err, "the request does not wait for the Backend API, which hangs")
	require.Equal(t, "user_new", answer.GetIdentity().GetUserId())
	me, err := s.rpc.GetMe(s.as(t, token), &authv1.GetMeRequest{})
	require.NoError(t, err)
	require.Equal(t, "user_new", me.GetUser().GetId(), "known from the claims")
}

func TestBannedInClerkIsRefusedOnceKnown(t *testing.T) {
	s := startSandboxed(t, nil)
	token := s.mint(t, clerk.TokenSpec{User: "user_bad"})
	s.backend(t, http.MethodPost, "/v1/users/user_bad/ban")
	require.Eventually(t, func() bool {
		_, err := s.authenticate(t, token)
		return errs.ReasonOf(err) == errorsv1.ErrorReason_ERROR_REASON_USER_DISABLED
	}, soon, tick)
}

// While Clerk is down, valid tokens keep working under load, also those of new users.
func TestTokensKeepWorkingWhileClerkIsDown(t *testing.T) {
	s := startSandboxed(t, nil)
	_, err := s.authenticate(t, s.mint(t, clerk.TokenSpec{User: "user_0"}))
	require.NoError(t, err)
	var tokens []string
	for _, user := range []string{"user_1", "user_2", "user_3", "user_4"} {
		tokens = append(tokens, s.mint(t, clerk.TokenSpec{User: user}), s.mint(t, clerk.TokenSpec{User: user, Age: time.Second}))
	}
	_, err = s.fake.Faults().Add(fault.Fault{Kind: fault.Close})
	require.NoError(t, err)
	var all sync.WaitGroup
	for n := range 400 {
		all.Go(func() {
			if _, err := s.authenticate(t, tokens[n%len(tokens)]); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	require.NoError(t, s.Checks()["clerk_keys"](t.Context()), "ready without Clerk")

	unknown := s.mint(t, clerk.TokenSpec{User: "user_1", Forge: clerk.Forge{KeyID: "ins_unknown"}})
	_, err = s.authenticate(t, unknown)
	require.NotEqual(t, errorsv1.ErrorReason_ERROR_REASON_UNSPECIFIED, errs.ReasonOf(err))
	expired := s.mint(t, clerk.TokenSpec{User: "user_1", Age: time.Hour})
	_, err = s.authenticate(t, expired)
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN, errs.ReasonOf(err), "expired is 401 always")
}

// TestForgedTokens sends every kind of bad token that the sandbox can make.
func TestForgedTokens(t *testing.T) {
	s := startSandboxed(t, func(c *auth.Config) { c.AuthorizedParties = []string{clerk.DefaultAuthorizedParty} })
	_, err := s.authenticate(t, s.mint(t, clerk.TokenSpec{User: "user_1"}))
	require.NoError(t, err)
	for _, tc := range []struct {
		name, verdict string
		spec          clerk.TokenSpec
	}{
		{"alg none", "algorithm", clerk.TokenSpec{Forge: clerk.Forge{Alg: "none"}}},
		{"HS256", "algorithm", clerk.TokenSpec{Forge: clerk.Forge{Alg: "HS256"}}},
		{"RS384", "algorithm", clerk.TokenSpec{Forge: clerk.Forge{Alg: "RS384"}}},
		{"PS256", "algorithm", clerk.TokenSpec{Forge: clerk.Forge{Alg: "PS256"}}},
		{"stranger's key", "signature", clerk.TokenSpec{Forge: clerk.Forge{Stranger: true}}},
		{"broken signature", "signature", clerk.TokenSpec{Forge: clerk.Forge{BreakSignature: true}}},
		{"unknown key", "unknown_key", clerk.TokenSpec{Forge: clerk.Forge{KeyID: "ins_other"}}},
		{"no sid", "claim_missing: sid", clerk.TokenSpec{Forge: clerk.Forge{RemoveClaims: []string{"sid"}}}},
		{"no exp", "claim_missing: exp", clerk.TokenSpec{Forge: clerk.Forge{RemoveClaims: []string{"exp"}}}},
		{"sub twice", "claims_malformed", clerk.TokenSpec{Forge: clerk.Forge{Payload: []byte(`{"sub":"user_1","sub":"user_2"}`)}}},
		{"pending", "pending", clerk.TokenSpec{Forge: clerk.Forge{Claims: map[string]any{"sts": "pending"}}}},
		{"other party", "authorized_party", clerk.TokenSpec{AuthorizedParty: "https://evil.test"}},
		{"template", "claim_missing: sid", clerk.TokenSpec{Template: "hasura"}},
		{"expired", "expired", clerk.TokenSpec{Age: time.Hour}},
		{"too large", "too_large", clerk.TokenSpec{Forge: clerk.Forge{Claims: map[string]any{"x": strings.Repeat("x", 9000)}}}},
	} {
		tc.spec.User = "user_1"
		_, err := s.authenticate(t, s.mint(t, tc.spec))
		require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN, errs.ReasonOf(err), tc.name)
		require.Equal(t, "Invalid token", errs.From(err).Message, tc.name)
		explained := tc.verdict == "expired" || tc.verdict == "claim_missing: sid"
		require.Equal(t, explained, len(errs.From(err).Fields) > 0, "%s: the details tell what the owner can do, and nothing to a forger", tc.name)
		require.Empty(t, errs.From(err).Metadata, tc.name)
		require.ErrorContains(t, err, "refused: "+tc.verdict, "%s: the log has the reason", tc.name)
	}
	require.Equal(t, 3, s.count("GET /v1/jwks"), "one at the start, one for bad signatures and one for unknown key ids")
}

func TestTemplateTokens(t *testing.T) {
	s := startSandboxed(t, func(c *auth.Config) { c.TemplateAudience = "trivet" })
	token := s.mint(t, clerk.TokenSpec{
		User: "user_1", Email: "ada@example.test", Template: "trivet", Forge: clerk.Forge{Claims: map[string]any{"aud": "trivet"}},
	})
	answer, err := s.authenticate(t, token)
	require.NoError(t, err)
	require.Equal(t, "ada@example.test", answer.GetIdentity().GetEmail())
	require.Empty(t, answer.GetIdentity().GetSessionId())
}

func TestKeyRotationAtClerk(t *testing.T) {
	s := startSandboxed(t, nil)
	before := s.mint(t, clerk.TokenSpec{User: "user_1"})
	_, err := s.authenticate(t, before)
	require.NoError(t, err)
	_, err = s.fake.RotateKey(t.Context(), clerk.Rotation{KeepOld: true})
	require.NoError(t, err)
	_, err = s.authenticate(t, before)
	require.NoError(t, err)
	_, err = s.authenticate(t, s.mint(t, clerk.TokenSpec{User: "user_1"}))
	require.NoError(t, err, "a new key id")
	require.Equal(t, 2, s.count("GET /v1/jwks"))
}

func TestNetworkless(t *testing.T) {
	s := startSandboxed(t, func(c *auth.Config) {})
	pem, err := s.fake.PublicKeyPEM(t.Context())
	require.NoError(t, err)
	offline := start(t, func(c *auth.Config) {
		c.Issuer, c.JWTKey, c.SecretKeys = s.fake.Issuer(), strings.ReplaceAll(pem, "\n", `\n`), nil
		c.APIURL, _ = url.Parse("http://127.0.0.1:1")
	})
	_, err = offline.authenticate(t, s.mint(t, clerk.TokenSpec{User: "user_1"}))
	require.NoError(t, err)
	require.NotContains(t, offline.Checks(), "clerk_keys")
}

func sandboxUser(id string) clerk.TokenSpec { return clerk.TokenSpec{User: id} }
