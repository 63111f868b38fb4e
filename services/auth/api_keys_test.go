package auth_test

import (
	"context"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric/noop"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/auth"
	"github.com/trivet-dev/trivet/services/auth/internal/authtest"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
	"github.com/trivet-dev/trivet/services/auth/internal/revocation"
)

func requireReason(t *testing.T, want errorsv1.ErrorReason, err error) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, want, errs.ReasonOf(err), err.Error())
}

// org are the claims of an organization's member.
func org(role string) map[string]any {
	return map[string]any{"o": map[string]any{"id": "org_1", "slg": "acme", "rol": role}}
}

func (f *fixture) newKey(t testing.TB, ctx context.Context, req *authv1.CreateApiKeyRequest) *authv1.CreateApiKeyResponse {
	t.Helper()
	if req.Name == "" {
		req.Name = "a key"
	}
	answer, err := f.rpc.CreateApiKey(ctx, req)
	require.NoError(t, err)
	return answer
}

func TestAPIKeyLife(t *testing.T) {
	f := start(t, nil)
	admin := f.as(t, f.clerk.Token(t, time.Now(), org("admin")))
	expire := time.Now().Add(time.Hour).Truncate(time.Second)
	made := f.newKey(t, admin, &authv1.CreateApiKeyRequest{
		Name: "server", Scopes: []string{"ai.invoke", "billing.read"}, ExpireTime: timestamppb.New(expire), Models: []string{"gpt-4o"},
		SpendLimitNanoUsd: 5_000_000_000, SpendPeriod: durationpb.New(24 * time.Hour), RequestsPerMinute: 30,
		RequestsPerDay: 31, TokensPerMinute: 32, ConcurrentStreams: 33,
	})
	require.Regexp(t, `^tvt_test_[0-9A-Za-z]{49}$`, made.GetSecret())
	require.Equal(t, made.GetSecret()[:13], made.GetApiKey().GetPrefix())
	require.Equal(t, "user_1", made.GetApiKey().GetCreatedByUserId())

	answer, err := f.authenticate(t, made.GetSecret())
	require.NoError(t, err)
	claims, err := f.verifier.Verify(answer.GetPassports()["ai"], "ai")
	require.NoError(t, err)
	require.Equal(t, "org_1", claims.AccountID)
	require.Equal(t, made.GetApiKey().GetId(), claims.APIKeyID)
	require.Equal(t, []string{"ai.invoke", "billing.read"}, claims.Scopes)
	require.Equal(t, []string{"gpt-4o"}, claims.Models)
	id, described := answer.GetIdentity(), made.GetApiKey()
	want := []int32{30, 31, 32, 33}
	require.Equal(t, want, []int32{claims.RequestsPerMinute, claims.RequestsPerDay, claims.TokensPerMinute, claims.ConcurrentStreams})
	require.Equal(t, want, []int32{id.GetRequestsPerMinute(), id.GetRequestsPerDay(), id.GetTokensPerMinute(), id.GetConcurrentStreams()})
	require.Equal(t, want, []int32{described.GetRequestsPerMinute(), described.GetRequestsPerDay(), described.GetTokensPerMinute(), described.GetConcurrentStreams()})
	require.EqualValues(t, 5_000_000_000, claims.SpendLimitNanoUSD)
	require.EqualValues(t, 86_400, claims.SpendPeriodSeconds)
	require.Equal(t, 24*time.Hour, answer.GetIdentity().GetSpendPeriod().AsDuration())
	require.EqualValues(t, 5_000_000_000, answer.GetIdentity().GetSpendLimitNanoUsd())
	require.Equal(t, "admin", claims.Role)
	require.False(t, claims.Operator)

	list, err := f.rpc.ListApiKeys(admin, &authv1.ListApiKeysRequest{})
	require.NoError(t, err)
	require.Len(t, list.GetApiKeys(), 1)
	require.NotContains(t, list.String(), made.GetSecret())

	other := f.as(t, f.clerk.Token(t, time.Now(), nil)) // the same person, on their own account
	_, err = f.rpc.DeleteApiKey(other, &authv1.DeleteApiKeyRequest{ApiKeyId: made.GetApiKey().GetId()})
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, err)
	_, err = f.rpc.DeleteApiKey(admin, &authv1.DeleteApiKeyRequest{ApiKeyId: made.GetApiKey().GetId()})
	require.NoError(t, err)
	_, err = f.authenticate(t, made.GetSecret())
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN, err)
	_, err = f.rpc.DeleteApiKey(admin, &authv1.DeleteApiKeyRequest{ApiKeyId: made.GetApiKey().GetId()})
	require.NoError(t, err, "a repetition is not an error")
	list, err = f.rpc.ListApiKeys(admin, &authv1.ListApiKeysRequest{})
	require.NoError(t, err)
	require.True(t, list.GetApiKeys()[0].GetRevokeTime().IsValid())
}

