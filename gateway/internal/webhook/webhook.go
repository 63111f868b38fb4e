// Package webhook receives providers' webhooks. It limits the body, picks the headers that the signature needs, and passes
// both on unchanged. The service verifies and stores the event; the edge answers after the durable commit.
package webhook

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/gateway/internal/call"
	"github.com/trivet-dev/trivet/gateway/internal/reqbody"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// MaxBody is the maximum size of a webhook in bytes.
const MaxBody = 1 << 20

// Timeout is how long storing an event may take. Svix waits 15 s for a response, and Stripe waits at least as long. A 503
// within that time makes them retry sooner than no response.
const Timeout = 10 * time.Second

// retryAfter is sent with a 503. Providers may follow their own schedule.
const retryAfter = 5 * time.Second

// Receive verifies and stores one webhook. It returns after a durable commit.
type Receive func(ctx context.Context, headers map[string]string, body []byte) error

// Handler receives the webhooks of one provider.
type Handler struct {
	// Headers lists the headers that the signature needs, in canonical form.
	Headers []string
	// Body reads request bodies; its Max must be MaxBody.
	Body reqbody.Reader
	// Timeout limits Receive; zero means the constant Timeout.
	Timeout time.Duration
	// Secure reports whether a request came over HTTPS; nil accepts every request.
	Secure  func(*http.Request) bool
	Receive Receive
	// Insecure, when set, is called for each request that Secure rejects.
	Insecure func(*http.Request)
	// Refused, when set, is called for each request that the provider cannot have sent.
	Refused func(*http.Request)
}

// ServeHTTP answers {"received": true} when the event is stored, now or by an earlier delivery.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	state := call.From(r.Context())
	if err := h.receive(w, r); err != nil {
		if h.Refused != nil && errs.MappingOf(errs.ReasonOf(err)).HTTP < http.StatusInternalServerError {
			h.Refused(r)
		}
		state.Fail(r.Context(), w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"received": true}`)
}

func (h *Handler) receive(w http.ResponseWriter, r *http.Request) error {
	if h.Secure != nil && !h.Secure(r) {
		if h.Insecure != nil {
			h.Insecure(r)
		}
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED,
			"Webhooks must come over HTTPS. If a proxy ends TLS, name it in TRIVET_TRUSTED_PROXIES and let it set X-Forwarded-Proto to https.")
	}
	headers, err := h.headers(r)
	if err != nil {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_WEBHOOK_SIGNATURE_INVALID, "Invalid webhook signature").Cause(err)
	}
	body, err := h.Body.Read(w, r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), cmp.Or(h.Timeout, Timeout))
	defer cancel()
	err = h.Receive(ctx, headers, body)
	if err != nil && ctx.Err() != nil && r.Context().Err() == nil { // if the service stores it after all, the next delivery is a duplicate
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE,
			"The event could not be stored in time. Please send it again.").After(retryAfter).Cause(err)
	}
	return err
}

// maxHeader is the maximum length of a signature header in bytes. Providers need a few hundred.
const maxHeader = 8 << 10

// headers returns the headers that the signature needs, by lower-case name. It refuses headers that no provider sends:
// repeated, very long, or not printable ASCII, which gRPC metadata cannot carry.
func (h *Handler) headers(r *http.Request) (map[string]string, error) {
	found := make(map[string]string, len(h.Headers))
	for _, name := range h.Headers {
		values := r.Header[name]
		if len(values) == 0 {
			continue
		}
		if len(values) > 1 {
			return nil, errors.New("the header " + name + " was sent more than once")
		}
		if len(values[0]) > maxHeader || strings.ContainsFunc(values[0], unprintable) {
			return nil, errors.New("the header " + name + " is too long or is not printable ASCII")
		}
		found[strings.ToLower(name)] = values[0]
	}
	return found, nil
}

func unprintable(c rune) bool { return (c < ' ' || c > '~') && c != '\t' }
