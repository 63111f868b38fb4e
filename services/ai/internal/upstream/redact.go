package upstream

import (
	"bytes"
	"strings"
)

const maxText = 1000

// prefixes begin the provider's names for Trivet's account: organizations, projects, users, keys.
var prefixes = [...]string{"org-", "proj_", "user-", "sk-", "sess-"}

// minName is the shortest name that is hidden, in characters after the prefix: "org-wide" is a word.
const minName = 12

// Redact returns an error body without the names of Trivet's account at the provider: each is cut to its prefix and
// an ellipsis. A body without any is returned itself.
func Redact(body []byte) []byte {
	var out []byte
	kept := 0
	for i := 0; i < len(body); i++ {
		n := nameAt(body, i)
		if n == 0 {
			continue
		}
		dash := i + bytes.IndexAny(body[i:i+n], "-_") + 1
		out = append(append(out, body[kept:dash]...), "…"...)
		i += n - 1
		kept = i + 1
	}
	if kept == 0 {
		return body
	}
	return append(out, body[kept:]...)
}

// Text returns a message of the provider's as it may be shown: redacted, and cut to 1,000 bytes.
func Text(message string) string {
	out := string(Redact([]byte(message)))
	if len(out) > maxText {
		return strings.ToValidUTF8(out[:maxText], "") + "…"
	}
	return out
}

// nameAt returns the length of the account name that begins at i; 0 when none does.
func nameAt(body []byte, i int) int {
	if i > 0 && part(body[i-1]) {
		return 0
	}
	for _, prefix := range prefixes {
		if !bytes.HasPrefix(body[i:], []byte(prefix)) {
			continue
		}
		end := i + len(prefix)
		for end < len(body) && part(body[end]) {
			end++
		}
		if length := end - i - len(prefix); length >= minName || prefix == "sk-" {
			return end - i
		}
	}
	return 0
}

// part reports whether b may stand in a name; keys are shown with asterisks in their middle.
func part(b byte) bool {
	return b|0x20 >= 'a' && b|0x20 <= 'z' || b >= '0' && b <= '9' || b == '-' || b == '_' || b == '*'
}