func TestAPIKeyFields(t *testing.T) {
	f := start(t, nil)
	ctx := f.as(t, f.clerk.Token(t, time.Now(), nil))
	made := f.newKey(t, ctx, &authv1.CreateApiKeyRequest{})
	require.Equal(t, []string{"ai.invoke", "models.read"}, made.GetApiKey().GetScopes(), "the default")
	for field, req := range map[string]*authv1.CreateApiKeyRequest{
		"name":              {Name: " \t"},
		"scopes[1]":         {Name: "x", Scopes: []string{"ai.invoke", "ai.everything"}},
		"models[1]":         {Name: "x", Models: []string{"gpt-4o", "gpt-99"}},
		"models[0]":         {Name: "x", Models: []string{" gpt-4o"}},
		"expireTime":        {Name: "x", ExpireTime: timestamppb.New(time.Now().Add(-time.Second))},
		"spendLimitNanoUsd": {Name: "x", SpendLimitNanoUsd: -1},
		"spendPeriod":       {Name: "x", SpendPeriod: durationpb.New(time.Hour)},
		"requestsPerMinute": {Name: "x", RequestsPerMinute: -1},
		"requestsPerDay":    {Name: "x", RequestsPerDay: 1_000_000_001},
		"tokensPerMinute":   {Name: "x", TokensPerMinute: 1_000_000_001},
		"concurrentStreams": {Name: "x", ConcurrentStreams: 100_001},
	} {
		_, err := f.rpc.CreateApiKey(ctx, req)
		requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, err)
		require.Equal(t, field, errs.From(err).Fields[0].Name)
	}
	for name, period := range map[string]*durationpb.Duration{
		"short": durationpb.New(time.Second), "long": durationpb.New(367 * 24 * time.Hour), "zero": {},
		"fraction": durationpb.New(time.Hour + time.Millisecond), "absurd": {Seconds: 1 << 60},
	} {
		_, err := f.rpc.CreateApiKey(ctx, &authv1.CreateApiKeyRequest{Name: "x", SpendLimitNanoUsd: 1, SpendPeriod: period})
		requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, err)
		require.Equal(t, "spendPeriod", errs.From(err).Fields[0].Name, name)
	}
	for name, end := range map[string]*timestamppb.Timestamp{"absurd": {Seconds: 1 << 60}, "Go's zero time, which would mean never": timestamppb.New(time.Time{})} {
		_, err := f.rpc.CreateApiKey(ctx, &authv1.CreateApiKeyRequest{Name: "x", ExpireTime: end})
		requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, err)
		require.Equal(t, "expireTime", errs.From(err).Fields[0].Name, name)
	}
}

