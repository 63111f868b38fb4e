package apikey

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/big"
	"strings"
	"sync/atomic"
)

// A secret is "tvt_live_" or "tvt_test_", 43 characters of base 62 that hold 256 random bits, and 6 more that hold the
// CRC-32 of all before them: a scanner that finds one in a file knows without asking that it is not a chance hit, and a
// mistyped one costs no look-up.
const (
	// Prefix begins every secret.
	Prefix = "tvt_"
	// Pattern matches a secret; scanners then compare the checksum.
	Pattern = `tvt_(live|test)_[0-9A-Za-z]{49}`

	digits        = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	randomBytes   = 32
	randomDigits  = 43
	checkDigits   = 6
	visibleDigits = 4
)

// Mode says whether a key belongs to a live or to a test installation.
type Mode string

// The modes.
const (
	Live Mode = "live"
	Test Mode = "test"
)

func (m Mode) prefix() string { return Prefix + string(m) + "_" }

// Looks reports whether a credential wants to be an API key.
func Looks(credential string) bool { return strings.HasPrefix(credential, Prefix) }

// newSecret makes a secret and its visible beginning.
func newSecret(mode Mode, random io.Reader) (secret, visible string, err error) {
	raw := make([]byte, randomBytes)
	if _, err := io.ReadFull(random, raw); err != nil {
		return "", "", fmt.Errorf("apikey: no randomness: %w", err)
	}
	body := mode.prefix() + base62(new(big.Int).SetBytes(raw), randomDigits)
	return body + checksum(body), body[:len(mode.prefix())+visibleDigits], nil
}

// check tells what is wrong with a secret before anybody looks it up; "" when nothing is.
func check(secret string, mode Mode) Verdict {
	body, ok := strings.CutPrefix(secret, mode.prefix())
	if !ok {
		if Looks(secret) && (strings.HasPrefix(secret, Live.prefix()) || strings.HasPrefix(secret, Test.prefix())) {
			return VerdictMode
		}
		return VerdictMalformed
	}
	if len(body) != randomDigits+checkDigits || strings.Trim(body, digits) != "" {
		return VerdictMalformed
	}
	end := len(secret) - checkDigits
	if checksum(secret[:end]) != secret[end:] {
		return VerdictChecksum
	}
	return ""
}

func checksum(text string) string {
	return base62(new(big.Int).SetUint64(uint64(crc32.ChecksumIEEE([]byte(text)))), checkDigits)
}

// base62 writes n with at least width digits.
func base62(n *big.Int, width int) string {
	out := make([]byte, width)
	rest, base, digit := new(big.Int).Set(n), big.NewInt(int64(len(digits))), new(big.Int)
	for i := width - 1; i >= 0; i-- {
		rest.DivMod(rest, base, digit)
		out[i] = digits[digit.Int64()]
	}
	return string(out)
}

// MinServerSecret is the fewest bytes of a server secret.
const MinServerSecret = 32

// Hasher hashes secrets with the server's own: whoever steals the database can't check a guess, nor plant a key.
type Hasher struct{ secrets atomic.Pointer[[][]byte] }

// NewHasher takes server secrets, newest first.
func NewHasher(secrets []string) (*Hasher, error) {
	h := &Hasher{}
	return h, h.Replace(secrets)
}

// Replace puts other server secrets in place of the present ones, unless one of them is wrong. API keys that were hashed with a secret
// which is not among them are not valid any more.
func (h *Hasher) Replace(secrets []string) error {
	if len(secrets) == 0 {
		return errors.New("there is no secret")
	}
	all := make([][]byte, 0, len(secrets))
	for i, s := range secrets {
		if len(s) < MinServerSecret {
			return fmt.Errorf("secret %d has %d bytes, fewer than %d", i+1, len(s), MinServerSecret)
		}
		all = append(all, []byte(s))
	}
	h.secrets.Store(&all)
	return nil
}

// hashes are the hashes under every server secret, newest first.
func (h *Hasher) hashes(secret string) [][]byte {
	secrets := *h.secrets.Load()
	out := make([][]byte, len(secrets))
	for i, s := range secrets {
		mac := hmac.New(sha256.New, s)
		mac.Write([]byte(secret))
		out[i] = mac.Sum(nil)
	}
	return out
}
