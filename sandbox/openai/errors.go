package openai

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/trivet-dev/trivet/sandbox/fault"
)

const typeInvalid = "invalid_request_error"

// apiError is the inside of OpenAI's error envelope; Param and Code are null when empty.
type apiError struct {
	Message string
	Type    string
	Param   string
	Code    string
}

func (e apiError) envelope() []byte {
	type inner struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    *string `json:"code"`
	}
	body, err := json.MarshalIndent(struct {
		Error inner `json:"error"`
	}{inner{e.Message, e.Type, orNull(e.Param), orNull(e.Code)}}, "", "  ")
	if err != nil { // four strings always marshal
		return []byte("{}")
	}
	return body
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func writeError(w http.ResponseWriter, status int, e apiError) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(e.envelope()) //nolint:gosec // what it repeats of the request is inside JSON, and sent as such
}

var errNoKey = apiError{
	Message: "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth " +
		"(i.e. Authorization: Bearer YOUR_KEY).",
	Type: typeInvalid,
}

func errWrongKey(key string) apiError {
	masked := "***"
	if len(key) > 8 {
		masked = key[:4] + "****" + key[len(key)-4:]
	}
	return apiError{
		Message: "Incorrect API key provided: " + masked + ". You can find your API key at https://platform.openai.com/account/api-keys.",
		Type:    typeInvalid, Code: "invalid_api_key",
	}
}

func errModel(model string) apiError {
	return apiError{
		Message: fmt.Sprintf("The model `%s` does not exist or you do not have access to it.", model),
		Type:    typeInvalid, Code: "model_not_found",
	}
}

// answerStatus writes OpenAI's generic error for a status.
func answerStatus(w http.ResponseWriter, status int, retryAfter time.Duration) {
	fault.SetRetryAfter(w.Header(), retryAfter)
	setHeaders(w.Header(), cmp.Or(w.Header().Get("X-Request-Id"), "req_sandbox"))
	switch {
	case status == http.StatusTooManyRequests:
		h := w.Header()
		h.Set("Retry-After-Ms", strconv.FormatInt(retryAfter.Milliseconds(), 10))
		h.Set("X-Ratelimit-Remaining-Requests", "0")
		h.Set("X-Ratelimit-Reset-Requests", retryAfter.String())
		writeError(w, status, apiError{
			Message: fmt.Sprintf("Rate limit reached for requests in organization %s on requests per min (RPM): Limit 10000, Used 10000, "+
				"Requested 1. Please try again in %s.", Organization, retryAfter),
			Type: "requests", Code: "rate_limit_exceeded",
		})
	case status == http.StatusUnauthorized:
		writeError(w, status, errWrongKey("sk-sandbox-revoked"))
	case status == http.StatusServiceUnavailable:
		writeError(w, status, apiError{
			Message: "The engine is currently overloaded, please try again later", Type: "server_error", Code: "service_unavailable",
		})
	case status >= 500:
		writeError(w, status, apiError{
			Message: "The server had an error while processing your request. Sorry about that!", Type: "server_error",
		})
	default:
		writeError(w, status, apiError{Message: http.StatusText(status), Type: typeInvalid})
	}
}

func wrongMethod(w http.ResponseWriter, r *http.Request) {
	writeError(w, http.StatusMethodNotAllowed, apiError{
		Message: fmt.Sprintf("Not allowed to %s on %s. (HINT: Perhaps you meant to use a different HTTP method?)", r.Method, r.URL.Path),
		Type:    typeInvalid, Code: "method_not_supported",
	})
}

func unknownURL(w http.ResponseWriter, r *http.Request) {
	writeError(w, http.StatusNotFound, apiError{
		Message: fmt.Sprintf("Invalid URL (%s %s)", r.Method, r.URL.Path), Type: typeInvalid,
	})
}
