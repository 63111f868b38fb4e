package upstream

import (
	"slices"
	"strings"
)

const (
	// hidden stands in place of what is removed.
	hidden = "…"
	// minBare is the shortest secret that is removed within a longer word.
	minBare = 12
)

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
