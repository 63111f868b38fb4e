// Package upstream speaks HTTP with the providers' servers, chooses among them, and keeps from the caller what
// identifies Trivet's accounts there.
package upstream

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/provider"
	"github.com/trivet-dev/trivet/platform/requestid"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/ai/internal/invoke"
)

// busyRetry is when to try again while the bulkhead is full.
const busyRetry = time.Second

// Account is a target and how its provider knows Trivet.
type Account struct {
	models.Target
	// Secrets are the API keys, a group for each setting, newest first.
	Secrets []settings.Secrets
}

// client calls one target. It is safe for concurrent use.
type client struct {
	account      Account
	transport    http.RoundTripper
	redactor     Redactor
	keyHeader    string
	keys         *keyring
	organization []string
}

func newClient(transport http.RoundTripper, account Account) *client {
	c := &client{account: account, transport: transport, keyHeader: "Authorization"}
	prefix, secrets := "Bearer ", []string{account.Organization}
	if account.Kind == models.TargetAzure {
		c.keyHeader, prefix = "Api-Key", ""
	}
	for _, group := range account.Secrets {
		secrets = append(secrets, group.Reveal()...)
	}
	c.redactor, c.keys = NewRedactor(secrets...), newKeyring(prefix, account.Secrets)
	if account.Organization != "" {
		c.organization = []string{account.Organization}
	}
	return c
}

// address returns the URL of a path for a model. Azure has the model in the path where an API version is given.
func (c *client) address(path, model string) *url.URL {
	base := c.account.BaseURL
	if base.Path == "" { // otherwise JoinPath makes a path without its first slash, which servers refuse
		base = base.JoinPath("/")
	}
	if c.account.Kind != models.TargetAzure {
		return base.JoinPath(path)
	}
	if c.account.APIVersion == "" {
		return base.JoinPath("openai", "v1", path)
	}
	if path == "responses" || strings.HasPrefix(path, "responses/") { // the body names the model
		u := base.JoinPath("openai", path)
		u.RawQuery = "api-version=" + url.QueryEscape(c.account.APIVersion)
		return u
	}
	u := base.JoinPath("openai", "deployments", url.PathEscape(model), path)
	u.RawQuery = "api-version=" + url.QueryEscape(c.account.APIVersion)
	return u
}

// send posts a body and returns the answer, whatever its status. Its errors are *errs.Error. A form is kept only until it was sent and
// the answer has begun, or the caller is gone: an answer can take long, and a form is large.
func (c *client) send(ctx context.Context, to *url.URL, key pick, q *invoke.Query, body []byte, gone <-chan struct{}) (*reply, error) {
	request := (&http.Request{
		Method: q.Method, URL: to, Host: to.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: c.header(ctx, key.secret, q),
	}).WithContext(ctx)
	switch {
	case body == nil:
	case q.ContentType != "":
		files := &upload{body: body}
		defer files.until(gone)()
		request.ContentLength, request.Body, request.GetBody = int64(len(body)), &uploading{rest: body}, files.again
	default:
		request.ContentLength, request.Body = int64(len(body)), reader(body)
		request.GetBody = func() (io.ReadCloser, error) { return reader(body), nil }
	}
	response, err := c.transport.RoundTrip(request) //nolint:bodyclose // the reply has the body
	if err != nil {
		return nil, err
	}
	return c.answer(response), nil
}

func reader(body []byte) io.ReadCloser { return io.NopCloser(bytes.NewReader(body)) }

// header lists what the provider gets. Bytes pass as they came, so no compression is asked for.
func (c *client) header(ctx context.Context, key *secret, q *invoke.Query) http.Header {
	h := make(http.Header, 8)
	if key.header != nil {
		h[c.keyHeader] = key.header
	}
	h["Content-Type"] = contentType
	if q.ContentType != "" {
		h["Content-Type"] = []string{q.ContentType}
	}
	h["Accept-Encoding"] = identity
	h["User-Agent"] = userAgent
	if c.organization != nil {
		h["Openai-Organization"] = c.organization
	}
	if id := requestid.From(ctx); id != "" {
		h["X-Client-Request-Id"] = []string{id}
	}
	for name, value := range q.Headers {
		if canonical := Forwarded(name); canonical != "" {
			h[canonical] = []string{value}
		}
	}
	return h
}

// Failure is the *errs.Error for a call, or the reading of its answer, that failed with err.
func Failure(err error) *errs.Error {
	var own *errs.Error
	var busy *provider.BusyError
	var open *provider.OpenError
	var network net.Error
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &busy):
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE,
			"Too many calls to the provider run at once. Please try again in a moment.").After(busyRetry).Cause(errors.Join(err, invoke.ErrNoTarget))
	case errors.As(err, &open):
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE,
			"The provider fails and is not called for a moment. Please try again later.").After(atLeastOne(open.Wait)).Cause(errors.Join(err, invoke.ErrNoTarget))
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

// atLeastOne rounds a wait up to whole seconds, because Retry-After has no parts of a second.
func atLeastOne(wait time.Duration) time.Duration {
	return max(time.Second, (wait + time.Second - 1).Truncate(time.Second))
}