func TestAKeyMakesNoStrongerKey(t *testing.T) {
	f := start(t, nil)
	session := f.as(t, f.clerk.Token(t, time.Now(), nil))
	end := timestamppb.New(time.Now().Add(time.Hour).Truncate(time.Second))
	parent := f.newKey(t, session, &authv1.CreateApiKeyRequest{
		Scopes: []string{"keys.manage", "ai.invoke"}, Models: []string{"gpt-4o", "gpt-4o-mini"}, ExpireTime: end, RequestsPerMinute: 10,
	})
	asKey := f.as(t, parent.GetSecret())
	fit := func() *authv1.CreateApiKeyRequest {
		return &authv1.CreateApiKeyRequest{Name: "child", Scopes: []string{"ai.invoke"}, Models: []string{"gpt-4o"}, ExpireTime: end, RequestsPerMinute: 10}
	}
	f.newKey(t, asKey, fit())
	for field, change := range map[string]func(*authv1.CreateApiKeyRequest){
		"scopes":            func(r *authv1.CreateApiKeyRequest) { r.Scopes = []string{"billing.write"} },
		"models":            func(r *authv1.CreateApiKeyRequest) { r.Models = nil },
		"expireTime":        func(r *authv1.CreateApiKeyRequest) { r.ExpireTime = nil },
		"requestsPerMinute": func(r *authv1.CreateApiKeyRequest) { r.RequestsPerMinute = 11 },
	} {
		req := fit()
		change(req)
		_, err := f.rpc.CreateApiKey(asKey, req)
		requireReason(t, errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, err)
		require.Equal(t, field, errs.From(err).Fields[0].Name)
	}
	limited := f.newKey(t, session, &authv1.CreateApiKeyRequest{Scopes: []string{"keys.manage"}, SpendLimitNanoUsd: 1})
	_, err := f.rpc.CreateApiKey(f.as(t, limited.GetSecret()), &authv1.CreateApiKeyRequest{Name: "x", Scopes: []string{"keys.manage"}, SpendLimitNanoUsd: 1})
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, err)

	impersonated := f.as(t, f.clerk.Token(t, time.Now(), map[string]any{"act": map[string]any{"sub": "user_2"}}))
	_, err = f.rpc.CreateApiKey(impersonated, &authv1.CreateApiKeyRequest{Name: "x"})
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, err)
}

func TestAPIKeysPaging(t *testing.T) {
	f := start(t, nil)
	ctx := f.as(t, f.clerk.Token(t, time.Now(), nil))
	for range 5 {
		f.newKey(t, ctx, &authv1.CreateApiKeyRequest{})
	}
	seen, token := map[string]bool{}, ""
	for {
		list, err := f.rpc.ListApiKeys(ctx, &authv1.ListApiKeysRequest{PageSize: 2, PageToken: token})
		require.NoError(t, err)
		for _, k := range list.GetApiKeys() {
			require.False(t, seen[k.GetId()])
			seen[k.GetId()] = true
		}
		if token = list.GetNextPageToken(); token == "" {
			break
		}
	}
	require.Len(t, seen, 5)
	list, err := f.rpc.ListApiKeys(ctx, &authv1.ListApiKeysRequest{PageSize: 2})
	require.NoError(t, err)
	foreign := f.as(t, f.clerk.Token(t, time.Now(), org("admin")))
	_, err = f.rpc.ListApiKeys(foreign, &authv1.ListApiKeysRequest{PageToken: list.GetNextPageToken()})
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, err)
}

