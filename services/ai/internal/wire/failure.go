package wire

import (
	"net/http"
	"strings"

	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
)

// Failure is what a provider says of an error, whichever envelope it uses.
type Failure struct {
	// Message is for people; "" when the provider gives none.
	Message string
	// Type, Code and Param are as in OpenAI's envelope; "" when absent. A numeric code is in Status only.
	Type, Code, Param string
	// Status is the HTTP status that the error names, 400 to 599; 0 when it names none.
	Status int
}

// messageNames are the members that hold the message, by rank: a title says less than a detail.
var messageNames = [...]string{"message", "msg", "detail", "details", "error_description", "description", "reason", "title"}

// ReadFailure reads the body of an error. Known envelopes are OpenAI's, an error or a message that is a text, FastAPI's
// detail, lists of errors, and lists around any of these. A body that was cut is read as far as it goes. The result is
// empty for a body that says nothing.
func ReadFailure(body []byte) Failure {
	c := jsonscan.New(body)
	var f failureReader
	f.value(&c, 0)
	return f.Failure
}

// OwnStatus returns the HTTP status for an error that came with a good status: the one that it names, or the one that its
// code or type stands for, else 502.
func (f Failure) OwnStatus() int {
	if f.Status != 0 {
		return f.Status
	}
	for _, name := range [...]string{f.Code, f.Type} {
		if status, known := statuses[name]; known {
			return status
		}
	}
	return http.StatusBadGateway
}

// statuses are those that OpenAI's codes and types stand for.
var statuses = map[string]int{
	"invalid_api_key": http.StatusUnauthorized, "authentication_error": http.StatusUnauthorized, "permission_error": http.StatusForbidden,
	"rate_limit_exceeded": http.StatusTooManyRequests, "rate_limit_error": http.StatusTooManyRequests, "insufficient_quota": http.StatusTooManyRequests,
	"context_length_exceeded": http.StatusBadRequest, "content_policy_violation": http.StatusBadRequest, "content_filter": http.StatusBadRequest,
	"invalid_request_error": http.StatusBadRequest, "model_not_found": http.StatusNotFound, "not_found_error": http.StatusNotFound,
	"overloaded_error": http.StatusServiceUnavailable,
}

// failureReader collects a Failure. Of two messages the one of the inner object wins, then the one of the better name.
type failureReader struct {
	Failure

	depth, rank int // of Message
}

// maxFailureDepth bounds how deep an error is looked for within errors.
const maxFailureDepth = 6

func (f *failureReader) value(c *jsonscan.Cursor, depth int) {
	switch {
	case depth > maxFailureDepth:
		c.Skip()
	case c.Kind() == jsonscan.Object:
		for key := range c.Members() {
			f.member(c, string(key), depth)
		}
	case c.Kind() == jsonscan.Array: // the first error is the cause of the others
		for n := range c.Elements() {
			if n > 0 {
				c.Skip()
				continue
			}
			f.value(c, depth+1)
		}
	case c.Kind() == jsonscan.String:
		f.say(string(text(c)), depth, len(messageNames))
	default:
		c.Skip()
	}
}

func (f *failureReader) member(c *jsonscan.Cursor, name string, depth int) {
	switch name {
	case "error", "errors":
		f.value(c, depth+1)
	case "type":
		set(&f.Type, c)
	case "code", "status", "status_code":
		f.code(c, name)
	case "param":
		set(&f.Param, c)
	case "loc":
		f.location(c)
	default:
		f.message(c, name, depth)
	}
}

func (f *failureReader) message(c *jsonscan.Cursor, name string, depth int) {
	for rank, known := range messageNames {
		switch {
		case name != known:
		case c.Kind() == jsonscan.String:
			f.say(string(text(c)), depth, rank)
			return
		default:
			f.value(c, depth+1)
			return
		}
	}
	c.Skip()
}

func (f *failureReader) say(message string, depth, rank int) {
	message = strings.TrimSpace(message)
	if isStatusText(message) { // says nothing that the status does not
		depth = -1
	}
	if message == "" || f.Message != "" && (depth < f.depth || depth == f.depth && rank >= f.rank) {
		return
	}
	f.Message, f.depth, f.rank = message, depth, rank
}

func isStatusText(message string) bool {
	for status := http.StatusBadRequest; status < 600; status++ {
		if known := http.StatusText(status); known != "" && strings.EqualFold(message, known) {
			return true
		}
	}
	return false
}

// code takes a code that is a text, or one that is an HTTP status.
func (f *failureReader) code(c *jsonscan.Cursor, name string) {
	switch {
	case c.Kind() == jsonscan.Number:
		n, whole := c.Int()
		if whole && n >= http.StatusBadRequest && n < 600 {
			f.Status = int(n)
		}
	case name == "code":
		set(&f.Code, c)
	default:
		c.Skip()
	}
}

// location takes FastAPI's path of a field, without the part of the request that it begins with.
func (f *failureReader) location(c *jsonscan.Cursor) {
	var path []string
	for range c.Elements() {
		if part := string(text(c)); part != "" && (len(path) > 0 || part != "body") {
			path = append(path, part)
		}
	}
	if f.Param == "" {
		f.Param = strings.Join(path, ".")
	}
}

func set(into *string, c *jsonscan.Cursor) {
	if value := string(text(c)); value != "" {
		*into = value
	}
}

// IsFailure reports whether the value of a member "error" says that something failed: null, false, 0, and an empty
// text, list or object do not.
func IsFailure(raw []byte) bool {
	c := jsonscan.New(raw)
	switch c.Kind() {
	case jsonscan.Object:
		some := false
		for range c.Members() {
			some = true
			c.Skip()
		}
		return some
	case jsonscan.Array:
		some := false
		for range c.Elements() {
			some = true
			c.Skip()
		}
		return some
	case jsonscan.String:
		return strings.TrimSpace(string(text(&c))) != ""
	default: // a number or a word says nothing either
		return string(raw) == "true"
	}
}
