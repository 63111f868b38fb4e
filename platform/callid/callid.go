// Package callid makes the ids of calls to models. An id carries the account and the time, so that the record of a call is found
// without an index, and nobody finds that of another account.
package callid

import (
	"bytes"
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
)

// encoding keeps the order of bytes, so ids grow with time.
var encoding = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// New makes an id.
func New(account string, at time.Time) string {
	return Make(account, at, rand.Uint64()) //nolint:gosec // it guards nothing: an id is checked against the caller's account
}

// Make makes an id with that randomness, of which the lower 48 bits count.
func Make(account string, at time.Time, random uint64) string {
	raw := make([]byte, 0, size+2)
	raw = binary.BigEndian.AppendUint64(raw, uint64(at.UnixMilli())<<16)
	raw = append(raw[:timeBytes], hash(account)...)
	raw = binary.BigEndian.AppendUint64(raw, random<<16)
	return prefix + encoding.EncodeToString(raw[:size])
}

// Parse tells when the call with an id began; false when it is not an id of one of the account's calls.
func Parse(id, account string) (at time.Time, ok bool) {
	text, found := strings.CutPrefix(id, prefix)
	raw, err := encoding.DecodeString(text)
	if !found || err != nil || len(raw) != size || !bytes.Equal(raw[timeBytes:timeBytes+accountBytes], hash(account)) {
		return time.Time{}, false
	}
	if encoding.EncodeToString(raw) != text { // the last character has bits to spare
		return time.Time{}, false
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(raw) >> 16)).UTC(), true
}

func hash(account string) []byte {
	sum := sha256.Sum256([]byte(account))
	return sum[:accountBytes]
}
