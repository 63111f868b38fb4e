package apikey_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/auth/internal/apikey"
)

// TestTheEndOfAKey covers the four cases of a key that is revoked, that expires, or both.
func TestTheEndOfAKey(t *testing.T) {
	early, late := time.Unix(100, 0), time.Unix(200, 0)
	for name, tc := range map[string]struct{ revoke, expire, want time.Time }{
		"neither":                 {},
		"expires":                 {expire: late, want: late},
		"revoked":                 {revoke: early, want: early},
		"revoked before it ends":  {revoke: early, expire: late, want: early},
		"revoked after its end":   {revoke: late, expire: early, want: early},
		"revoked at its very end": {revoke: late, expire: late, want: late},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, tc.want, apikey.Key{RevokeTime: tc.revoke, ExpireTime: tc.expire}.End())
		})
	}
}

func TestTheEndOfAVerifiedKey(t *testing.T) {
	early, late := time.Unix(100, 0), time.Unix(200, 0)
	ending := func(at time.Time) apikey.Key { return apikey.Key{ExpireTime: at} }
	for name, tc := range map[string]struct {
		key       apikey.Key
		ancestors []apikey.Key
		want      time.Time
	}{
		"none ends":                  {ending(time.Time{}), []apikey.Key{ending(time.Time{})}, time.Time{}},
		"only the key":               {ending(late), []apikey.Key{ending(time.Time{}), ending(time.Time{})}, late},
		"only its parent":            {ending(time.Time{}), []apikey.Key{ending(late), ending(time.Time{})}, late},
		"its grandparent is first":   {ending(late), []apikey.Key{ending(late), ending(early)}, early},
		"its parent is first":        {ending(late), []apikey.Key{ending(early), ending(late)}, early},
		"an ancestor without an end": {ending(early), []apikey.Key{ending(late), ending(time.Time{})}, early},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, tc.want, apikey.Verified{Key: tc.key, Ancestors: tc.ancestors}.End())
		})
	}
}
