package authn

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/services/auth/internal/apikey"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
	"github.com/trivet-dev/trivet/services/auth/internal/jwks"
	"github.com/trivet-dev/trivet/services/auth/internal/session"
)

// parts are an Authenticator's, as a test wants them.
type parts struct {
	session   *session.Session
	key       apikey.Verified
	err       error // of the verifier
	standing  directory.Standing
	lookup    error
	introduce error

	introduced []directory.Introduction
	completed  []string
	verdicts   []string
	logged     strings.Builder
}

func (p *parts) Standing(context.Context, string, string, string) (directory.Standing, error) {
	return p.standing, p.lookup
}

func (p *parts) Introduce(_ context.Context, in directory.Introduction) error {
	p.introduced = append(p.introduced, in)
	return p.introduce
}

func (p *parts) User(id string)         { p.completed = append(p.completed, id) }
func (p *parts) Organization(id string) { p.completed = append(p.completed, id) }

type sessions struct{ *parts }

func (s sessions) Verify(context.Context, string) (*session.Session, error) { return s.session, s.err }

type keys struct{ *parts }

func (k keys) Verify(context.Context, string) (apikey.Verified, error) { return k.key, k.err }

func issued() time.Time { return time.Unix(1_900_000_000, 0) }

func (p *parts) ask(t *testing.T, credential string) (*Grant, error) {
	t.Helper()
	return New(Config{
		Sessions: sessions{p}, Keys: keys{p}, Directory: p, Completer: p, Now: issued,
		Record:     func(_ context.Context, kind, verdict string) { p.verdicts = append(p.verdicts, kind+" "+verdict) },
		AdminRoles: []string{"admin", "boss"}, Operators: []string{"user_operator"}, Logger: slog.New(slog.NewTextHandler(&p.logged, nil)),
	}).Authenticate(t.Context(), credential)
}

func member(role string) *session.Session {
	return &session.Session{
		UserID: "user_1", ID: "sess_1", IssueTime: issued(), ExpireTime: issued().Add(time.Minute),
		Organization: &session.Organization{ID: "org_1", Slug: "acme", Role: role, Permissions: []string{"org:a:b"}},
		Profile:      session.Profile{Email: "ada@example.test"},
	}
}

func known(role string) directory.Standing {
	return directory.Standing{
		User: directory.Synced, Organization: directory.Synced, Member: directory.Synced, Role: role,
		Permissions: []string{"org:x:y"}, RoleTime: issued().Add(-time.Hour), Email: "stored@example.test",
	}
}

// The passport of a session and of an API key says whether its person is verified.
func TestVerified(t *testing.T) {
	for _, credential := range []string{"token", "tvt_live_x"} {
		for _, verified := range []bool{false, true} {
			p := &parts{session: member("admin"), key: apikey.Verified{Key: apikey.Key{ID: "key_1", UserID: "user_1"}}, standing: known("admin")}
			p.standing.Verified = verified
			grant, err := p.ask(t, credential)
			require.NoError(t, err)
			require.Equal(t, verified, grant.Claims.Verified, credential)
		}
	}
}

func TestStanding(t *testing.T) {
	for name, tc := range map[string]struct {
		change  func(*directory.Standing)
		verdict string
		reason  errorsv1.ErrorReason
	}{
		"good":            {func(*directory.Standing) {}, "session accepted", 0},
		"deleted":         {func(st *directory.Standing) { st.User = directory.Deleted }, "session user_deleted", errorsv1.ErrorReason_ERROR_REASON_USER_DISABLED},
		"banned":          {func(st *directory.Standing) { st.Banned = true }, "session user_banned", errorsv1.ErrorReason_ERROR_REASON_USER_DISABLED},
		"deprovisioned":   {func(st *directory.Standing) { st.Deprovisioned = true }, "session user_deprovisioned", errorsv1.ErrorReason_ERROR_REASON_USER_DISABLED},
		"session revoked": {func(st *directory.Standing) { st.SessionRevoked = true }, "session session_revoked", errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN},
		"organization deleted": {
			func(st *directory.Standing) { st.Organization = directory.Deleted },
			"session organization_deleted", errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN,
		},
		"left since": {
			func(st *directory.Standing) { st.Member, st.MemberDeleted = directory.Deleted, issued() },
			"session membership_ended", errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN,
		},
		"left and joined again": {
			func(st *directory.Standing) {
				st.Member, st.MemberDeleted = directory.Deleted, issued().Add(-time.Second)
			},
			"session accepted", 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := &parts{session: member("admin"), standing: known("admin")}
			tc.change(&p.standing)
			grant, err := p.ask(t, "token")
			require.Equal(t, []string{tc.verdict}, p.verdicts)
			if tc.reason != 0 {
				require.Equal(t, tc.reason, errs.ReasonOf(err))
				require.Nil(t, grant)
				require.Empty(t, p.introduced, "a refused token teaches nothing")
				return
			}
			require.NoError(t, err)
			require.Equal(t, "org_1", grant.Claims.AccountID)
		})
	}
}

