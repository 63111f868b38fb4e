// Package page makes the opaque tokens that lists are paged with.
package page

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// ErrToken says that a page token was not made for this list with these filters.
var ErrToken = errors.New("page: the token is not one that this list gave for these filters")

const (
	// DefaultSize is the page size when the request does not set one.
	DefaultSize = 50
	// MaxSize is the largest page size. Larger requested sizes are treated as MaxSize.
	MaxSize = 500
)

// Size returns the page size for the one that was requested.
func Size(asked int32) int {
	if asked <= 0 {
		return DefaultSize
	}
	return min(int(asked), MaxSize)
}

// Cursor is where a page begins: after the object it names. The zero Cursor is the beginning.
type Cursor struct {
	// Time orders lists that go from new to old, to the microsecond.
	Time time.Time
	// ID is the object's.
	ID string
	// Second is the user of a membership; ID is its organization then.
	Second string
}

// List is a list with its filters; a token is good for nothing else.
type List struct {
	Name    string
	Filters []string
}

const fingerprintBytes = 8

// fingerprint is equal for equal lists; the separator can't stand in an id or an address.
func (l List) fingerprint() []byte {
	sum := sha256.Sum256([]byte(strings.Join(append([]string{l.Name}, l.Filters...), "\x00")))
	return sum[:fingerprintBytes]
}

type wire struct {
	Time   int64  `json:"t,omitempty"` // microseconds since 1970
	ID     string `json:"i"`
	Second string `json:"s,omitempty"`
}

// Token is what the caller sends for the next page.
func (l List) Token(c Cursor) string {
	w := wire{ID: c.ID, Second: c.Second}
	if !c.Time.IsZero() {
		w.Time = c.Time.UnixMicro()
	}
	raw, err := json.Marshal(w)
	if err != nil {
		return "" // a struct of strings and a number always encodes
	}
	return base64.RawURLEncoding.EncodeToString(append(l.fingerprint(), raw...))
}

// Cursor reads a token; the empty one is the beginning. The error is ErrToken.
func (l List) Cursor(token string) (Cursor, error) {
	if token == "" {
		return Cursor{}, nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) < fingerprintBytes || !bytes.Equal(raw[:fingerprintBytes], l.fingerprint()) {
		return Cursor{}, ErrToken
	}
	var w wire
	decoder := json.NewDecoder(bytes.NewReader(raw[fingerprintBytes:]))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&w); err != nil || decoder.More() || w.ID == "" || w.Time < 0 {
		return Cursor{}, ErrToken
	}
	c := Cursor{ID: w.ID, Second: w.Second}
	if w.Time > 0 {
		c.Time = time.UnixMicro(w.Time).UTC()
	}
	return c, nil
}

// Cut takes the objects of one page, of which one more than size was read to see whether another page follows, and
// returns them with that page's token.
func Cut[T any](l List, all []T, size int, cursor func(T) Cursor) (objects []T, next string) {
	if len(all) <= size {
		return all, ""
	}
	return all[:size], l.Token(cursor(all[size-1]))
}
