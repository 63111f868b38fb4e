package relay

import (
	"net/http"
	"net/textproto"
	"strings"
)

// inward are the headers of callers that the ai service gets to see.
var inward = [...]string{"Accept", "Content-Type", "Idempotency-Key", "Openai-Beta"}

// requestHeaders picks them, by lower-case name.
func requestHeaders(h http.Header) map[string]string {
	out := make(map[string]string, len(inward))
	for _, name := range inward {
		if v := h[name]; len(v) == 1 && isText(v[0]) {
			out[strings.ToLower(name)] = v[0]
		}
	}
	return out
}

// isText reports whether a header is short and in ASCII, as all true values of these are.
func isText(v string) bool {
	if len(v) > 1024 {
		return false
	}
	for _, c := range []byte(v) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// copyHeaders sends the headers of a head that OpenAI's SDKs look at, and Trivet's own; all others stop here.
func copyHeaders(into http.Header, from map[string]string) {
	for name, value := range from {
		if outward(name) {
			into[textproto.CanonicalMIMEHeaderKey(name)] = []string{value}
		}
	}
}

func outward(name string) bool {
	switch name {
	case "content-type", "retry-after", "retry-after-ms", "x-should-retry", "openai-processing-ms", "openai-version", "openai-model":
		return true
	}
	return strings.HasPrefix(name, "x-ratelimit-") || strings.HasPrefix(name, "x-trivet-")
}
