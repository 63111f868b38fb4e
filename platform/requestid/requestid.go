// Package requestid carries one id through everything that a request touches.
package requestid

import (
	"context"
	"crypto/rand"
	"encoding/hex"

	"github.com/google/uuid"
)

// Header is the id's name in HTTP headers and in gRPC metadata.
const Header = "x-request-id"

const maxLen = 64

// Key is the key of the id, a string, for contexts that hold more than one value.
type Key struct{}

const prefix = "req_"

// New makes an id that no other request has.
func New() string {
	var id uuid.UUID
	_, _ = rand.Read(id[:])                         // it never fails
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80 // version 4 of RFC 9562; uuid.New has its bytes on the heap
	const form = prefix + "00000000-0000-0000-0000-000000000000"
	var buffer [len(form)]byte
	text := append(buffer[:0], prefix...)
	for i, part := range [...][]byte{id[:4], id[4:6], id[6:8], id[8:10], id[10:]} {
		if i > 0 {
			text = append(text, '-')
		}
		text = hex.AppendEncode(text, part)
	}
	return string(text)
}

// With returns a context that carries id.
func With(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, Key{}, id)
}

// From returns the context's id, or "" when it carries none.
func From(ctx context.Context) string {
	id, _ := ctx.Value(Key{}).(string)
	return id
}

// Valid reports whether a caller's id may be taken over: 1 to 64 letters,
// digits, ".", "_" or "-", so that it can't break a log line or a header.
func Valid(id string) bool {
	if id == "" || len(id) > maxLen {
		return false
	}
	for _, c := range []byte(id) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}
