package rest

import (
	"unicode/utf8"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
)

// appendPiece appends a message of a chat stream as JSON. Nearly all messages contain only text. They are written without
// protojson, which costs ten times as much, and without empty fields. All other messages are encoded like any response.
func appendPiece(b []byte, m *aiv1.ChatStreamResponse) ([]byte, error) {
	if !onlyText(m) {
		raw, err := codec{}.Marshal(m)
		return append(b, raw...), err
	}
	b = append(b, '{')
	b = appendMember(b, `"id":"`, m.GetId())
	b = appendMember(b, `"model":"`, m.GetModel())
	b = appendMember(b, `"delta":"`, m.GetDelta())
	return append(b, '}'), nil
}

func onlyText(m *aiv1.ChatStreamResponse) bool {
	return len(m.GetToolCalls()) == 0 && m.GetFinishReason() == "" && m.GetUsage() == nil && m.CostNanoUsd == nil && m.Fallback == nil &&
		utf8.ValidString(m.GetId()) && utf8.ValidString(m.GetModel()) && utf8.ValidString(m.GetDelta())
}

// appendMember appends a name and its value, which must be valid UTF-8. It leaves out an empty value.
func appendMember(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = append(b, name...)
	from := 0
	for i := range len(value) {
		if c := value[i]; c < ' ' || c == '"' || c == '\\' {
			b = append(b, value[from:i]...)
			b = appendEscaped(b, c)
			from = i + 1
		}
	}
	b = append(b, value[from:]...)
	return append(b, '"')
}

func appendEscaped(b []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, '\\', 'n')
	case '\t':
		return append(b, '\\', 't')
	case '\r':
		return append(b, '\\', 'r')
	default:
		return append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
	}
}
