package wire

import (
	"bytes"
	"strings"

	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
)

// RefusedFields are members that a request's body must not have, such as those that let a router choose another model
// than the one that is priced. Their names are in small letters.
type RefusedFields map[string]struct{}

// NewRefusedFields returns the set of those names, however they are written.
func NewRefusedFields(names []string) RefusedFields {
	f := make(RefusedFields, len(names))
	for _, name := range names {
		f[strings.ToLower(name)] = struct{}{}
	}
	return f
}

// find returns the name in the set that a member's key stands for, however it is written, in small letters; "" when it is in none.
func (f RefusedFields) find(key []byte) string {
	if _, ok := f[string(key)]; ok {
		return string(key)
	}
	if isPlain(key) {
		return ""
	}
	for name := range f {
		if bytes.EqualFold(key, []byte(name)) {
			return name
		}
	}
	return ""
}

// suspect notes a member that some model refuses. Null asks for nothing, and neither does store when it is false. A response that
// is stored has an owner, and is deleted when that is erased.
func (r *Request) suspect(fields RefusedFields, key []byte, value jsonscan.Cursor) {
	kind := value.Kind()
	if kind == jsonscan.Null {
		return
	}
	name := fields.find(key)
	if name == fieldStore.name() && (IsResponse(r.Endpoint) || kind == jsonscan.Bool && !value.Bool()) {
		return
	}
	if name != "" {
		r.suspects = append(r.suspects, name)
	}
}

// Refuse returns the error for the first member that the request must not have; nil when it has none of them.
func (r *Request) Refuse(fields RefusedFields) error {
	for _, name := range r.suspects {
		if _, refused := fields[name]; refused {
			problem := "is not allowed: it can change which model answers or what the call costs"
			if name == fieldStore.name() {
				problem = "must not be true: the provider would keep the conversation, and the erasure of a person would not reach it"
			}
			return invalid(name, problem+". Remove it, or ask the operator to allow it in TRIVET_REFUSED_FIELDS or, for this model, in MODELS_FILE")
		}
	}
	return nil
}

// isPlain reports whether a name is written in small ASCII letters, so that no other spelling equals it.
func isPlain(key []byte) bool {
	for _, b := range key {
		if b >= 'A' && b <= 'Z' || b >= 0x80 {
			return false
		}
	}
	return true
}
