// Package paging makes the opaque tokens that all lists are paged with. A token is bound to its list and to the filters and
// the account that the list was read with, so a caller cannot continue one list with the token of another.
package paging

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// ErrToken says that a list did not issue the page token for these filters. The errors that wrap it can be returned to
// callers as they are.
var ErrToken = errors.New("paging: the list did not issue this page token")

const (
	// DefaultSize is the page size when the request names none.
	DefaultSize = 50
	// MaxSize is the largest page size. A request for more gets this many.
	MaxSize = 500
)

// Size is the page size for the one that a request asks for.
func Size(asked int32) int {
	if asked <= 0 {
		return DefaultSize
	}
	return min(int(asked), MaxSize)
}

// Cursor is where a page begins: after the object that it names. The zero Cursor is the beginning of the list.
type Cursor struct {
	// Time orders lists that go from new to old, in microseconds.
	Time time.Time
	// ID is the object's id, or the first part of it. It is never empty in a token.
	ID string
	// Second is the second part of an id that has two, such as a membership's user.
	Second string
}

// List is a list with everything that decides what it contains. Name all filters, and the account of the caller where the
// list depends on it.
type List struct {
	Name    string
	Filters []string
}

const fingerprintBytes = 8

// fingerprint is equal for equal lists with equal filters. The escaped separator keeps the filters apart, whatever they contain.
func (l List) fingerprint() []byte {
	var text strings.Builder
	for _, part := range append([]string{l.Name}, l.Filters...) {
		text.WriteString(strings.ReplaceAll(part, "\x00", "\x00\x00"))
		text.WriteString("\x00.")
	}
	sum := sha256.Sum256([]byte(text.String()))
	return sum[:fingerprintBytes]
}

type wire struct {
	Time   int64  `json:"t,omitempty"` // microseconds since 1970
	ID     string `json:"i"`
	Second string `json:"s,omitempty"`
}

// Token is what the caller sends to get the page after c.
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

// Cursor reads a token. The empty token is the beginning of the list. The error is an INVALID_ARGUMENT for the caller and
// wraps ErrToken.
func (l List) Cursor(token string) (Cursor, error) {
	if token == "" {
		return Cursor{}, nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) < fingerprintBytes || !bytes.Equal(raw[:fingerprintBytes], l.fingerprint()) {
		return Cursor{}, Invalid()
	}
	var w wire
	decoder := json.NewDecoder(bytes.NewReader(raw[fingerprintBytes:]))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&w); err != nil || decoder.More() || w.ID == "" || w.Time < 0 {
		return Cursor{}, Invalid()
	}
	c := Cursor{ID: w.ID, Second: w.Second}
	if w.Time > 0 {
		c.Time = time.UnixMicro(w.Time).UTC()
	}
	return c, nil
}

// Invalid is the error for a page token that the list did not issue. Return it when the cursor of a good token names
// something that cannot be in the list.
func Invalid() error {
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "The page token is invalid.").
		Field("pageToken", "must be the nextPageToken of the previous page, sent with the same filters; leave it empty for the first page").
		Cause(ErrToken)
}

// Cut takes the objects of one page and returns them with the token of the next page. The caller reads one object more than
// size, because that object tells whether there is a next page.
func Cut[T any](l List, all []T, size int, cursor func(T) Cursor) (objects []T, next string) {
	if len(all) <= size {
		return all, ""
	}
	return all[:size], l.Token(cursor(all[size-1]))
}
