// Package ident makes identifiers that look like a provider's and are the same on every run.
package ident

import (
	"crypto/sha256"
	"strconv"
	"sync/atomic"
)

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// Derive returns n characters of base 62 that depend only on parts. n is at most 32.
func Derive(n int, parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		// Hashing the length first makes ("ab","c") and ("a","bc") differ.
		h.Write([]byte(strconv.Itoa(len(p))))
		h.Write([]byte{':'})
		h.Write([]byte(p))
	}
	sum := h.Sum(nil)
	out := make([]byte, min(n, len(sum)))
	for i := range out {
		out[i] = alphabet[int(sum[i])%len(alphabet)]
	}
	return string(out)
}

// Source numbers the identifiers of one fake: the same calls in the same order give the same identifiers.
type Source struct {
	salt string
	n    atomic.Uint64
}

// NewSource returns a source; two sources with different salts never agree.
func NewSource(salt string) *Source { return &Source{salt: salt} }

// Next returns prefix and n new characters.
func (s *Source) Next(prefix string, n int) string {
	return prefix + Derive(n, s.salt, prefix, strconv.FormatUint(s.n.Add(1), 10))
}
