package relay

import (
	"net/http"
	"net/textproto"
	"strings"
)

// inward lists the request headers that the ai service receives, with their names in lower case.
var inward = [...][2]string{
	{"Accept", "accept"}, {"Content-Type", "content-type"}, {"Idempotency-Key", "idempotency-key"}, {"Openai-Beta", "openai-beta"},
}

// requestHeaders returns the inward headers of a request by lower-case name.
func requestHeaders(h http.Header) map[string]string {
	out := make(map[string]string, len(inward))
	for _, name := range inward {
		if v := h[name[0]]; len(v) == 1 && isText(v[0]) {
			out[name[1]] = v[0]
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
	values := make([]string, 0, len(from)) // of all headers together
	for name, value := range from {
		if canonical := outward(name); canonical != "" {
			values = append(values, value)
			into[canonical] = values[len(values)-1 : len(values) : len(values)]
		}
	}
}

// outward returns the canonical name of a header that the client gets, "" for one that it does not. Common names are written out,
// because net/http would make a new text of each.
func outward(name string) string {
	switch name {
	case "content-type":
		return "Content-Type"
	case "retry-after":
		return "Retry-After"
	case "retry-after-ms":
		return "Retry-After-Ms"
	case "x-should-retry":
		return "X-Should-Retry"
	case "openai-processing-ms":
		return "Openai-Processing-Ms"
	case "openai-version":
		return "Openai-Version"
	case "openai-model":
		return "Openai-Model"
	case "x-trivet-target":
		return "X-Trivet-Target"
	case "x-ratelimit-limit-requests":
		return "X-Ratelimit-Limit-Requests"
	case "x-ratelimit-remaining-requests":
		return "X-Ratelimit-Remaining-Requests"
	case "x-ratelimit-reset-requests":
		return "X-Ratelimit-Reset-Requests"
	case "x-ratelimit-limit-tokens":
		return "X-Ratelimit-Limit-Tokens"
	case "x-ratelimit-remaining-tokens":
		return "X-Ratelimit-Remaining-Tokens"
	case "x-ratelimit-reset-tokens":
		return "X-Ratelimit-Reset-Tokens"
	}
	if strings.HasPrefix(name, "x-ratelimit-") || strings.HasPrefix(name, "x-trivet-") {
		return textproto.CanonicalMIMEHeaderKey(name)
	}
	return ""
}