func TestWhoseStandingChangesLosesCredentials(t *testing.T) {
	const (
		none     = errorsv1.ErrorReason_ERROR_REASON_UNSPECIFIED
		invalid  = errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN
		disabled = errorsv1.ErrorReason_ERROR_REASON_USER_DISABLED
		left     = errorsv1.ErrorReason_ERROR_REASON_API_KEY_MAKER_LEFT
	)
	put := func(u directory.User) func(context.Context, *fixture) (bool, error) {
		return func(ctx context.Context, f *fixture) (bool, error) {
			u.ID, u.UpdateTime = "user_1", time.Now()
			return f.Store().PutUser(ctx, u)
		}
	}
	for name, tc := range map[string]struct {
		change                      func(context.Context, *fixture) (bool, error)
		session, shared, personally errorsv1.ErrorReason
	}{
		"deleted": {func(ctx context.Context, f *fixture) (bool, error) {
			return f.Store().DeleteUser(ctx, "user_1", time.Now())
		}, disabled, left, disabled},
		"banned":        {put(directory.User{Banned: true}), disabled, left, disabled},
		"deprovisioned": {put(directory.User{Deprovisioned: true}), disabled, left, disabled},
		"locked":        {put(directory.User{Locked: true}), none, none, none},
		"left the organization": {func(ctx context.Context, f *fixture) (bool, error) {
			return f.Store().DeleteMembership(ctx, "org_1", "user_1", time.Now())
		}, invalid, left, none},
		"organization deleted": {func(ctx context.Context, f *fixture) (bool, error) {
			return f.Store().DeleteOrganization(ctx, "org_1", time.Now())
		}, invalid, invalid, none},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, nil)
			token := f.clerk.Token(t, time.Now(), org("admin"))
			shared := f.newKey(t, f.as(t, token), &authv1.CreateApiKeyRequest{})
			personal := f.newKey(t, f.as(t, f.clerk.Token(t, time.Now(), nil)), &authv1.CreateApiKeyRequest{})
			credentials := map[string]errorsv1.ErrorReason{token: tc.session, shared.GetSecret(): tc.shared, personal.GetSecret(): tc.personally}
			for credential := range credentials {
				_, err := f.authenticate(t, credential)
				require.NoError(t, err)
			}
			changed, err := tc.change(t.Context(), f)
			require.NoError(t, err)
			require.True(t, changed)
			for credential, want := range credentials {
				_, err = f.authenticate(t, credential)
				if want == none {
					require.NoError(t, err)
				} else {
					requireReason(t, want, err)
				}
			}
		})
	}
}

// TestAChildSharesItsParentsFate: what a key makes, directly or indirectly, ends with it on every replica, and shares its
// limits.
func TestAChildSharesItsParentsFate(t *testing.T) {
	f := start(t, nil)
	session := f.as(t, f.clerk.Token(t, time.Now(), nil))
	top := f.newKey(t, session, &authv1.CreateApiKeyRequest{Scopes: []string{"keys.manage", "ai.invoke"}, RequestsPerMinute: 5})
	middle := f.newKey(t, f.as(t, top.GetSecret()), &authv1.CreateApiKeyRequest{Scopes: []string{"keys.manage", "ai.invoke"}})
	bottom := f.newKey(t, f.as(t, middle.GetSecret()), &authv1.CreateApiKeyRequest{Scopes: []string{"ai.invoke"}, RequestsPerMinute: 3})
	require.Equal(t, middle.GetApiKey().GetId(), bottom.GetApiKey().GetParentApiKeyId())
	require.Empty(t, top.GetApiKey().GetParentApiKeyId())
	answer, err := f.authenticate(t, bottom.GetSecret())
	require.NoError(t, err)
	claims, err := f.verifier.Verify(answer.GetPassports()["ai"], "ai")
	require.NoError(t, err)
	require.Equal(t, []passport.KeyLimit{{APIKeyID: middle.GetApiKey().GetId()}, {APIKeyID: top.GetApiKey().GetId(), RequestsPerMinute: 5}}, claims.ParentLimits)
	require.EqualValues(t, 3, claims.RequestsPerMinute)
	require.Equal(t, top.GetApiKey().GetId(), answer.GetIdentity().GetParentLimits()[1].GetApiKeyId())

	w := f.watch(t)
	asMiddle := f.as(t, middle.GetSecret()) // whose passport lives for another minute
	_, err = f.rpc.DeleteApiKey(session, &authv1.DeleteApiKeyRequest{ApiKeyId: top.GetApiKey().GetId()})
	require.NoError(t, err)
	told := map[string]bool{}
	for len(told) < 3 {
		for _, r := range (<-w.news).GetRevocations() {
			told[r.GetApiKeyId()] = true
		}
	}
	for _, key := range []*authv1.CreateApiKeyResponse{top, middle, bottom} {
		require.True(t, told[key.GetApiKey().GetId()])
		_, err = f.authenticate(t, key.GetSecret())
		requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN, err)
	}
	_, err = f.rpc.CreateApiKey(asMiddle, &authv1.CreateApiKeyRequest{Name: "x", Scopes: []string{"ai.invoke"}})
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN, err)
}

