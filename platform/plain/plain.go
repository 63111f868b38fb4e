// Package plain checks whether text is safe to store, list and print. Control characters and direction marks in an id can change
// what a terminal shows around it.
package plain

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable reports whether text is valid UTF-8 without control characters, line separators and characters that change the direction of
// the text around them.
func Printable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, hidden)
}

// Trimmed reports whether text neither begins nor ends with white space.
func Trimmed(text string) bool { return strings.TrimSpace(text) == text }

func hidden(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r) || r == '\ufeff'
}
