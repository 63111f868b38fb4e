package stripe

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/sandbox/fault"
)

const (
	typeInvalid     = "invalid_request_error"
	typeAPI         = "api_error"
	typeCard        = "card_error"
	typeIdempotency = "idempotency_error"
)

// apiError is the inside of Stripe's error envelope.
type apiError struct {
	status        int
	final         bool           // the client must not try again
	Charge        string         `json:"charge,omitempty"`
	Code          string         `json:"code,omitempty"`
	DeclineCode   string         `json:"decline_code,omitempty"`
	DocURL        string         `json:"doc_url,omitempty"`
	Message       string         `json:"message"`
	Param         string         `json:"param,omitempty"`
	PaymentIntent *PaymentIntent `json:"payment_intent,omitempty"`
	PaymentMethod *PaymentMethod `json:"payment_method,omitempty"`
	Type          string         `json:"type"`
}

// Error says what went wrong, for people.
func (e *apiError) Error() string { return e.Message }

func (e *apiError) answer() answer {
	if e.Code != "" {
		e.DocURL = "https://stripe.com/docs/error-codes/" + strings.ReplaceAll(e.Code, "_", "-")
	}
	return answer{status: e.status, final: e.final, body: encode(struct {
		Error *apiError `json:"error"`
	}{e})}
}

func writeError(w http.ResponseWriter, e *apiError) { e.answer().write(w) }

func invalidRequest(param, code, message string) *apiError {
	return &apiError{status: http.StatusBadRequest, Type: typeInvalid, Param: param, Code: code, Message: message}
}

func missingParam(param string) *apiError {
	return invalidRequest(param, "parameter_missing", "Missing required param: "+param+".")
}

// notImplemented refuses a parameter that Stripe has and the sandbox lacks: a test must not pass because it was ignored.
func notImplemented(param string) *apiError {
	return invalidRequest(param, "parameter_unknown", "The sandbox does not implement the parameter "+param+", which Stripe has.")
}

func noSuch(kind, param, id string) *apiError {
	return &apiError{
		status: http.StatusNotFound, Type: typeInvalid, Param: param, Code: "resource_missing",
		Message: fmt.Sprintf("No such %s: '%s'", kind, id),
	}
}

// noSuchParam is noSuch for an object that a parameter names: there it is a bad request.
func noSuchParam(kind, param, id string) *apiError {
	e := noSuch(kind, param, id)
	e.status = http.StatusBadRequest
	return e
}

var errNoKey = &apiError{
	status: http.StatusUnauthorized, Type: typeInvalid,
	Message: "You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer auth " +
		"(e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). See https://stripe.com/docs/api#authentication for details, or we can help at " +
		"https://support.stripe.com/.",
}

func errWrongKey(key string) *apiError {
	masked := strings.Repeat("*", 8)
	if len(key) > 12 {
		masked = key[:8] + masked + key[len(key)-4:]
	}
	return &apiError{status: http.StatusUnauthorized, Type: typeInvalid, Message: "Invalid API Key provided: " + masked}
}

func unknownURL(w http.ResponseWriter, r *http.Request) {
	writeError(w, &apiError{
		status: http.StatusNotFound, Type: typeInvalid,
		Message: fmt.Sprintf("Unrecognized request URL (%s: %s). Please see https://stripe.com/docs or we can help at https://support.stripe.com/.",
			r.Method, r.URL.Path),
	})
}

// answerStatus writes Stripe's generic error for a status.
func answerStatus(w http.ResponseWriter, status int, retryAfter time.Duration) {
	fault.SetRetryAfter(w.Header(), retryAfter)
	e := &apiError{status: status, Type: typeInvalid, Message: http.StatusText(status)}
	switch {
	case status == http.StatusTooManyRequests:
		w.Header().Set("Stripe-Rate-Limited-Reason", "global-rate")
		e.Code = "rate_limit"
		e.Message = "Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits."
	case status == http.StatusConflict:
		e.Code = "lock_timeout"
		e.Message = "This object cannot be accessed right now because another API request or Stripe process is currently accessing it. " +
			"If you see this error intermittently, retry the request."
	case status == http.StatusUnauthorized:
		e = errWrongKey("sk_test_revoked0000")
	case status >= 500:
		e.Type = typeAPI
		e.Message = "An unknown error occurred"
	}
	writeError(w, e)
}