func TestNoVerdict(t *testing.T) {
	p := &parts{err: &jwks.UnavailableError{RetryAfter: 7 * time.Second, Cause: errors.New("down")}}
	_, err := p.ask(t, "token")
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, errs.ReasonOf(err))
	require.Equal(t, 7*time.Second, errs.From(err).RetryAfter)
	p = &parts{err: context.Canceled}
	_, err = p.ask(t, "token")
	require.ErrorIs(t, err, context.Canceled)
	down := errors.New("down")
	for _, credential := range []string{"token", "tvt_live_x"} {
		p = &parts{session: member("admin"), lookup: down}
		_, err = p.ask(t, credential)
		require.ErrorIs(t, err, down, "who can't be looked up is not let in")
	}
	p = &parts{err: down}
	_, err = p.ask(t, "tvt_live_x")
	require.ErrorIs(t, err, down)
	require.Equal(t, []string{"api_key unavailable"}, p.verdicts)
}

func TestRank(t *testing.T) {
	for name, tc := range map[string]struct {
		token, stored string
		when          time.Duration // of the stored role, from the token's issue
		want          string
		introduced    bool
	}{
		"equal":             {"admin", "admin", time.Second, "admin", false},
		"demoted since":     {"admin", "member", time.Second, "member", false},
		"promoted since":    {"member", "admin", time.Second, "admin", false},
		"the token is news": {"member", "admin", -time.Second, "member", true},
		"same second":       {"member", "admin", 0, "member", false},
	} {
		t.Run(name, func(t *testing.T) {
			p := &parts{session: member(tc.token), standing: known(tc.stored)}
			p.standing.RoleTime = issued().Add(tc.when)
			grant, err := p.ask(t, "token")
			require.NoError(t, err)
			require.Equal(t, tc.want, grant.Claims.Role)
			require.Equal(t, tc.introduced, len(p.introduced) > 0)
			if tc.want == tc.stored && tc.stored != tc.token {
				require.Equal(t, []string{"org:x:y"}, grant.Claims.Permissions)
			}
		})
	}
}

func TestLearning(t *testing.T) {
	p := &parts{session: member("admin")}
	_, err := p.ask(t, "token")
	require.NoError(t, err)
	require.Equal(t, []directory.Introduction{{
		UserID: "user_1", Email: "ada@example.test", OrganizationID: "org_1", OrganizationSlug: "acme", Role: "admin",
		Permissions: []string{"org:a:b"}, At: issued(),
	}}, p.introduced)
	require.Equal(t, []string{"user_1", "org_1"}, p.completed)

	p = &parts{session: member("admin"), introduce: errors.New("disk full")}
	grant, err := p.ask(t, "token")
	require.NoError(t, err, "the user is let in even if the store takes nothing")
	require.Equal(t, "ada@example.test", grant.Claims.Email)
	require.Contains(t, p.logged.String(), "level=WARN")

	p = &parts{session: member("admin"), standing: known("admin")}
	grant, err = p.ask(t, "token")
	require.NoError(t, err)
	require.Equal(t, "stored@example.test", grant.Claims.Email)
	require.Empty(t, p.introduced)
	require.Empty(t, p.completed)

	p = &parts{session: member("admin"), standing: known("admin")}
	p.session.Organization, p.standing.Organization, p.standing.Member = nil, directory.Unknown, directory.Unknown
	p.standing.User = directory.Introduced
	grant, err = p.ask(t, "token")
	require.NoError(t, err)
	require.Equal(t, RoleOwner, grant.Claims.Role)
	require.Empty(t, p.introduced)
	require.Equal(t, []string{"user_1"}, p.completed)
}

