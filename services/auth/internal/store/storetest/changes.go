package storetest

import (
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/services/auth/internal/apikey"
)

// limitsOf returns the limits of the keys of org_1, by id.
func limitsOf(t *testing.T, s Store) map[string]apikey.Limits {
	t.Helper()
	all, err := s.Keys(t.Context(), "org_1", first, 100)
	require.NoError(t, err)
	limits := map[string]apikey.Limits{}
	for _, k := range all {
		limits[k.ID] = k.Limits
	}
	return limits
}

// addLimited adds a key of org_1 with limits.
func addLimited(t *testing.T, s Store, id, parent string, limits apikey.Limits) {
	t.Helper()
	k := key(id, "org_1", 1)
	k.ParentID, k.Limits = parent, limits
	require.NoError(t, s.AddKey(t.Context(), k, []byte(id), maxKeys))
}

// apiKeyChanged: a change of a key's limits reaches the keys that it made, and every replica hears of each of them.
func apiKeyChanged(t *testing.T, open Open) {
	woken := 0
	s := open(t, func() { woken++ })
	ctx := t.Context()
	high := apikey.Limits{RequestsPerMinute: 100, RequestsPerDay: 200, TokensPerMinute: 300, ConcurrentStreams: 400}
	low := apikey.Limits{RequestsPerMinute: 10, RequestsPerDay: 20, TokensPerMinute: 30, ConcurrentStreams: 40}
	mixed := apikey.Limits{RequestsPerMinute: 50, TokensPerMinute: 300, ConcurrentStreams: 1}
	for _, k := range []struct {
		id, parent string
		limits     apikey.Limits
	}{
		{"top", "", high},
		{"child", "top", high},
		{"grandchild", "child", mixed},
		{"free", "top", apikey.Limits{}},
		{"low", "top", low},
		{"revoked", "top", high},
		{"stranger", "", high},
	} {
		addLimited(t, s, k.id, k.parent, k.limits)
	}
	require.NoError(t, s.RevokeKey(ctx, "org_1", "revoked", at(1)))
	before, err := s.Revision(ctx)
	require.NoError(t, err)

	next := apikey.Limits{RequestsPerMinute: 60, RequestsPerDay: 0, TokensPerMinute: 250, ConcurrentStreams: 400}
	got, err := s.UpdateKey(ctx, "org_1", "top", "grandchild", func(key, caller []apikey.Key) (apikey.Key, error) {
		require.Equal(t, []string{"top"}, keyIDs(key))
		require.Equal(t, high, key[0].Limits)
		require.Equal(t, []string{"grandchild", "child", "top"}, keyIDs(caller))
		k := key[0]
		k.Name, k.Limits, k.UserID, k.Scopes = "renamed", next, "user_9", nil
		return k, nil
	})
	require.NoError(t, err)
	want := key("top", "org_1", 1)
	want.Name, want.Limits = "renamed", next
	same(t, want, got)
	require.Equal(t, map[string]apikey.Limits{
		"top":        next,
		"child":      {RequestsPerMinute: 60, RequestsPerDay: 200, TokensPerMinute: 250, ConcurrentStreams: 400},
		"grandchild": {RequestsPerMinute: 50, TokensPerMinute: 250, ConcurrentStreams: 1},
		"free":       {}, "low": low, "revoked": high, "stranger": high,
	}, limitsOf(t, s))
	news, err := s.Since(ctx, before, 100)
	require.NoError(t, err)
	told := map[string]bool{}
	for _, r := range news {
		told[r.APIKeyID] = true
	}
	require.Len(t, news, 5)
	require.Equal(t, map[string]bool{"top": true, "child": true, "grandchild": true, "free": true, "low": true}, told)
	require.Equal(t, 2, woken)

	_, err = s.UpdateKey(ctx, "org_1", "child", "", func(key, caller []apikey.Key) (apikey.Key, error) {
		require.Empty(t, caller)
		k := key[0]
		k.Name = "only the name"
		return k, nil
	})
	require.NoError(t, err)
	after, err := s.Revision(ctx)
	require.NoError(t, err)
	require.Equal(t, before+5, after, "a name is in no cache")

	refused := errors.New("refused")
	_, err = s.UpdateKey(ctx, "org_1", "child", "", func(key, _ []apikey.Key) (apikey.Key, error) { return apikey.Key{}, refused })
	require.ErrorIs(t, err, refused)
	kept, err := s.KeyByID(ctx, "org_1", "child")
	require.NoError(t, err)
	require.Equal(t, "only the name", kept.Name)

	none := func(_, _ []apikey.Key) (apikey.Key, error) { return apikey.Key{}, errors.New("must not be asked") }
	for _, c := range []struct{ account, id, caller string }{{"org_2", "top", ""}, {"org_1", "key_9", ""}, {"org_1", "top", "key_9"}} {
		_, err = s.UpdateKey(ctx, c.account, c.id, c.caller, none)
		require.ErrorIs(t, err, apikey.ErrNotFound)
	}
}

// apiKeyAboveItsParent: whichever of the two comes first, a new child or a lower limit of its parent, the child is not above it.
func apiKeyAboveItsParent(t *testing.T, open Open) {
	s := open(t, nil)
	ctx := t.Context()
	addLimited(t, s, "parent", "", apikey.Limits{RequestsPerMinute: 10})
	addLimited(t, s, "middle", "parent", apikey.Limits{})
	above := key("above", "org_1", 1)
	above.ParentID, above.Limits = "middle", apikey.Limits{RequestsPerMinute: 11}
	err := s.AddKey(ctx, above, []byte("above"), maxKeys)
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, errs.ReasonOf(err))
	require.Equal(t, "requestsPerMinute", errs.From(err).Fields[0].Name)

	const children = 8
	var all sync.WaitGroup
	results := make([]error, children)
	for n := range children {
		all.Go(func() {
			id := "child_" + string(rune('a'+n))
			k := key(id, "org_1", 1)
			k.ParentID, k.Limits = "parent", apikey.Limits{RequestsPerMinute: 10}
			results[n] = s.AddKey(ctx, k, []byte(id), maxKeys)
		})
	}
	all.Go(func() {
		_, err := s.UpdateKey(ctx, "org_1", "parent", "", func(key, _ []apikey.Key) (apikey.Key, error) {
			k := key[0]
			k.RequestsPerMinute = 5
			return k, nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	all.Wait()
	for _, err := range results {
		if err != nil {
			require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, errs.ReasonOf(err), "%v", err)
		}
	}
	for id, limits := range limitsOf(t, s) {
		require.LessOrEqual(t, limits.RequestsPerMinute, int32(5), id)
	}
}
