// Package requestid carries one id through everything that a request touches.
package requestid

import (
	"context"

	"github.com/google/uuid"
)

// Header is the id's name in HTTP headers and in gRPC metadata.
const Header = "x-request-id"

const maxLen = 64

type key struct{}

// New makes an id that no other request has.
func New() string {
	return "req_" + uuid.NewString()
}

// With returns a context that carries id.
func With(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, key{}, id)
}

// From returns the context's id, or "" when it carries none.
func From(ctx context.Context) string {
	id, _ := ctx.Value(key{}).(string)
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
