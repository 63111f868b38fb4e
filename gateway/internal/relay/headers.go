package relay

import (
	"net/http"
	"net/textproto"
	"strings"
)

// inward lists the request headers that the ai service receives.
var inward = [...]string{"Accept", "Content-Type", "Idempotency-Key", "Openai-Beta"}

// requestHeaders returns the inward headers of a request by lower-case name.
func requestHeaders(h http.Header) map[string]string {
	out := make(map[string]string, len(inward))
	for _, name := range inward {
		if v := h[name]; len(v) == 1 && isText(v[0]) {
			out[strings.ToLower(name)] = v[0]
		}
	}
	return out
}

// isText reports whether a header value is short printable ASCII, as all real values of these headers are.
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

// copyHeaders copies the headers that OpenAI's SDKs read, and Trivet's own. It drops all others.
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
