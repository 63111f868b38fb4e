// Package webhook takes providers' webhooks: it caps the body, takes the headers that a signature needs, and hands both
// over as they came. The service verifies and stores; the answer follows its durable commit.
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

// MaxBody is the largest webhook that is taken, in bytes.
const MaxBody = 1 << 20

// Timeout is how long an event may take to be stored. Svix waits 15 s for an answer, Stripe no less: one that says to try
// again beats none.
const Timeout = 10 * time.Second

// retryAfter is when a provider may try again; each goes by its own schedule.
const retryAfter = 5 * time.Second

// Receive verifies and stores one webhook; it returns after a durable commit.
type Receive func(ctx context.Context, headers map[string]string, body []byte) error

// Handler serves one provider's address.
type Handler struct {
	// Headers are those that the signature needs, in canonical form.
	Headers []string
	// Body reads the requests' bodies; its Max must be MaxBody.
	Body reqbody.Reader
	// Timeout bounds Receive; zero means Timeout.
	Timeout time.Duration
	// Secure tells whether a request came over HTTPS; nil takes any.
	Secure func(*http.Request) bool
	// Receive hands over to the service.
	Receive Receive
	// Insecure is told of each request that Secure refuses; nil tells nobody.
	Insecure func(*http.Request)
	// Refused is told of each request that was not what the provider sends; nil tells nobody.
	Refused func(*http.Request)
}

// ServeHTTP answers {"received": true} to what is stored, now or before.
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
			"Webhooks are taken over HTTPS only. Behind a proxy that ends TLS, name it in TRIVET_TRUSTED_PROXIES and let it set X-Forwarded-Proto to one value, https.")
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
	if err != nil && ctx.Err() != nil && r.Context().Err() == nil { // it may be stored yet: then the next one is a duplicate
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE,
			"The event could not be stored in time. Please send it again.").After(retryAfter).Cause(err)
	}
	return err
}

// maxHeader is the longest header that a signature may have, in bytes; providers need some hundred.
const maxHeader = 8 << 10

// headers are those that the signature needs, by lower-case name. No provider sends them twice, so long that they are work
// to read, or in other than ASCII, which no call to a service could carry.
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
