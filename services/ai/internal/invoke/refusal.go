package invoke

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

// Refusal is an error that the provider answered.
type Refusal struct {
	// Status is the HTTP status for the caller, 400 to 599. It differs from the provider's where that one would mislead:
	// an error in an answer with status 200, or a web page.
	Status int
	// Body is the error in OpenAI's envelope, without what identifies Trivet's account.
	Body []byte
	// Message and Code are what the envelope says. The message is cut to what an error can carry; the code may be empty.
	Message, Code string
	// Ours tells that the refusal is about Trivet's own account at the provider, which no caller can change.
	Ours bool
}

// envelope is OpenAI's form of an error.
type envelope struct {
	Error envelopeError `json:"error"`
}

type envelopeError struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    *string `json:"code"`
}

// NewRefusal returns the refusal for what a provider said with a status of 400 or above. All texts of the provider pass
// redact.
func NewRefusal(status int, f wire.Failure, redact func(string) string) *Refusal {
	r := &Refusal{Status: status, Message: Shorten(redact(f.Message)), Code: redact(f.Code)}
	if r.Message == "" {
		r.Message = strings.TrimSpace(fmt.Sprintf("The provider answered %d %s without a reason.", status, http.StatusText(status)))
	}
	r.Ours = isOurs(status, r.Code)
	body := envelope{envelopeError{Message: r.Message, Type: redact(f.Type)}}
	if body.Error.Type == "" {
		body.Error.Type = typeOf(status)
	}
	if code := r.Code; code != "" {
		body.Error.Code = &code
	} else if code := codeOf(status); code != "" {
		body.Error.Code = &code
	}
	if param := redact(f.Param); param != "" {
		body.Error.Param = &param
	}
	r.Body, _ = json.Marshal(body) // texts only: it cannot fail
	return r
}

// typeOf returns the type that OpenAI gives an error with that status.
func typeOf(status int) string {
	switch {
	case status == http.StatusUnauthorized:
		return "authentication_error"
	case status == http.StatusForbidden:
		return "permission_error"
	case status == http.StatusTooManyRequests:
		return "rate_limit_error"
	case status < http.StatusInternalServerError:
		return "invalid_request_error"
	default:
		return "server_error"
	}
}

// codeOf returns the code for an error whose provider gives none; "" when the status says it all.
func codeOf(status int) string {
	switch {
	case status == http.StatusTooManyRequests:
		return "rate_limit_exceeded"
	case status >= http.StatusInternalServerError:
		return "upstream_error"
	default:
		return ""
	}
}

// ourCodes are codes about an account. Other codes that come with the status 403 are about one request: a content
// policy, a region, a model.
var ourCodes = map[string]struct{}{
	"insufficient_quota": {}, "billing_hard_limit_reached": {}, "billing_not_active": {}, "invalid_api_key": {}, "account_deactivated": {},
	"invalid_organization": {}, "organization_not_found": {}, "insufficient_permissions": {}, "insufficient_balance": {}, "access_terminated": {},
}

// isOurs reports whether a refusal is about Trivet's own account at the provider.
func isOurs(status int, code string) bool {
	_, known := ourCodes[code]
	return known || status == http.StatusUnauthorized || status == http.StatusPaymentRequired
}

// maxMessage bounds a provider's message within an error, in bytes.
const maxMessage = 1000

// Shorten cuts a provider's message to what an error can carry.
func Shorten(message string) string {
	if len(message) <= maxMessage {
		return message
	}
	return strings.ToValidUTF8(message[:maxMessage], "") + "…"
}
