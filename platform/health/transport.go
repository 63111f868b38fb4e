package health

import (
	"context"
	"errors"
	"net/http"
)

// Transport notes how each call of a provider went.
type Transport struct {
	// Next makes the calls.
	Next http.RoundTripper
	// Provider records them.
	Provider *Provider
}

// RoundTrip implements http.RoundTripper.
func (t Transport) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := t.Next.RoundTrip(request)
	switch {
	case err != nil && errors.Is(request.Context().Err(), context.Canceled): // the caller left
	case err != nil:
		t.Provider.Bad()
	default:
		t.Provider.Note(response.StatusCode)
	}
	return response, err
}

// Note notes an answer by its HTTP status. A refusal of the request is an answer like any other, but 401 refuses Trivet's
// own credentials, so nothing works until they are replaced.
func (p *Provider) Note(status int) {
	if status >= http.StatusInternalServerError || status == http.StatusTooManyRequests || status == http.StatusUnauthorized {
		p.Bad()
		return
	}
	p.Good()
}