func TestTheNumberOfKeysIsASetting(t *testing.T) {
	f := start(t, func(c *auth.Config) { c.MaxAPIKeys = 2 })
	session := f.as(t, f.clerk.Token(t, time.Now(), nil))
	one := f.newKey(t, session, &authv1.CreateApiKeyRequest{Scopes: []string{"keys.manage", "ai.invoke", "models.read"}})
	two := f.newKey(t, session, &authv1.CreateApiKeyRequest{})
	for _, ctx := range []context.Context{session, f.as(t, one.GetSecret())} {
		_, err := f.rpc.CreateApiKey(ctx, &authv1.CreateApiKeyRequest{Name: "x"})
		requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, err)
		require.Contains(t, err.Error(), "AUTH_MAX_API_KEYS")
	}
	_, err := f.rpc.DeleteApiKey(session, &authv1.DeleteApiKeyRequest{ApiKeyId: two.GetApiKey().GetId()})
	require.NoError(t, err)
	f.newKey(t, session, &authv1.CreateApiKeyRequest{})
	var config auth.Config
	require.NoError(t, settings.Load(func(string) string { return "" }, &config))
	require.Equal(t, 100, config.MaxAPIKeys)
}

// TestTakeOver: an organization's key outlives its maker's place there once an admin has taken it over.
func TestTakeOver(t *testing.T) {
	f := start(t, nil)
	maker := f.as(t, f.clerk.Token(t, time.Now(), org("admin")))
	boss := f.as(t, f.clerk.Token(t, time.Now(), map[string]any{"sub": "user_2", "sid": "sess_2", "o": org("admin")["o"]}))
	key := f.newKey(t, maker, &authv1.CreateApiKeyRequest{Scopes: []string{"keys.manage", "ai.invoke", "models.read"}})
	child := f.newKey(t, f.as(t, key.GetSecret()), &authv1.CreateApiKeyRequest{})
	other := f.newKey(t, maker, &authv1.CreateApiKeyRequest{})
	id := key.GetApiKey().GetId()
	reasons := func() map[string]string {
		list, err := f.rpc.ListApiKeys(boss, &authv1.ListApiKeysRequest{})
		require.NoError(t, err)
		out := map[string]string{}
		for _, k := range list.GetApiKeys() {
			out[k.GetId()] = k.GetDisabledReason()
		}
		return out
	}
	require.Equal(t, map[string]string{id: "", child.GetApiKey().GetId(): "", other.GetApiKey().GetId(): ""}, reasons())

	changed, err := f.Store().DeleteMembership(t.Context(), "org_1", "user_1", time.Now())
	require.NoError(t, err)
	require.True(t, changed)
	const left = "API_KEY_MAKER_LEFT"
	require.Equal(t, map[string]string{id: left, child.GetApiKey().GetId(): left, other.GetApiKey().GetId(): left}, reasons())
	_, err = f.authenticate(t, key.GetSecret())
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_API_KEY_MAKER_LEFT, err)

	foreign := f.as(t, f.clerk.Token(t, time.Now(), map[string]any{"sub": "user_2", "sid": "sess_2"}))
	_, err = f.rpc.TakeOverApiKey(foreign, &authv1.TakeOverApiKeyRequest{ApiKeyId: id})
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, err)
	taken, err := f.rpc.TakeOverApiKey(boss, &authv1.TakeOverApiKeyRequest{ApiKeyId: id})
	require.NoError(t, err)
	require.Equal(t, "user_2", taken.GetApiKey().GetCreatedByUserId())
	require.Empty(t, taken.GetApiKey().GetDisabledReason())
	require.Equal(t, map[string]string{id: "", child.GetApiKey().GetId(): "", other.GetApiKey().GetId(): left}, reasons())
	for _, k := range []*authv1.CreateApiKeyResponse{key, child} {
		answer, err := f.authenticate(t, k.GetSecret())
		require.NoError(t, err)
		require.Equal(t, "user_2", answer.GetIdentity().GetUserId())
	}
	_, err = f.rpc.DeleteApiKey(boss, &authv1.DeleteApiKeyRequest{ApiKeyId: other.GetApiKey().GetId()})
	require.NoError(t, err)
	_, err = f.rpc.TakeOverApiKey(boss, &authv1.TakeOverApiKeyRequest{ApiKeyId: other.GetApiKey().GetId()})
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, err)
}

