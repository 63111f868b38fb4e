package auth_test

import (
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric/noop"
	"google.golang.org/protobuf/types/known/timestamppb"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/auth"
)

func TestSignInAndMe(t *testing.T) {
	f := start(t, func(c *auth.Config) { c.Operators = []string{"user_1"} })
	token := f.clerk.Token(t, time.Now(), map[string]any{
		"email": "ada@example.test", "firstName": "Ada",
		"o": map[string]any{"id": "org_1", "slg": "acme", "rol": "admin", "per": "read,manage", "fpm": "3,1"}, "fea": "o:billing,u:x,o:seats",
	})
	answer, err := f.authenticate(t, token)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(time.Minute), answer.GetExpireTime().AsTime(), 3*time.Second)
	for _, audience := range []string{"auth", "ai", "billing"} {
		claims, err := f.verifier.Verify(answer.GetPassports()[audience], audience)
		require.NoError(t, err)
		require.Equal(t, "user_1", claims.UserID)
		require.Equal(t, "org_1", claims.AccountID)
		require.Equal(t, "admin", claims.Role)
		require.Equal(t, []string{"org:billing:read", "org:billing:manage", "org:seats:read"}, claims.Permissions)
		require.True(t, claims.Operator)
	}
	me, err := f.rpc.GetMe(f.as(t, token), &authv1.GetMeRequest{})
	require.NoError(t, err)
	require.Equal(t, "ada@example.test", me.GetUser().GetPrimaryEmail())
	require.Equal(t, "Ada", me.GetUser().GetFirstName())
	require.Contains(t, me.GetIdentity().GetScopes(), "billing.write")
}

func TestPersonalAccount(t *testing.T) {
	f := start(t, nil)
	answer, err := f.authenticate(t, f.clerk.Token(t, time.Now(), nil))
	require.NoError(t, err)
	require.Equal(t, "user_1", answer.GetIdentity().GetAccountId())
	require.Equal(t, "owner", answer.GetIdentity().GetRole())
}

func TestPassportNeverOutlivesTheToken(t *testing.T) {
	f := start(t, nil)
	end := time.Now().Unix() + 3
	answer, err := f.authenticate(t, f.clerk.Token(t, time.Now(), map[string]any{"exp": end}))
	require.NoError(t, err)
	require.Equal(t, end, answer.GetExpireTime().AsTime().Unix())
	claims, err := f.verifier.Verify(answer.GetPassports()["ai"], "ai")
	require.NoError(t, err)
	require.Equal(t, end, claims.ExpireTime.Unix())
}

// A credential that ends while its owner is looked up is refused like one that ended before: passports are made by a clock that
// shows how late it is then.
func TestCredentialsThatEndDuringTheLookUp(t *testing.T) {
	var late atomic.Int64
	issuing := func() time.Time { return time.Now().Add(time.Duration(late.Load())) }
	f := startBy(t, settings.NewSecret("sqlite://"+t.TempDir()), nil, noop.Meter{}, issuing)
	session := f.clerk.Token(t, time.Now(), map[string]any{"exp": time.Now().Unix() + 30})
	key := f.newKey(t, f.as(t, session), &authv1.CreateApiKeyRequest{ExpireTime: timestamppb.New(time.Now().Add(30 * time.Second))})
	for name, credential := range map[string]string{"session": session, "key": key.GetSecret()} {
		late.Store(0)
		_, err := f.authenticate(t, credential)
		require.NoError(t, err, name)
		late.Store(int64(40 * time.Second))
		_, err = f.authenticate(t, credential)
		e := errs.From(err)
		require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN, e.Reason, "%s: %v", name, err)
		require.Equal(t, "Invalid token", e.Message)
	}
}

func TestBadTokensLookAlike(t *testing.T) {
	f := start(t, nil)
	for name, token := range map[string]string{
		"garbage": "abc", "expired": f.clerk.Token(t, time.Now().Add(-time.Hour), nil),
		"foreign": f.clerk.Token(t, time.Now(), map[string]any{"iss": "https://clerk.evil.test"}),
	} {
		_, err := f.authenticate(t, token)
		require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN, errs.ReasonOf(err), name)
		require.Equal(t, "Invalid token", errs.From(err).Message, name)
	}
}

func TestClerkDownWithoutAKeyIsUnavailable(t *testing.T) {
	f := start(t, func(c *auth.Config) { c.APIURL, _ = url.Parse("http://127.0.0.1:1") })
	_, err := f.authenticate(t, f.clerk.Token(t, time.Now(), nil))
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, errs.ReasonOf(err))
	require.Positive(t, errs.From(err).RetryAfter)
	require.Error(t, f.Checks()["clerk_keys"](t.Context()))
}

func TestNewNamesEveryMissingSetting(t *testing.T) {
	var config auth.Config
	require.NoError(t, settings.Load(func(string) string { return "" }, &config))
	_, err := auth.New(t.Context(), config, auth.Deps{})
	require.ErrorContains(t, err, "CLERK_ISSUER")
	require.ErrorContains(t, err, "CLERK_SECRET_KEY")
}
