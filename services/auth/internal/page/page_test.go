package page_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/auth/internal/page"
)

func users(filters ...string) page.List { return page.List{Name: "users", Filters: filters} }

func TestTokenRoundTrip(t *testing.T) {
	at := time.Date(2026, 11, 23, 1, 2, 3, 4000, time.UTC)
	for _, want := range []page.Cursor{
		{Time: at, ID: "user_1"}, {ID: "org_1", Second: "user_1"}, {ID: "\u00fc\"\x00"}, {},
	} {
		token := users("a@b.test").Token(want)
		if want == (page.Cursor{}) {
			token = ""
		}
		got, err := users("a@b.test").Cursor(token)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

func TestTokenIsForOneList(t *testing.T) {
	token := users("a@b.test").Token(page.Cursor{ID: "user_1"})
	for name, l := range map[string]page.List{
		"other list": {Name: "organizations", Filters: []string{"a@b.test"}}, "other filter": users("c@d.test"),
		"no filter": users(), "more filters": users("a@b.test", ""),
	} {
		_, err := l.Cursor(token)
		require.ErrorIs(t, err, page.ErrToken, name)
	}
	forge := func(change func(string) string) string {
		raw, err := base64.RawURLEncoding.DecodeString(token)
		require.NoError(t, err)
		return base64.RawURLEncoding.EncodeToString([]byte(change(string(raw))))
	}
	for name, bad := range map[string]string{
		"no base64": "!", "short": "AAAA", "padded": token + "==", "cut": token[:len(token)-3],
		"unknown field": forge(func(s string) string { return strings.Replace(s, "}", `,"x":1}`, 1) }),
		"no id":         forge(func(s string) string { return strings.Replace(s, "user_1", "", 1) }),
		"two objects":   forge(func(s string) string { return s + "{}" }),
		"negative time": forge(func(s string) string { return strings.Replace(s, "{", `{"t":-1,`, 1) }),
	} {
		_, err := users("a@b.test").Cursor(bad)
		require.ErrorIs(t, err, page.ErrToken, name)
	}
}

func TestCut(t *testing.T) {
	cursor := func(id string) page.Cursor { return page.Cursor{ID: id} }
	got, next := page.Cut(users(), []string{"a", "b", "c"}, 2, cursor)
	require.Equal(t, []string{"a", "b"}, got)
	require.Equal(t, users().Token(page.Cursor{ID: "b"}), next)
	got, next = page.Cut(users(), []string{"a", "b"}, 2, cursor)
	require.Equal(t, []string{"a", "b"}, got)
	require.Empty(t, next)
	require.Equal(t, 50, page.Size(0))
	require.Equal(t, 7, page.Size(7))
	require.Equal(t, 500, page.Size(500))
	require.Equal(t, 500, page.Size(501), "a larger size is treated as the maximum")
}

func FuzzToken(f *testing.F) {
	f.Add(users().Token(page.Cursor{ID: "user_1", Time: time.Unix(1, 0)}))
	f.Add("")
	f.Fuzz(func(t *testing.T, token string) {
		c, err := users().Cursor(token)
		if err != nil {
			require.ErrorIs(t, err, page.ErrToken)
			return
		}
		if token != "" {
			again, err := users().Cursor(users().Token(c))
			require.NoError(t, err)
			require.Equal(t, c, again)
		}
	})
}
