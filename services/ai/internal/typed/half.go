package typed

import (
	"bytes"
	"strings"

	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
)

// halves joins texts that come in pieces. A character outside the basic plane may be written as two escapes, and a
// provider may send them in two chunks: the first one waits for the second.
type halves struct{ waiting []byte }

// text returns what the inside of a JSON string stands for, less a half at its end.
func (h *halves) text(raw []byte) string {
	if len(h.waiting) > 0 {
		raw = append(h.waiting, raw...)
		h.waiting = nil
	}
	if cut := len(raw) - 6; cut >= 0 && isHigh(raw[cut:]) && backslashes(raw[:cut])%2 == 0 {
		h.waiting = bytes.Clone(raw[cut:])
		raw = raw[:cut]
	}
	return valid(jsonscan.Unescape(nil, raw))
}

// rest returns what still waits at the end: a character that is not whole.
func (h *halves) rest() string {
	if len(h.waiting) == 0 {
		return ""
	}
	h.waiting = nil
	return "\ufffd"
}

// isHigh reports whether a text is the escape of the first half of a character, \uD800 to \uDBFF.
func isHigh(escape []byte) bool {
	return escape[0] == '\\' && escape[1] == 'u' && (escape[2] == 'd' || escape[2] == 'D') && strings.IndexByte("89abAB", escape[3]) >= 0
}

// backslashes counts those at the end of a text: an odd number escapes what follows.
func backslashes(text []byte) (n int) {
	for n < len(text) && text[len(text)-1-n] == '\\' {
		n++
	}
	return n
}
