package apikey_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/services/auth/internal/apikey"
)

// keyFamily makes a tree of keys: top made middle, which made bottom; a person made the limited and the free one.
func keyFamily(t *testing.T) (*apikey.Manager, map[string]apikey.Key) {
	t.Helper()
	k, _ := manager(t, newMemory(), first)
	all := map[string]apikey.Key{}
	add := func(name, parent string, limits apikey.Limits) {
		key, _, err := k.Create(t.Context(), apikey.Maker{AccountID: "a", UserID: "u", APIKeyID: all[parent].ID}, apikey.Spec{
			Name: name, Scopes: []string{apikey.ScopeManageKeys}, Limits: limits,
		})
		require.NoError(t, err)
		all[name] = key
	}
	add("top", "", apikey.Limits{RequestsPerMinute: 20, TokensPerMinute: 1000})
	add("middle", "top", apikey.Limits{RequestsPerMinute: 10})
	add("bottom", "middle", apikey.Limits{})
	add("limited", "", apikey.Limits{RequestsPerMinute: 5, RequestsPerDay: 50, TokensPerMinute: 500, ConcurrentStreams: 2})
	add("free", "", apikey.Limits{})
	return k, all
}

func TestWhoMayChangeWhichLimit(t *testing.T) {
	one := func(n int32) *int32 { return &n }
	minute := func(n int32) apikey.Change { return apikey.Change{RequestsPerMinute: one(n)} }
	minutes := []string{"requestsPerMinute"}
	for name, tc := range map[string]struct {
		by, key string // by is empty for a person
		change  apikey.Change
		want    []string // the fields that are refused
	}{
		"a person raises":                            {"", "limited", minute(900), nil},
		"a person removes":                           {"", "limited", minute(0), nil},
		"a person sets a limit of the day":           {"", "free", apikey.Change{RequestsPerDay: one(7)}, nil},
		"a child as high as its parent":              {"", "middle", minute(20), nil},
		"a child above its parent":                   {"", "middle", minute(21), minutes},
		"a child without a limit of its own":         {"", "middle", minute(0), nil},
		"a grandchild above its grandparent":         {"", "bottom", apikey.Change{TokensPerMinute: one(1001)}, []string{"tokensPerMinute"}},
		"a grandchild as high as its grandparent":    {"", "bottom", apikey.Change{TokensPerMinute: one(1000)}, nil},
		"a grandchild above the nearest limit":       {"", "bottom", minute(11), minutes},
		"a key lowers its own":                       {"limited", "limited", minute(4), nil},
		"a key keeps its own":                        {"limited", "limited", minute(5), nil},
		"a key raises its own":                       {"limited", "limited", minute(6), minutes},
		"a key removes its own":                      {"limited", "limited", minute(0), minutes},
		"a key raises its own of the day":            {"limited", "limited", apikey.Change{RequestsPerDay: one(51)}, []string{"requestsPerDay"}},
		"a key raises its own tokens":                {"limited", "limited", apikey.Change{TokensPerMinute: one(501)}, []string{"tokensPerMinute"}},
		"a key raises its own streams":               {"limited", "limited", apikey.Change{ConcurrentStreams: one(3)}, []string{"concurrentStreams"}},
		"a key removes all its own":                  {"limited", "limited", apikey.Change{RequestsPerMinute: one(0), RequestsPerDay: one(0), TokensPerMinute: one(0), ConcurrentStreams: one(0)}, []string{"requestsPerMinute", "requestsPerDay", "tokensPerMinute", "concurrentStreams"}},
		"a key limits another as itself":             {"limited", "free", minute(5), nil},
		"a key limits another above itself":          {"limited", "free", minute(6), minutes},
		"a key leaves another without a limit":       {"limited", "free", minute(0), nil},
		"a key removes another's limit":              {"limited", "top", minute(0), minutes},
		"a key lowers another's limit":               {"limited", "top", minute(5), nil},
		"a key without a limit raises another's":     {"free", "limited", minute(1000), nil},
		"a key without a limit removes another's":    {"free", "limited", minute(0), nil},
		"a key without a limit limits itself":        {"free", "free", minute(1), nil},
		"a child raises its parent's limit":          {"middle", "top", minute(21), minutes},
		"a child removes its parent's limit":         {"middle", "top", minute(0), minutes},
		"a grandchild frees its grandparent":         {"bottom", "top", apikey.Change{TokensPerMinute: one(0)}, []string{"tokensPerMinute"}},
		"a child without own limits frees another":   {"bottom", "limited", apikey.Change{TokensPerMinute: one(0)}, []string{"tokensPerMinute"}},
		"a child gives another its parent's limit":   {"bottom", "free", minute(10), nil},
		"a child gives another more than its parent": {"bottom", "free", minute(11), minutes},
		"a key renames another":                      {"limited", "top", apikey.Change{Name: new("renamed")}, nil},
		"a parent raises its child":                  {"top", "middle", minute(20), nil},
		"nothing":                                    {"limited", "top", apikey.Change{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			k, all := keyFamily(t)
			before := all[tc.key]
			got, err := k.Update(t.Context(), apikey.Maker{AccountID: "a", UserID: "u", APIKeyID: all[tc.by].ID}, before.ID, tc.change)
			require.Equal(t, tc.want, refusedFields(t, errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, err))
			if err != nil {
				return
			}
			want := before
			for into, value := range map[*int32]*int32{
				&want.RequestsPerMinute: tc.change.RequestsPerMinute, &want.RequestsPerDay: tc.change.RequestsPerDay,
				&want.TokensPerMinute: tc.change.TokensPerMinute, &want.ConcurrentStreams: tc.change.ConcurrentStreams,
			} {
				if value != nil {
					*into = *value
				}
			}
			if tc.change.Name != nil {
				want.Name = *tc.change.Name
			}
			require.Equal(t, want, got, "nothing else changed")
		})
	}
}

