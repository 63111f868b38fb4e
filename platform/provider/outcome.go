package provider

import (
	"errors"
	"net/http"
	"net/url"
)

// outcome is how a call went, a label with few values.
type outcome string

const (
	success     outcome = "success"      // 2xx or 3xx, body complete
	clientError outcome = "client_error" // 4xx but 429
	rateLimited outcome = "rate_limited" // 429
	serverError outcome = "server_error" // 5xx
	timeout     outcome = "timeout"      // connect, TLS, header, idle chunk, or the caller's deadline after a second or more
	canceled    outcome = "canceled"     // the caller left, or its deadline was shorter than a second
	busyOutcome outcome = "busy"         // refused by the bulkhead
	openOutcome outcome = "open"         // refused by the breaker
	failed      outcome = "failed"       // no connection, or it broke
)

// fine reports outcomes that do not indicate a problem with the provider.
func (o outcome) fine() bool { return o == success || o == canceled }

// result is what the outcome says about the provider.
func (o outcome) result() result {
	switch o {
	case success, clientError:
		return good
	case serverError, timeout, failed:
		return bad
	default:
		return neither
	}
}

func byStatus(status int) outcome {
	switch {
	case status == http.StatusTooManyRequests:
		return rateLimited
	case status >= 500:
		return serverError
	case status >= 400:
		return clientError
	default:
		return success
	}
}

// withoutURL is err's text without the address that net/http may put before it: its query may hold a secret.
func withoutURL(err error) string {
	if at, ok := errors.AsType[*url.Error](err); ok {
		return at.Err.Error()
	}
	return err.Error()
}
