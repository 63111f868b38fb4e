package jsonscan

import (
	"bytes"
	"encoding/json"
)

// Incomplete reports whether the inside of a JSON string holds the beginning of a text of JSON whose rest is missing. An empty text is not one.
func Incomplete(inside []byte) bool {
	inside = bytes.TrimSpace(inside)
	if len(inside) == 0 {
		return false
	}
	// An object that does not end with a brace, or with an escape that may be white space, need not be read.
	if last := len(inside) - 1; inside[0] == '{' && inside[last] != '}' && (last < 2 || inside[last-1] != '\\') {
		return true
	}
	return !json.Valid(Unescape(nil, inside))
}
