package paging_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/paging"
)

func users(filters ...string) paging.List { return paging.List{Name: "users", Filters: filters} }

func TestTokenRoundTrip(t *testing.T) {
	at := time.Date(2026, 11, 23, 1, 2, 3, 4000, time.UTC)
	for _, want := range []paging.Cursor{
		{Time: at, ID: "user_1"}, {ID: "org_1", Second: "user_1"}, {ID: "\u00fc\"\x00"}, {},
	} {
		token := users("a@b.test").Token(want)
		if want == (paging.Cursor{}) {
			token = ""
		}
		got, err := users("a@b.test").Cursor(token)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

func TestTokenIsBoundToItsListAndFilters(t *testing.T) {
	token := users("a@b.test").Token(paging.Cursor{ID: "user_1"})
	for name, l := range map[string]paging.List{
		"other list": {Name: "organizations", Filters: []string{"a@b.test"}}, "other filter": users("c@d.test"),
		"no filter": users(), "more filters": users("a@b.test", ""), "filter before it": users("", "a@b.test"),
	} {
		_, err := l.Cursor(token)
		require.ErrorIs(t, err, paging.ErrToken, name)
	}
	split := users("a", "b").Token(paging.Cursor{ID: "user_1"})
	for _, filters := range [][]string{{"a\x00.b"}, {"a\x00", "b"}, {"a", "b", ""}, {"ab"}, {"b", "a"}} {
		_, err := users(filters...).Cursor(split)
		require.ErrorIs(t, err, paging.ErrToken, "%q", filters)
	}
}

func TestForgedTokensAreInvalid(t *testing.T) {
	token := users("a@b.test").Token(paging.Cursor{ID: "user_1"})
	forge := func(change func(string) string) string {
		raw, err := base64.RawURLEncoding.DecodeString(token)
		require.NoError(t, err)
		return base64.RawURLEncoding.EncodeToString([]byte(change(string(raw))))
	}
	for name, bad := range map[string]string{
		"no base64": "!", "short": "AAAA", "padded": token + "==", "cut": token[:len(token)-3], "fingerprint alone": token[:11],
		"unknown field": forge(func(s string) string { return strings.Replace(s, "}", `,"x":1}`, 1) }),
		"no id":         forge(func(s string) string { return strings.Replace(s, "user_1", "", 1) }),
		"two objects":   forge(func(s string) string { return s + "{}" }),
		"negative time": forge(func(s string) string { return strings.Replace(s, "{", `{"t":-1,`, 1) }),
	} {
		_, err := users("a@b.test").Cursor(bad)
		require.ErrorIs(t, err, paging.ErrToken, name)
	}
}

func TestOneErrorTextForAllLists(t *testing.T) {
	_, err := users().Cursor("abc")
	e := errs.From(err)
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, e.Reason)
	require.Equal(t, "The page token is invalid.", e.Message)
	require.Len(t, e.Fields, 1)
	require.Equal(t, "pageToken", e.Fields[0].Name)
	require.Contains(t, e.Fields[0].Problem, "leave it empty for the first page")
}

func TestCut(t *testing.T) {
	cursor := func(id string) paging.Cursor { return paging.Cursor{ID: id} }
	got, next := paging.Cut(users(), []string{"a", "b", "c"}, 2, cursor)
	require.Equal(t, []string{"a", "b"}, got)
	require.Equal(t, users().Token(paging.Cursor{ID: "b"}), next)
	got, next = paging.Cut(users(), []string{"a", "b"}, 2, cursor)
	require.Equal(t, []string{"a", "b"}, got)
	require.Empty(t, next)
}

func TestSizes(t *testing.T) {
	for asked, want := range map[int32]int{-1: 50, 0: 50, 1: 1, 499: 499, 500: 500, 501: 500, 1 << 30: 500} {
		require.Equal(t, want, paging.Size(asked), asked)
	}
}

func FuzzToken(f *testing.F) {
	f.Add(users().Token(paging.Cursor{ID: "user_1", Time: time.Unix(1, 0)}))
	f.Add("")
	f.Fuzz(func(t *testing.T, token string) {
		c, err := users().Cursor(token)
		if err != nil {
			require.ErrorIs(t, err, paging.ErrToken)
			return
		}
		if token != "" {
			again, err := users().Cursor(users().Token(c))
			require.NoError(t, err)
			require.Equal(t, c, again)
		}
	})
}
