// Package callid makes the ids of calls to models. An id carries the account and the time, so that the record of a call is found
// without an index, and nobody finds that of another account.
package callid

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"time"
)

const (
	prefix = "call_"
	// An id has 6 bytes of milliseconds, 4 of the account's hash, and 6 random ones.
	timeBytes, accountBytes, randomBytes = 6, 4, 6
	size                                 = timeBytes + accountBytes + randomBytes
	length                               = len(prefix) + (size*8+4)/5 // of an id
)

// encoding keeps the order of bytes, so ids grow with time.
var encoding = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// New makes an id.
func New(account string, at time.Time) string {
	return Make(account, at, rand.Uint64()) //nolint:gosec // it guards nothing: an id is checked against the caller's account
}

// Make makes an id with that randomness, of which the lower 48 bits count.
func Make(account string, at time.Time, random uint64) string {
	var raw [size + 2]byte
	binary.BigEndian.PutUint64(raw[:], uint64(at.UnixMilli())<<16)
	owner := hash(account)
	copy(raw[timeBytes:], owner[:])
	binary.BigEndian.PutUint64(raw[timeBytes+accountBytes:], random<<16)
	var text [length]byte
	copy(text[:], prefix)
	encoding.Encode(text[len(prefix):], raw[:size])
	return string(text[:])
}

// Parse tells when the call with an id began; false when it is not an id of one of the account's calls.
func Parse(id, account string) (at time.Time, ok bool) {
	var text, again [length]byte
	if len(id) != length || !strings.HasPrefix(id, prefix) {
		return time.Time{}, false
	}
	copy(text[:], id)
	var raw [size]byte
	if n, err := encoding.Decode(raw[:], text[len(prefix):]); err != nil || n != size {
		return time.Time{}, false
	}
	if [accountBytes]byte(raw[timeBytes:]) != hash(account) {
		return time.Time{}, false
	}
	copy(again[:], prefix)
	if encoding.Encode(again[len(prefix):], raw[:]); again != text { // the last character has bits to spare
		return time.Time{}, false
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(raw[:]) >> 16)).UTC(), true
}

// hash returns the beginning of an account's hash. An id of 64 bytes or less is not copied to the heap.
func hash(account string) [accountBytes]byte {
	var buffer [64]byte
	sum := sha256.Sum256(append(buffer[:0], account...))
	return [accountBytes]byte(sum[:])
}
