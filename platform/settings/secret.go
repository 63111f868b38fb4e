package settings

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Secret is a value that must never be seen: it prints as "[redacted]" under every fmt verb, in slog, in JSON and as
// text. The zero value is an unset secret.
type Secret struct {
	// A pointer, because fmt calls no methods on unexported fields of an enclosing struct: it prints an address there.
	value *string
}

// NewSecret hides value.
func NewSecret(value string) Secret {
	if value == "" {
		return Secret{}
	}
	return Secret{value: &value}
}

// Reveal returns the hidden value, "" when unset. Call it only where the value leaves for its provider.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsSet reports whether there is a value.
func (s Secret) IsSet() bool { return s.value != nil }

// String returns "[redacted]".
func (Secret) String() string { return redacted }

// GoString returns "[redacted]".
func (Secret) GoString() string { return redacted }

// Format writes "[redacted]" whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue returns "[redacted]".
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns "[redacted]"; encoding/json and the YAML encoders use it too.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Secrets are the values of one secret that are all accepted, newest first, so that a key can rotate without a gap.
type Secrets []Secret

// NewSecrets hides values, in their order; empty ones are left out.
func NewSecrets(values ...string) Secrets {
	var out Secrets
	for _, v := range values {
		if v != "" {
			out = append(out, NewSecret(v))
		}
	}
	return out
}

// Newest returns the first secret, which outgoing calls use, or an unset secret if the list is empty.
func (s Secrets) Newest() Secret {
	if len(s) == 0 {
		return Secret{}
	}
	return s[0]
}

// IsSet reports whether there is at least one secret.
func (s Secrets) IsSet() bool { return len(s) > 0 }

// Reveal returns all hidden values, newest first.
func (s Secrets) Reveal() []string {
	out := make([]string, len(s))
	for i, one := range s {
		out[i] = one.Reveal()
	}
	return out
}

// LogValue returns "[redacted]" (the handlers would otherwise see a slice).
func (Secrets) LogValue() slog.Value { return slog.StringValue(redacted) }
