package upstream

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// minName is the shortest name that is removed because of its prefix, in characters after the prefix.
const minName = 12

// namePrefixes begin a provider's names for organizations, projects, users and sessions.
var namePrefixes = []string{"org-", "proj_", "user-", "sess-"}

// keyPrefixes begin API keys of known providers.
var keyPrefixes = []string{"sk-", "gsk_", "xai-", "AIza", "pplx-", "nvapi-", "hf_", "fw_", "r8_", "csk-"}

// keyWords follow sk- in keys, and in nothing else.
var keyWords = []string{"proj-", "svcacct-", "admin-", "ant-", "or-v1-", "None-"}

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
