package clerk

import (
	"encoding/json"
	"strings"
)

const (
	redacted = "[redacted]"
	// maxShown bounds what is shown, in bytes: what is redacted may be longer than what it stands for.
	maxShown = 1 << 20
)

// Redact returns a stored payload that operators may see. Ids, times, states, roles and permissions stay; every other text or
// number is replaced. Metadata keep only their names.
func Redact(payload []byte) string {
	var value any
	if err := json.Unmarshal(payload, &value); err != nil {
		return `"` + redacted + `"`
	}
	raw, err := json.Marshal(redact("", value, false))
	if err != nil || len(raw) > maxShown {
		return `"` + redacted + `"`
	}
	return string(raw)
}

// redact replaces the values under name; hidden is true below metadata.
func redact(name string, value any, hidden bool) any {
	hidden = hidden || strings.HasSuffix(name, "metadata")
	switch v := value.(type) {
	case map[string]any:
		for key := range v {
			v[key] = redact(key, v[key], hidden)
		}
		return v
	case []any:
		for i := range v {
			v[i] = redact(name, v[i], hidden)
		}
		return v
	case nil:
		return nil
	case bool:
		if !hidden {
			return v
		}
	default:
		if !hidden && shown(name) {
			return v
		}
	}
	return redacted
}

func shown(name string) bool {
	switch name {
	case "id", "object", "type", "status", "role", "key", "permissions", "timestamp", "lockout_expires_in_seconds",
		"malformed", "bytes", "sha256":
		return true
	case "external_id":
		return false
	}
	return strings.HasSuffix(name, "_id") || strings.HasSuffix(name, "_at")
}