func TestKeyStanding(t *testing.T) {
	key := apikey.Verified{Key: apikey.Key{ID: "key_1", AccountID: "org_1", OrganizationID: "org_1", UserID: "user_1", Role: "admin", Scopes: []string{"ai.invoke"}}}
	for name, tc := range map[string]struct {
		change  func(*directory.Standing)
		verdict string
		role    string
	}{
		"good":                 {func(*directory.Standing) {}, "accepted", "member"},
		"membership unknown":   {func(st *directory.Standing) { st.Member = directory.Unknown }, "accepted", "admin"},
		"deleted":              {func(st *directory.Standing) { st.User = directory.Deleted }, "maker_left", ""},
		"banned":               {func(st *directory.Standing) { st.Banned = true }, "maker_left", ""},
		"deprovisioned":        {func(st *directory.Standing) { st.Deprovisioned = true }, "maker_left", ""},
		"left":                 {func(st *directory.Standing) { st.Member = directory.Deleted }, "maker_left", ""},
		"organization deleted": {func(st *directory.Standing) { st.Organization = directory.Deleted }, "organization_deleted", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := &parts{key: key, standing: known("member")}
			tc.change(&p.standing)
			grant, err := p.ask(t, "tvt_live_x")
			require.Equal(t, []string{"api_key " + tc.verdict}, p.verdicts)
			if tc.role == "" {
				want := errorsv1.ErrorReason_ERROR_REASON_API_KEY_MAKER_LEFT
				if tc.verdict == "organization_deleted" {
					want = errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN
				}
				require.Equal(t, want, errs.ReasonOf(err))
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.role, grant.Claims.Role)
			require.Equal(t, []string{"ai.invoke"}, grant.Claims.Scopes)
			require.False(t, grant.Claims.Operator)
		})
	}
	p := &parts{err: &apikey.Refusal{Verdict: apikey.VerdictRevoked}}
	_, err := p.ask(t, "tvt_live_x")
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN, errs.ReasonOf(err))
	require.Equal(t, "Invalid token", errs.From(err).Message)
}

// A personal key cannot be taken over.
func TestPersonalKeyStanding(t *testing.T) {
	for verdict, change := range map[string]func(*directory.Standing){
		"user_deleted":       func(st *directory.Standing) { st.User = directory.Deleted },
		"user_banned":        func(st *directory.Standing) { st.Banned = true },
		"user_deprovisioned": func(st *directory.Standing) { st.Deprovisioned = true },
		"accepted":           func(*directory.Standing) {},
	} {
		p := &parts{key: apikey.Verified{Key: apikey.Key{ID: "key_1", AccountID: "user_1", UserID: "user_1", Role: RoleOwner}}}
		p.standing.User = directory.Synced
		change(&p.standing)
		grant, err := p.ask(t, "tvt_live_x")
		require.Equal(t, []string{"api_key " + verdict}, p.verdicts)
		if verdict == "accepted" {
			require.NoError(t, err)
			require.True(t, grant.Claims.Admin)
			continue
		}
		require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_USER_DISABLED, errs.ReasonOf(err))
	}
}

// TestAdminRoles: which roles decide is a setting; a custom role named "owner" is a role like any other.
func TestAdminRoles(t *testing.T) {
	for role, want := range map[string]bool{"admin": true, "boss": true, "owner": false, "member": false, "": false, "org:admin": false} {
		p := &parts{session: member(role), standing: known(role)}
		grant, err := p.ask(t, "token")
		require.NoError(t, err)
		require.Equal(t, want, grant.Claims.IsAdmin(), "session of %q", role)

		p = &parts{key: apikey.Verified{Key: apikey.Key{ID: "key_1", AccountID: "org_1", OrganizationID: "org_1", UserID: "user_1", Role: "admin"}}, standing: known(role)}
		grant, err = p.ask(t, "tvt_live_x")
		require.NoError(t, err)
		require.Equal(t, want, grant.Claims.IsAdmin(), "key of %q", role)
	}
}

// Only a user who signed in is an operator: not a session that impersonates the user or may do so, and not an API key of the user.
func TestOperators(t *testing.T) {
	for name, tc := range map[string]struct {
		user       string
		actor      *session.Actor
		credential string
		want       bool
	}{
		"an operator":                {"user_operator", nil, "token", true},
		"another user":               {"user_1", nil, "token", false},
		"somebody as the operator":   {"user_operator", &session.Actor{UserID: "user_1"}, "token", false},
		"an operator as the user":    {"user_1", &session.Actor{UserID: "user_operator"}, "token", false},
		"an API key of the operator": {"user_operator", nil, "tvt_live_x", false},
		"perhaps somebody else":      {"user_operator", nil, "token", false},
	} {
		t.Run(name, func(t *testing.T) {
			p := &parts{session: member("admin"), standing: known("admin"), key: apikey.Verified{
				Key: apikey.Key{ID: "key_1", AccountID: tc.user, UserID: tc.user},
			}}
			p.session.UserID, p.session.Actor = tc.user, tc.actor
			p.session.ActorUnknown = name == "perhaps somebody else"
			grant, err := p.ask(t, tc.credential)
			require.NoError(t, err)
			require.Equal(t, tc.want, grant.Claims.Operator)
			if tc.actor != nil {
				require.Equal(t, tc.actor.UserID, grant.Claims.ActorID)
			}
		})
	}
}

