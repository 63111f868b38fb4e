package apikey

import (
	"bytes"
	"crypto/rand"
	"hash/crc32"
	"math/big"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestSecretForm(t *testing.T) {
	zero, visible, err := newSecret(Live, bytes.NewReader(make([]byte, 32)))
	require.NoError(t, err)
	require.Equal(t, "tvt_live_"+strings.Repeat("0", 43), zero[:52])
	require.Equal(t, "tvt_live_0000", visible)

	// What a scanner does, written out: match, then compare the CRC-32 of all but the last six characters.
	pattern := regexp.MustCompile("^" + Pattern + "$")
	seen := map[string]bool{}
	for range 100 {
		secret, visible, err := newSecret(Test, rand.Reader)
		require.NoError(t, err)
		require.Regexp(t, pattern, secret)
		require.Equal(t, secret[:13], visible)
		require.False(t, seen[secret])
		seen[secret] = true
		sum, ok := new(big.Int), true
		for _, c := range secret[len(secret)-6:] {
			at := strings.IndexRune(digits, c)
			ok = ok && at >= 0
			sum.Add(sum.Mul(sum, big.NewInt(62)), big.NewInt(int64(at)))
		}
		require.True(t, ok)
		require.EqualValues(t, crc32.ChecksumIEEE([]byte(secret[:len(secret)-6])), sum.Uint64())
		require.Empty(t, check(secret, Test))
		require.Equal(t, VerdictMode, check(secret, Live))
		live, _, err := newSecret(Live, rand.Reader)
		require.NoError(t, err)
		require.Equal(t, VerdictMode, check(live, Test))
	}
	_, _, err = newSecret(Live, bytes.NewReader(nil))
	require.Error(t, err)
}

func TestCheckRefuses(t *testing.T) {
	secret, _, err := newSecret(Live, rand.Reader)
	require.NoError(t, err)
	for name, tc := range map[string]struct {
		secret string
		want   Verdict
	}{
		"empty": {"", VerdictMalformed}, "prefix alone": {"tvt_live_", VerdictMalformed}, "other prefix": {"tvt_prod_" + secret[9:], VerdictMalformed},
		"short": {secret[:57], VerdictMalformed}, "long": {secret + "0", VerdictMalformed},
		"other alphabet": {secret[:20] + "-" + secret[21:], VerdictMalformed}, "unicode": {secret[:20] + "\u00e9" + secret[22:], VerdictMalformed},
		"other case": {secret[:9] + swapCase(secret[9:]), VerdictChecksum},
	} {
		require.Equal(t, tc.want, check(tc.secret, Live), name)
	}
}

func swapCase(s string) string {
	return strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' {
			return c - 32
		}
		if c >= 'A' && c <= 'Z' {
			return c + 32
		}
		return c
	}, s)
}

// TestAnyMistypedCharacterIsSeen: one changed character never goes to the store.
func TestAnyMistypedCharacterIsSeen(t *testing.T) {
	secret, _, err := newSecret(Live, rand.Reader)
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.IntRange(len(Live.prefix()), len(secret)-1).Draw(t, "at")
		c := rapid.SampledFrom([]byte(digits)).Draw(t, "character")
		changed := secret[:at] + string(c) + secret[at+1:]
		if changed != secret && check(changed, Live) == "" {
			t.Fatalf("accepted %d", at)
		}
	})
}

func FuzzCheck(f *testing.F) {
	secret, _, err := newSecret(Live, rand.Reader)
	require.NoError(f, err)
	f.Add(secret)
	f.Add("tvt_live_")
	f.Fuzz(func(t *testing.T, secret string) {
		if check(secret, Live) == "" {
			require.Regexp(t, "^"+Pattern+"$", secret)
		}
	})
}

func TestHasher(t *testing.T) {
	old, recent := strings.Repeat("o", 32), strings.Repeat("n", 32)
	h, err := NewHasher([]string{recent, old})
	require.NoError(t, err)
	hashes := h.hashes("secret")
	require.Len(t, hashes, 2)
	alone, err := NewHasher([]string{old})
	require.NoError(t, err)
	require.Equal(t, alone.hashes("secret")[0], hashes[1])
	require.NotEqual(t, hashes[0], hashes[1], "keyed: another server secret, another hash")
	for _, bad := range [][]string{nil, {"short"}, {recent, "short"}} {
		_, err := NewHasher(bad)
		require.Error(t, err)
		require.NotErrorIs(t, err, ErrNotFound)
		require.NotContains(t, err.Error(), "nnn")
	}
}