// TestAdminRolesAreASetting: names of custom roles mean nothing but what CLERK_ADMIN_ROLES says.
func TestAdminRolesAreASetting(t *testing.T) {
	for setting, admins := range map[string][]string{"": {"admin"}, "org:administrator,billing": {"administrator", "billing"}} {
		f := start(t, func(c *auth.Config) {
			*c = auth.Config{}
			require.NoError(t, settings.Load(func(name string) string {
				return map[string]string{"CLERK_ADMIN_ROLES": setting}[name]
			}, c))
			c.Issuer, c.JWTKey = authtest.Issuer, authtest.PEM(t, authtest.Key(0))
		})
		for _, role := range []string{"admin", "owner", "member", "administrator", "billing"} {
			for _, name := range []string{role, "org:" + role} {
				answer, err := f.authenticate(t, f.clerk.Token(t, time.Now(), org(name)))
				require.NoError(t, err)
				require.Equal(t, slices.Contains(admins, role), answer.GetIdentity().GetAdmin(), "%q with %q", name, setting)
			}
		}
		answer, err := f.authenticate(t, f.clerk.Token(t, time.Now(), nil))
		require.NoError(t, err)
		require.True(t, answer.GetIdentity().GetAdmin(), "the owner of a personal account")
	}
}

func TestRoleChanges(t *testing.T) {
	f := start(t, nil)
	token := f.clerk.Token(t, time.Now().Add(-10*time.Second), org("admin"))
	key := f.newKey(t, f.as(t, token), &authv1.CreateApiKeyRequest{})
	changed, err := f.Store().PutMembership(t.Context(), directory.Membership{OrganizationID: "org_1", UserID: "user_1", Role: "member", Permissions: []string{"org:a:b"}, UpdateTime: time.Now()})
	require.NoError(t, err)
	require.True(t, changed)
	answer, err := f.authenticate(t, token)
	require.NoError(t, err)
	require.Equal(t, "member", answer.GetIdentity().GetRole(), "the token is older than the change")
	require.Equal(t, []string{"org:a:b"}, answer.GetIdentity().GetPermissions())
	answer, err = f.authenticate(t, f.clerk.Token(t, time.Now(), org("member")))
	require.NoError(t, err)
	require.Equal(t, "member", answer.GetIdentity().GetRole())
	answer, err = f.authenticate(t, key.GetSecret())
	require.NoError(t, err)
	require.Equal(t, "member", answer.GetIdentity().GetRole(), "a key keeps no rank that its maker lost")
}

