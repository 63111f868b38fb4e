package wire

import (
	"bytes"
)

// RefusedFields are members that a request's body must not have, such as those that let a router choose another model
// than the one that is priced.
type RefusedFields map[string]struct{}

// NewRefusedFields returns the set of those names.
func NewRefusedFields(names []string) RefusedFields {
	f := make(RefusedFields, len(names))
	for _, name := range names {
		f[name] = struct{}{}
	}
	return f
}

// check returns the error for a refused member, however its name is written.
func (f RefusedFields) check(key []byte) error {
	if _, ok := f[string(key)]; ok {
		return refusedField(string(key))
	}
	if isPlain(key) {
		return nil
	}
	for name := range f {
		if bytes.EqualFold(key, []byte(name)) {
			return refusedField(name)
		}
	}
	return nil
}

func refusedField(name string) error {
	return invalid(name, "is not allowed: it can change which model answers or what the call costs. Remove it, or ask the operator to allow it in TRIVET_REFUSED_FIELDS")
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