func TestWhatAChangeMayBe(t *testing.T) {
	k, all := keyFamily(t)
	person := apikey.Maker{AccountID: "a", UserID: "u"}
	for name, tc := range map[string]struct {
		change apikey.Change
		want   []string
	}{
		"a name with space around it": {apikey.Change{Name: new(" reports ")}, nil},
		"a blank name":                {apikey.Change{Name: new(" \t")}, []string{"name"}},
		"a line break in the name":    {apikey.Change{Name: new("a\nb")}, []string{"name"}},
		"the highest limits":          {apikey.Change{nil, new(int32(1_000_000)), new(int32(1_000_000_000)), new(int32(1_000_000_000)), new(int32(100_000))}, nil},
		"higher limits":               {apikey.Change{nil, new(int32(1_000_001)), new(int32(1_000_000_001)), new(int32(1_000_000_001)), new(int32(100_001))}, []string{"requestsPerMinute", "requestsPerDay", "tokensPerMinute", "concurrentStreams"}},
		"negative limits":             {apikey.Change{nil, new(int32(-1)), new(int32(-1)), new(int32(-1)), new(int32(-1))}, []string{"requestsPerMinute", "requestsPerDay", "tokensPerMinute", "concurrentStreams"}},
	} {
		got, err := k.Update(t.Context(), person, all["free"].ID, tc.change)
		require.Equal(t, tc.want, refusedFields(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, err), name)
		if err == nil && tc.change.Name != nil {
			require.Equal(t, "reports", got.Name)
		}
	}
	_, err := k.Update(t.Context(), person, "key_9", apikey.Change{})
	require.ErrorIs(t, err, apikey.ErrNotFound)
	_, err = k.Update(t.Context(), apikey.Maker{AccountID: "a", UserID: "u", ActorID: "admin"}, all["free"].ID, apikey.Change{})
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, errs.ReasonOf(err), "an impersonated session")
}

// TestAKeyThatEndedCannotBeChanged, nor can a key that ended change another.
func TestAKeyThatEndedCannotBeChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		k, _ := manager(t, m, first)
		person := apikey.Maker{AccountID: "a", UserID: "u"}
		add := func(key apikey.Key) {
			require.NoError(t, m.AddKey(t.Context(), key, []byte(key.ID), 0))
		}
		now := time.Now()
		add(apikey.Key{ID: "expired", ExpireTime: now})
		add(apikey.Key{ID: "child", ParentID: "expired"})
		add(apikey.Key{ID: "revoked", RevokeTime: now.Add(time.Second)}) // by a replica whose clock is ahead
		add(apikey.Key{ID: "live", ExpireTime: now.Add(1)})
		for _, id := range []string{"expired", "child", "revoked"} {
			_, err := k.Update(t.Context(), person, id, apikey.Change{Name: new("x")})
			require.ErrorIs(t, err, apikey.ErrEnded, id)
			by := person
			by.APIKeyID = id
			_, err = k.Update(t.Context(), by, "live", apikey.Change{Name: new("x")})
			require.ErrorIs(t, err, apikey.ErrParentEnded, id)
		}
		_, err := k.Update(t.Context(), person, "live", apikey.Change{Name: new("x")})
		require.NoError(t, err)
	})
}
