package auth_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/passport"
)

// TestAPIKeyUpdate: a change counts at once, for the key and for the keys that it made, and every replica hears of it.
func TestAPIKeyUpdate(t *testing.T) {
	f := start(t, nil)
	session := f.as(t, f.clerk.Token(t, time.Now(), nil))
	top := f.newKey(t, session, &authv1.CreateApiKeyRequest{
		Name: "old", Scopes: []string{"keys.manage", "ai.invoke"}, RequestsPerMinute: 50, RequestsPerDay: 500, TokensPerMinute: 5000, ConcurrentStreams: 5,
	})
	child := f.newKey(t, f.as(t, top.GetSecret()), &authv1.CreateApiKeyRequest{Name: "child", Scopes: []string{"ai.invoke"}, RequestsPerMinute: 40})
	id, childID := top.GetApiKey().GetId(), child.GetApiKey().GetId()
	w := f.watch(t)

	answer, err := f.rpc.UpdateApiKey(session, &authv1.UpdateApiKeyRequest{
		ApiKeyId: id, Name: proto.String(" new "), RequestsPerMinute: proto.Int32(30), RequestsPerDay: proto.Int32(0), ConcurrentStreams: proto.Int32(2),
	})
	require.NoError(t, err)
	want := proto.CloneOf(top.GetApiKey())
	want.Name, want.RequestsPerMinute, want.RequestsPerDay, want.ConcurrentStreams = "new", 30, 0, 2
	want.LastUseTime = answer.GetApiKey().GetLastUseTime()
	require.True(t, proto.Equal(want, answer.GetApiKey()), "%v", answer)
	told := map[string]bool{}
	for len(told) < 2 {
		for _, r := range (<-w.news).GetRevocations() {
			told[r.GetApiKeyId()] = true
		}
	}
	require.Equal(t, map[string]bool{id: true, childID: true}, told)

	claims := f.claimsOf(t, top.GetSecret())
	require.Equal(t, []int32{30, 0, 5000, 2}, []int32{claims.RequestsPerMinute, claims.RequestsPerDay, claims.TokensPerMinute, claims.ConcurrentStreams})
	claims = f.claimsOf(t, child.GetSecret())
	require.EqualValues(t, 30, claims.RequestsPerMinute, "lowered with its parent")
	require.Equal(t, []passport.KeyLimit{{APIKeyID: id, RequestsPerMinute: 30, TokensPerMinute: 5000, ConcurrentStreams: 2}}, claims.ParentLimits)

	masked, err := f.rpc.UpdateApiKey(session, &authv1.UpdateApiKeyRequest{
		ApiKeyId: id, Name: proto.String("not named"), RequestsPerMinute: proto.Int32(20), RequestsPerDay: proto.Int32(21),
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"requests_per_minute", "requests_per_day", "concurrent_streams"}},
	})
	require.NoError(t, err)
	k := masked.GetApiKey()
	require.Equal(t, "new", k.GetName(), "a field that the mask does not name stays")
	require.Equal(t, []int32{20, 21, 5000, 0}, []int32{k.GetRequestsPerMinute(), k.GetRequestsPerDay(), k.GetTokensPerMinute(), k.GetConcurrentStreams()})
	masked, err = f.rpc.UpdateApiKey(session, &authv1.UpdateApiKeyRequest{
		ApiKeyId: id, Name: proto.String("masked"), TokensPerMinute: proto.Int32(5001), UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"name", "tokens_per_minute"}},
	})
	require.NoError(t, err)
	require.Equal(t, "masked", masked.GetApiKey().GetName())
	require.EqualValues(t, 5001, masked.GetApiKey().GetTokensPerMinute())
	_, err = f.rpc.UpdateApiKey(session, &authv1.UpdateApiKeyRequest{ApiKeyId: id, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"name", "scopes"}}})
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, err)
	require.Equal(t, "updateMask", errs.From(err).Fields[0].Name)

	list, err := f.rpc.ListApiKeys(session, &authv1.ListApiKeysRequest{})
	require.NoError(t, err)
	require.Equal(t, "masked", list.GetApiKeys()[1].GetName())
	require.EqualValues(t, 5001, list.GetApiKeys()[1].GetTokensPerMinute())
}

// claimsOf are what a key's passport says.
func (f *fixture) claimsOf(t *testing.T, secret string) *passport.Claims {
	t.Helper()
	answer, err := f.authenticate(t, secret)
	require.NoError(t, err)
	claims, err := f.verifier.Verify(answer.GetPassports()["ai"], "ai")
	require.NoError(t, err)
	return claims
}

func TestAPIKeyUpdateIsRefused(t *testing.T) {
	f := start(t, nil)
	session := f.as(t, f.clerk.Token(t, time.Now(), nil))
	key := f.newKey(t, session, &authv1.CreateApiKeyRequest{Name: "x", Scopes: []string{"keys.manage", "ai.invoke"}, RequestsPerMinute: 10})
	over := f.newKey(t, session, &authv1.CreateApiKeyRequest{Name: "x"})
	_, err := f.rpc.DeleteApiKey(session, &authv1.DeleteApiKeyRequest{ApiKeyId: over.GetApiKey().GetId()})
	require.NoError(t, err)
	organization := f.as(t, f.clerk.Token(t, time.Now(), org("admin"))) // the same person in another account
	impersonated := f.as(t, f.clerk.Token(t, time.Now(), map[string]any{"act": map[string]any{"sub": "user_2"}}))
	id := key.GetApiKey().GetId()
	for name, c := range map[string]struct {
		do   func() error
		want errorsv1.ErrorReason
	}{
		"another account's": {func() error {
			_, err := f.rpc.UpdateApiKey(organization, &authv1.UpdateApiKeyRequest{ApiKeyId: id})
			return err
		}, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND},
		"revoked": {func() error {
			_, err := f.rpc.UpdateApiKey(session, &authv1.UpdateApiKeyRequest{ApiKeyId: over.GetApiKey().GetId()})
			return err
		}, errorsv1.ErrorReason_ERROR_REASON_CONFLICT},
		"impersonated": {func() error {
			_, err := f.rpc.UpdateApiKey(impersonated, &authv1.UpdateApiKeyRequest{ApiKeyId: id})
			return err
		}, errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED},
		"by itself": {func() error {
			_, err := f.rpc.UpdateApiKey(f.as(t, key.GetSecret()), &authv1.UpdateApiKeyRequest{ApiKeyId: id, RequestsPerMinute: proto.Int32(11)})
			return err
		}, errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED},
		"out of range": {func() error {
			_, err := f.rpc.UpdateApiKey(session, &authv1.UpdateApiKeyRequest{ApiKeyId: id, ConcurrentStreams: proto.Int32(100_001)})
			return err
		}, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT},
	} {
		t.Run(name, func(t *testing.T) { requireReason(t, c.want, c.do()) })
	}
	require.Contains(t, errs.From(func() error {
		_, err := f.rpc.UpdateApiKey(session, &authv1.UpdateApiKeyRequest{ApiKeyId: over.GetApiKey().GetId()})
		return err
	}()).Message, "revoked or expired")
	require.EqualValues(t, 10, f.claimsOf(t, key.GetSecret()).RequestsPerMinute)
}
