package intake

import "encoding/json"

const redacted = "[redacted]"

// Redact returns a stored payload for operators. ParseEvent stores no personal data, and Redact removes every field that
// ParseEvent does not store.
func Redact(payload []byte) string {
	var known struct {
		Hint
		Malformed string `json:"malformed,omitempty"`
		Bytes     int64  `json:"bytes,omitempty"`
		SHA256    string `json:"sha256,omitempty"`
	}
	if json.Unmarshal(payload, &known) != nil {
		return `"` + redacted + `"`
	}
	var shown any = known.Hint
	if known.Malformed != "" {
		shown = map[string]any{"malformed": known.Malformed, "bytes": known.Bytes, "sha256": known.SHA256}
	}
	raw, err := json.Marshal(shown)
	if err != nil {
		return `"` + redacted + `"`
	}
	return string(raw)
}