func TestSessionRevoked(t *testing.T) {
	f := start(t, nil)
	token := f.clerk.Token(t, time.Now(), nil)
	_, err := f.authenticate(t, token)
	require.NoError(t, err)
	require.NoError(t, f.Store().Revoke(t.Context(), revocation.Revocation{SessionID: "sess_1"}, time.Now()))
	_, err = f.authenticate(t, token)
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN, err)
	_, err = f.authenticate(t, f.clerk.Token(t, time.Now(), map[string]any{"sid": "sess_2"}))
	require.NoError(t, err)
}

func TestRevocationEmptiesTheCache(t *testing.T) {
	f := start(t, nil)
	token := f.clerk.Token(t, time.Now(), nil)
	f.watch(t)
	require.Eventually(t, func() bool { // the cache is emptied once when its own watch begins
		_, err := f.authenticate(t, token)
		return err == nil && f.Verified().Len() == 1
	}, soon, tick)
	require.NoError(t, f.Store().Revoke(t.Context(), revocation.Revocation{UserID: "user_9"}, time.Now()))
	require.Eventually(t, func() bool { return f.Verified().Len() == 0 }, soon, tick)
}

func TestOperators(t *testing.T) {
	f := start(t, func(c *auth.Config) { c.Operators = []string{"user_1"} })
	answer, err := f.authenticate(t, f.clerk.Token(t, time.Now(), nil))
	require.NoError(t, err)
	require.True(t, answer.GetIdentity().GetOperator())
	answer, err = f.authenticate(t, f.clerk.Token(t, time.Now(), map[string]any{"sub": "user_2"}))
	require.NoError(t, err)
	require.False(t, answer.GetIdentity().GetOperator())
	answer, err = f.authenticate(t, f.clerk.Token(t, time.Now(), map[string]any{"act": map[string]any{"sub": "user_2"}}))
	require.NoError(t, err)
	require.False(t, answer.GetIdentity().GetOperator(), "impersonating an operator does not make an operator")
	require.Equal(t, "user_2", answer.GetIdentity().GetActorId())
}

// watch is a stream of revocations that a test reads.
type watch struct {
	grpc.ServerStream
	ctx  context.Context
	news chan *authv1.WatchRevocationsResponse
}

func (w *watch) Context() context.Context { return w.ctx }

func (w *watch) Send(m *authv1.WatchRevocationsResponse) error {
	w.news <- m
	return nil
}

func (f *fixture) watch(t *testing.T) *watch {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	w := &watch{ctx: ctx, news: make(chan *authv1.WatchRevocationsResponse, 16)}
	ended := make(chan error, 1)
	go func() { ended <- f.rpc.WatchRevocations(&authv1.WatchRevocationsRequest{}, w) }()
	t.Cleanup(func() {
		stop()
		require.Error(t, <-ended)
	})
	require.Empty(t, (<-w.news).GetRevocations(), "the first message says that the watch has begun")
	return w
}

func TestRevocationReachesEveryReplica(t *testing.T) {
	one := start(t, nil)
	two := startAt(t, one.database, func(c *auth.Config) { c.APIURL = mustParse(t, one.url) }, noop.Meter{})
	near, far := one.watch(t), two.watch(t)
	key := one.newKey(t, one.as(t, one.clerk.Token(t, time.Now(), nil)), &authv1.CreateApiKeyRequest{})
	_, err := two.authenticate(t, key.GetSecret())
	require.NoError(t, err)
	_, err = one.rpc.DeleteApiKey(one.as(t, one.clerk.Token(t, time.Now(), nil)), &authv1.DeleteApiKeyRequest{ApiKeyId: key.GetApiKey().GetId()})
	require.NoError(t, err)
	begin := time.Now()
	for _, w := range []*watch{near, far} {
		news := <-w.news
		require.Equal(t, key.GetApiKey().GetId(), news.GetRevocations()[0].GetApiKeyId())
		t.Logf("seen after %s", time.Since(begin))
	}
	_, err = two.authenticate(t, key.GetSecret())
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN, err)
}

func mustParse(t *testing.T, address string) *url.URL {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	return u
}
