package upstream

import (
	"net/http"
	"unicode/utf8"
)

// Header values that every request shares; never changed.
var (
	contentType = []string{"application/json"}
	identity    = []string{"identity"}
	userAgent   = []string{"trivet"}
)

// Forwarded returns the canonical name of a caller's header that goes to the provider, "" for one that does not. The
// caller's own keys and organization stay behind, and so does idempotency-key: net/http would take it for permission to
// send the request a second time, and the provider does not promise to make one answer of the two.
func Forwarded(name string) string {
	switch name {
	case "accept":
		return "Accept"
	case "openai-beta":
		return "Openai-Beta"
	default:
		return ""
	}
}

// returned returns the headers of an answer that the caller gets, by lower-case name. Those that identify Trivet's
// account (openai-organization, openai-project, cookies), or its limits (x-ratelimit-…), are left out, and the values of the others are redacted.
func (c *client) returned(h http.Header) map[string]string {
	out := make(map[string]string, 8)
	for name, values := range h {
		if len(values) == 0 {
			continue
		}
		if lower := returnedName(name); lower != "" && utf8.ValidString(values[0]) { // protobuf takes no other text
			out[lower] = c.redactor.String(values[0])
		}
	}
	return out
}

func returnedName(canonical string) string {
	switch canonical {
	case "Content-Type":
		return "content-type"
	case "X-Request-Id":
		return "x-request-id"
	case "Retry-After":
		return "retry-after"
	case "Retry-After-Ms":
		return "retry-after-ms"
	case "X-Should-Retry":
		return "x-should-retry"
	case "Openai-Processing-Ms":
		return "openai-processing-ms"
	case "Openai-Version":
		return "openai-version"
	case "Openai-Model":
		return "openai-model"
	}
	return ""
}
