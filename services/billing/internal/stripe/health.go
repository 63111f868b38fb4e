package stripe

import (
	"context"
	"errors"
	"net/http"
	"sync"

	sdk "github.com/stripe/stripe-go/v76"
)

// downAfter is how many failures in a row mean that Stripe is down.
const downAfter = 3

// health remembers how the last calls went.
type health struct {
	mu       sync.Mutex
	called   bool
	failures int
}

// note counts a call. Stripe's refusal of a request is an answer: Stripe is well then.
func (h *health) note(err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.called = true
	var api *sdk.Error
	switch {
	case err == nil:
		h.failures = 0
	case errors.As(err, &api) && api.HTTPStatusCode < http.StatusInternalServerError && api.HTTPStatusCode != http.StatusTooManyRequests:
		h.failures = 0
	default:
		h.failures++
	}
}

func (h *health) status() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case !h.called:
		return "unknown"
	case h.failures == 0:
		return "operational"
	case h.failures < downAfter:
		return "degraded"
	default:
		return "down"
	}
}
