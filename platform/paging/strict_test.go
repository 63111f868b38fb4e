package paging_test

import (
	"encoding/base64"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/paging"
)

// One cursor has one token: text that decodes to the same bytes in a lenient way was not issued.
func TestOnlyTheIssuedTextIsAToken(t *testing.T) {
	list := paging.List{Name: "users"}
	variants := 0
	for _, id := range []string{"a", "ab", "abc"} {
		token := list.Token(paging.Cursor{ID: id})
		want, err := base64.RawURLEncoding.DecodeString(token)
		require.NoError(t, err)
		for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
			other := token[:len(token)-1] + string(c)
			if raw, err := base64.RawURLEncoding.DecodeString(other); other == token || err != nil || string(raw) != string(want) {
				continue
			}
			variants++
			_, err := list.Cursor(other)
			require.ErrorIs(t, err, paging.ErrToken)
		}
	}
	require.NotZero(t, variants)
}
