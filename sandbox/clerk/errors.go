package clerk

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/trivet-dev/trivet/sandbox/fault"
	"github.com/trivet-dev/trivet/sandbox/internal/ident"
)

// maxBody bounds a request body, in bytes.
const maxBody = 1 << 20

// apiError is one entry of Clerk's error envelope.
type apiError struct {
	Message     string         `json:"message"`
	LongMessage string         `json:"long_message"`
	Code        string         `json:"code"`
	Meta        map[string]any `json:"meta,omitempty"`
}

// failure is an answer with an error status.
type failure struct {
	status int
	body   apiError
}

// Error says what went wrong, for people.
func (f *failure) Error() string { return cmp.Or(f.body.LongMessage, f.body.Message) }

func notFound(kind, id string) error {
	return &failure{http.StatusNotFound, apiError{
		Message: "not found", LongMessage: fmt.Sprintf("No %s was found with id %s", kind, id), Code: "resource_not_found",
	}}
}

func invalid(param, code, message string) error {
	return &failure{http.StatusUnprocessableEntity, apiError{
		Message: message, LongMessage: param + " " + message, Code: code, Meta: map[string]any{"param_name": param},
	}}
}

func missing(param string) error { return invalid(param, "form_param_missing", "must be included.") }

func writeErrors(w http.ResponseWriter, status int, list ...apiError) {
	trace := ident.Derive(32, "trace", fmt.Sprint(status, list))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Clerk-Trace-Id", trace)
	w.WriteHeader(status)
	writeBody(w, struct {
		Errors  []apiError `json:"errors"`
		TraceID string     `json:"clerk_trace_id"`
	}{list, trace})
}

func writeBody(w io.Writer, v any) {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	// The only remaining error is a client that disconnected.
	_ = enc.Encode(v)
}

func respond(w http.ResponseWriter, r *http.Request, handle handler) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if len(body) > maxBody {
		writeErrors(w, http.StatusRequestEntityTooLarge, apiError{Message: "Request body too large", Code: "request_body_too_large"})
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	v, err := handle(r)
	var bad *failure
	switch {
	case errors.As(err, &bad):
		writeErrors(w, bad.status, bad.body)
	case err != nil:
		writeErrors(w, http.StatusInternalServerError, apiError{Message: "Oops, an unexpected error occurred", LongMessage: err.Error(), Code: "internal_clerk_error"})
	default:
		w.Header().Set("Content-Type", "application/json")
		writeBody(w, v)
	}
}

// readBody decodes a JSON object; unknown fields are refused as Clerk refuses them. No body and null are the
// empty object: the Go SDK sends null.
func readBody(r *http.Request, into any) error {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	if err == nil || errors.Is(err, io.EOF) {
		return nil
	}
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		return invalid(wrongType.Field, "form_param_format_invalid", fmt.Sprintf("must be of type %s.", wrongType.Type))
	}
	var field string
	if _, scanErr := fmt.Sscanf(err.Error(), "json: unknown field %q", &field); scanErr == nil {
		return invalid(field, "form_param_unknown", "is not a valid parameter for this request.")
	}
	return &failure{http.StatusBadRequest, apiError{
		Message: "Request body invalid", LongMessage: "The request body is invalid. Please consult the API documentation for more information.", Code: "request_body_invalid",
	}}
}

// answerStatus writes Clerk's generic error for a status.
func answerStatus(w http.ResponseWriter, status int, retryAfter time.Duration) {
	fault.SetRetryAfter(w.Header(), retryAfter)
	switch {
	case status == http.StatusTooManyRequests:
		writeErrors(w, status, apiError{Message: "Too many requests. Please try again in a bit.", LongMessage: "Too many requests. Please try again in a bit.", Code: "too_many_requests"})
	case status >= 500:
		writeErrors(w, status, apiError{
			Message: "Oops, an unexpected error occurred", LongMessage: "There was an internal error on our servers. We've been notified and are working on fixing it.",
			Code: "internal_clerk_error",
		})
	default:
		writeErrors(w, status, apiError{Message: http.StatusText(status), LongMessage: http.StatusText(status), Code: "request_invalid"})
	}
}
