// Package upstream speaks HTTP with the provider, and keeps from the caller what is not theirs to see.
package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/provider"
	"github.com/trivet-dev/trivet/platform/requestid"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

// busyRetry is when to try again while the bulkhead is full.
const busyRetry = time.Second

// Account is how Trivet is known to the provider.
type Account struct {
	// BaseURL is where the API is, such as https://api.openai.com/v1.
	BaseURL *url.URL
	// Key is the API key.
	Key settings.Secret
	// Organization is the organization to bill; may be empty.
	Organization string
}

// Client calls one provider. It is safe for concurrent use.
type Client struct {
	transport        http.RoundTripper
	chat, embeddings *url.URL
	authorization    []string
	organization     []string
}

// New returns a client on that transport.
func New(transport http.RoundTripper, account Account) *Client {
	c := &Client{
		transport:     transport,
		chat:          account.BaseURL.JoinPath(wire.Chat.Path()),
		embeddings:    account.BaseURL.JoinPath(wire.Embeddings.Path()),
		authorization: []string{"Bearer " + account.Key.Reveal()},
	}
	if account.Organization != "" {
		c.organization = []string{account.Organization}
	}
	return c
}

// Send posts a body; the response is the transport's, any status included, and its body must be closed. The call is
// cut off when ctx ends. Of the caller's headers only those that pass Forwarded go along. Errors: see Failure.
func (c *Client) Send(ctx context.Context, endpoint wire.Endpoint, body []byte, headers map[string]string) (*http.Response, error) {
	to := c.chat
	if endpoint == wire.Embeddings {
		to = c.embeddings
	}
	request := (&http.Request{
		Method: http.MethodPost, URL: to, Host: to.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: c.header(ctx, headers), ContentLength: int64(len(body)), Body: reader(body),
		GetBody: func() (io.ReadCloser, error) { return reader(body), nil },
	}).WithContext(ctx)
	response, err := c.transport.RoundTrip(request)
	if err != nil {
		return nil, fmt.Errorf("call the provider: %w", err)
	}
	return response, nil
}

func reader(body []byte) io.ReadCloser { return io.NopCloser(bytes.NewReader(body)) }

// header lists what the provider gets. Bytes pass as they came, so no compression is asked for.
func (c *Client) header(ctx context.Context, headers map[string]string) http.Header {
	h := make(http.Header, 8)
	h["Authorization"] = c.authorization
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
