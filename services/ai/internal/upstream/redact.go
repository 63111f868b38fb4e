package upstream

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
)

const (
	// hidden stands in place of what is removed.
	hidden = "…"
	// minName is the shortest name that is removed because of its prefix, in characters after the prefix.
	minName = 12
	// minBare is the shortest secret that is removed within a longer word.
	minBare = 12
)

// namePrefixes begin a provider's names for organizations, projects, users and sessions.
var namePrefixes = []string{"org-", "proj_", "user-", "sess-"}

// keyPrefixes begin API keys of known providers.
var keyPrefixes = []string{"sk-", "gsk_", "xai-", "AIza", "pplx-", "nvapi-", "hf_", "fw_", "r8_", "csk-"}

// keyWords follow sk- in keys, and in nothing else.
var keyWords = []string{"proj-", "svcacct-", "admin-", "ant-", "or-v1-", "None-"}

// Redactor removes from texts of the provider what identifies Trivet's account there: the configured keys and
// organization whatever their form, then everything that looks like a key or an account's name.
type Redactor struct{ secrets []string }

// NewRedactor returns a redactor of those secrets; empty ones are left out.
func NewRedactor(secrets ...string) Redactor {
	kept := slices.DeleteFunc(slices.Clone(secrets), func(s string) bool { return s == "" })
	slices.SortFunc(kept, func(a, b string) int { return len(b) - len(a) }) // a secret may begin with another one
	return Redactor{secrets: kept}
}

// String returns a text without secrets and names.
func (r Redactor) String(text string) string {
	for _, secret := range r.secrets {
		text = replaceSecret(text, secret)
	}
	var out strings.Builder
	kept := 0
	for i := 0; i < len(text); {
		prefix, size := nameAt(text, i)
		if size == 0 {
			i++
			continue
		}
		out.WriteString(text[kept : i+prefix])
		out.WriteString(hidden)
		i += size
		kept = i
	}
	if kept == 0 {
		return text
	}
	return out.String() + text[kept:]
}

// Body returns a JSON body whose texts are redacted; every other byte stays. The texts are decoded first, because an
// escape may stand within a secret, or right before it.
func (r Redactor) Body(body []byte) []byte {
	e := &bodyRedactor{Redactor: r, body: body}
	c := jsonscan.New(body)
	e.value(&c)
	if e.kept == 0 || c.End() != nil {
		return body
	}
	return append(e.out, body[e.kept:]...)
}

type bodyRedactor struct {
	Redactor
	body, out []byte
	kept      int
}

func (e *bodyRedactor) value(c *jsonscan.Cursor) {
	switch c.Kind() {
	case jsonscan.Object:
		c.EnterObject()
		for n := 0; ; n++ {
			start := c.Pos()
			key, ok := c.Member(n)
			if !ok {
				return
			}
			e.key(start, string(key))
			e.value(c)
		}
	case jsonscan.Array:
		for range c.Elements() {
			e.value(c)
		}
	case jsonscan.String:
		start := c.Pos()
		raw, escaped := c.String()
		if escaped {
			raw = jsonscan.Unescape(nil, raw)
		}
		e.replace(start, c.Offset(), string(raw))
	default:
		c.Skip()
	}
}

// key redacts the key of a member, which begins somewhere after start.
func (e *bodyRedactor) key(start int, key string) {
	quote := bytes.IndexByte(e.body[start:], '"')
	if quote < 0 {
		return
	}
	at := start + quote
	c := jsonscan.New(e.body[at:])
	c.Skip()
	e.replace(at, at+c.Offset(), key)
}

// replace writes a redacted text in place of the one between start and end.
func (e *bodyRedactor) replace(start, end int, text string) {
	clean := e.String(text)
	if clean == text {
		return
	}
	quoted, err := json.Marshal(clean)
	if err != nil {
		quoted = []byte(`"` + hidden + `"`)
	}
	e.out = append(append(e.out, e.body[e.kept:start]...), quoted...)
	e.kept = end
}

// replaceSecret removes a configured secret. A short one, such as the "ollama" of a local server, is a word of its own.
func replaceSecret(text, secret string) string {
	var out strings.Builder
	for from := 0; ; {
		i := strings.Index(text[from:], secret)
		if i < 0 {
			if out.Len() == 0 {
				return text
			}
			return out.String() + text[from:]
		}
		start, end := from+i, from+i+len(secret)
		if len(secret) < minBare && (isPart(text, start-1) || isPart(text, end)) {
			out.WriteString(text[from:end])
		} else {
			out.WriteString(text[from:start] + prefixOf(secret) + hidden)
		}
		from = end
	}
}

// prefixOf returns the well-known prefix of a secret, which says what was removed; "" when it has none.
func prefixOf(secret string) string {
	for _, p := range slices.Concat(keyPrefixes, namePrefixes) {
		if strings.HasPrefix(secret, p) {
			return p
		}
	}
	return ""
}

// nameAt returns the lengths of the prefix and of the whole name that begins at i; 0 when none does.
func nameAt(text string, i int) (prefix, size int) {
	for _, p := range keyPrefixes {
		if !strings.HasPrefix(text[i:], p) {
			continue
		}
		name := nameOf(text[i+len(p):])
		if isKey(p, name, isPart(text, i-1)) {
			return len(p), len(p) + len(name)
		}
	}
	if isPart(text, i-1) {
		return 0, 0
	}
	for _, p := range namePrefixes {
		if !strings.HasPrefix(text[i:], p) {
			continue
		}
		if name := nameOf(text[i+len(p):]); len(name) >= minName && !isWord(name) {
			return len(p), len(p) + len(name)
		}
	}
	return 0, 0
}

// isKey reports whether what follows a key's prefix is a key. Within a longer word it must look like nothing else.
func isKey(prefix, name string, within bool) bool {
	known := prefix == "sk-" && slices.ContainsFunc(keyWords, func(w string) bool { return strings.HasPrefix(name, w) })
	random := strings.ContainsAny(name, "0123456789*") || strings.ToLower(name) != name
	switch {
	case within:
		return len(name) >= minName && (known && random || prefix != "hf_" && isRandom(name))
	case known:
		return true
	case prefix == "sk-":
		return len(name) >= minName || strings.ContainsAny(name, "0123456789*")
	default:
		return len(name) >= minName && random
	}
}

// isRandom reports whether a name has small and capital letters and digits, as words do not.
func isRandom(name string) bool {
	return strings.ContainsFunc(name, unicode.IsUpper) && strings.ContainsFunc(name, unicode.IsLower) && strings.ContainsFunc(name, unicode.IsDigit)
}

// isWord reports whether a name is made of small letters, as in user-provided_content.
func isWord(name string) bool {
	const longest = 20
	if strings.ContainsAny(name, "0123456789*") || strings.ToLower(name) != name {
		return false
	}
	return strings.ContainsAny(name, "-_") || len(name) < longest
}

// nameOf returns the characters at the beginning of a text that a name may have. Keys are shown with asterisks.
func nameOf(text string) string {
	for i := range len(text) {
		if !isPart(text, i) {
			return text[:i]
		}
	}
	return text
}

// isPart reports whether a name may have the character at i; false beyond the text.
func isPart(text string, i int) bool {
	if i < 0 || i >= len(text) || text[i] >= utf8.RuneSelf {
		return false
	}
	b := text[i]
	return b|0x20 >= 'a' && b|0x20 <= 'z' || b >= '0' && b <= '9' || b == '-' || b == '_' || b == '*'
}
