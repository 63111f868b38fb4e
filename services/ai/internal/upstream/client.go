// Package upstream speaks HTTP with one provider, and keeps from the caller what identifies Trivet's account there.
package upstream

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/health"
	"github.com/trivet-dev/trivet/platform/provider"
	"github.com/trivet-dev/trivet/platform/requestid"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/ai/internal/invoke"
)

// busyRetry is when to try again while the bulkhead is full.
const busyRetry = time.Second

// Account is how the provider knows Trivet.
type Account struct {
	// BaseURL is where the API is, such as https://api.openai.com/v1.
	BaseURL *url.URL
	// Keys are the API keys, newest first. The first is used; none is ever shown.
	Keys settings.Secrets
	// Organization is the organization to bill; may be empty.
	Organization string
}

// Client calls one provider. It is safe for concurrent use.
type Client struct {
	transport     http.RoundTripper
	redactor      Redactor
	paths         map[aiv1.Endpoint]*url.URL
	models        *url.URL
	authorization []string
	organization     []string
}

var _ invoke.Target = (*Client)(nil)

// New returns a client on that transport.
func New(transport http.RoundTripper, account Account) *Client {
	c := &Client{
		transport: transport,
		redactor:  NewRedactor(append(account.Keys.Reveal(), account.Organization)...),
		models:    account.BaseURL.JoinPath("models"),
		paths: map[aiv1.Endpoint]*url.URL{
			aiv1.Endpoint_ENDPOINT_CHAT_COMPLETIONS: account.BaseURL.JoinPath("chat", "completions"),
			aiv1.Endpoint_ENDPOINT_EMBEDDINGS:       account.BaseURL.JoinPath("embeddings"),
			aiv1.Endpoint_ENDPOINT_COMPLETIONS:      account.BaseURL.JoinPath("completions"),
			aiv1.Endpoint_ENDPOINT_MODERATIONS:      account.BaseURL.JoinPath("moderations"),
		},
	}
	if key := account.Keys.Newest(); key.IsSet() { // a model server on this machine may need none
		c.authorization = []string{"Bearer " + key.Reveal()}
	}
	if account.Organization != "" {
		c.organization = []string{account.Organization}
	}
	return c
}

// Send implements invoke.Target. Of the caller's headers only those that pass Forwarded go along.
func (c *Client) Send(ctx context.Context, endpoint aiv1.Endpoint, body []byte, headers map[string]string) (*invoke.Answer, error) {
	to := c.paths[endpoint]
	if to == nil {
		return nil, errs.New(errorsv1.ErrorReason_ERROR_REASON_NOT_IMPLEMENTED, "The provider's client does not have this endpoint.")
	}
	request := (&http.Request{
		Method: http.MethodPost, URL: to, Host: to.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: c.header(ctx, headers), ContentLength: int64(len(body)), Body: reader(body),
		GetBody: func() (io.ReadCloser, error) { return reader(body), nil },
	}).WithContext(ctx)
	response, err := c.transport.RoundTrip(request) //nolint:bodyclose // the answer has the body
	if err != nil {
		return nil, Failure(err)
	}
	return c.answer(response), nil
}

// Redact implements invoke.Target.
func (c *Client) Redact(text string) string { return c.redactor.String(text) }

// Probe asks for the list of models, which costs nothing, and notes how that went.
func (c *Client) Probe(ctx context.Context, noted *health.Provider) {
	request := (&http.Request{
		Method: http.MethodGet, URL: c.models, Host: c.models.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: c.header(ctx, nil),
	}).WithContext(ctx)
	response, err := health.Transport{Next: c.transport, Provider: noted}.RoundTrip(request)
	if err == nil {
		_ = response.Body.Close() // the status says it all
	}
}

func reader(body []byte) io.ReadCloser { return io.NopCloser(bytes.NewReader(body)) }

// header lists what the provider gets. Bytes pass as they came, so no compression is asked for.
func (c *Client) header(ctx context.Context, headers map[string]string) http.Header {
	h := make(http.Header, 8)
	if c.authorization != nil {
		h["Authorization"] = c.authorization
	}
	h["Content-Type"] = contentType
	h["Accept-Encoding"] = identity
	h["User-Agent"] = userAgent
	if c.organization != nil {
		h["Openai-Organization"] = c.organization
	}
	if id := requestid.From(ctx); id != "" {
		h["X-Client-Request-Id"] = []string{id}
	}
	for name, value := range headers {
		if canonical := Forwarded(name); canonical != "" {
			h[canonical] = []string{value}
		}
	}
	return h
}

// Failure is the *errs.Error for a call, or the reading of its answer, that failed with err.
func Failure(err error) *errs.Error {
	var busy *provider.BusyError
	var network net.Error
	switch {
	case errors.As(err, &busy):
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE,
			"Too many calls to the provider run at once. Please try again in a moment.").After(busyRetry).Cause(err)
	case errors.Is(err, context.Canceled):
		return errs.From(err)
	case errors.Is(err, provider.ErrIdle):
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_TIMEOUT, "The provider went silent in the middle of its answer.").Cause(err)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_TIMEOUT, "The provider did not answer in time.").Cause(err)
	default:
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, "The provider could not be reached, or broke off its answer.").Cause(err)
	}
}