func TestParentLimits(t *testing.T) {
	p := &parts{standing: known("admin"), key: apikey.Verified{
		Key: apikey.Key{
			ID: "key_3", AccountID: "org_1", OrganizationID: "org_1", UserID: "user_1",
			Limits: apikey.Limits{RequestsPerMinute: 1, RequestsPerDay: 2, TokensPerMinute: 3, ConcurrentStreams: 4},
		},
		Ancestors: []apikey.Key{
			{ID: "key_2", Limits: apikey.Limits{RequestsPerMinute: 7, RequestsPerDay: 8, TokensPerMinute: 9, ConcurrentStreams: 10}, ExpireTime: issued().Add(20 * time.Second)},
			{ID: "key_1"},
			{ID: "key_0", Limits: apikey.Limits{ConcurrentStreams: 1}},
		},
	}}
	grant, err := p.ask(t, "tvt_live_x")
	require.NoError(t, err)
	require.Equal(t, []passport.KeyLimit{
		{APIKeyID: "key_2", RequestsPerMinute: 7, RequestsPerDay: 8, TokensPerMinute: 9, ConcurrentStreams: 10},
		{APIKeyID: "key_1"}, // a limit that it gets later counts this call
		{APIKeyID: "key_0", ConcurrentStreams: 1},
	}, grant.Claims.ParentLimits)
	c := grant.Claims
	require.Equal(t, []int32{1, 2, 3, 4}, []int32{c.RequestsPerMinute, c.RequestsPerDay, c.TokensPerMinute, c.ConcurrentStreams})
	require.Equal(t, issued().Add(20*time.Second), grant.ExpireTime, "the grant ends with the first key that ends")
}

// TestWhatTheOwnerOfATokenLearns: the text is the same for every fault; the details say what the owner can do.
func TestWhatTheOwnerOfATokenLearns(t *testing.T) {
	for name, tc := range map[string]struct {
		refusal session.Refusal
		says    string
	}{
		"expired":          {session.Refusal{Verdict: session.VerdictExpired}, "expired"},
		"JWT template":     {session.Refusal{Verdict: session.VerdictMissingClaim, Detail: "sid"}, `"aud"`},
		"no azp":           {session.Refusal{Verdict: session.VerdictMissingClaim, Detail: "azp"}, ""},
		"forged":           {session.Refusal{Verdict: session.VerdictSignature}, ""},
		"of another":       {session.Refusal{Verdict: session.VerdictIssuer}, ""},
		"of another party": {session.Refusal{Verdict: session.VerdictParty}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := &parts{err: &tc.refusal}
			_, err := p.ask(t, "token")
			e := errs.From(err)
			require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN, e.Reason)
			require.Equal(t, "Invalid token", e.Message)
			require.Equal(t, tc.says == "expired", strings.Contains(p.logged.String(), "level=INFO"))
			if tc.says == "" {
				require.Empty(t, e.Fields)
				return
			}
			require.Len(t, e.Fields, 1)
			require.Equal(t, "Authorization", e.Fields[0].Name)
			require.Contains(t, e.Fields[0].Problem, tc.says)
		})
	}
}

func TestExpiry(t *testing.T) {
	now := issued()
	for end, want := range map[time.Duration]time.Duration{
		time.Hour: time.Minute, time.Minute: time.Minute, 3 * time.Second: 3 * time.Second,
		0: 5 * time.Second, -2 * time.Second: 3 * time.Second, // within the leeway the leeway's end counts
	} {
		require.Equal(t, now.Add(want), grantExpiry(now.Add(end), now), end)
	}
	require.Equal(t, now.Add(time.Minute), keyExpiry(time.Time{}, now))
	require.Equal(t, now.Add(time.Second), keyExpiry(now.Add(time.Second), now))
	require.Equal(t, now.Add(time.Minute), keyExpiry(now.Add(time.Hour), now))
}
