package stripe

import (
	"net/http"
	"time"

	"golang.org/x/time/rate"

	"github.com/trivet-dev/trivet/platform/provider"
)

// readTry limits one attempt of a read, so that a silent Stripe leaves time for another attempt.
const readTry = 8 * time.Second

// patient returns an HTTP client that repeats calls whose failure may pass. The SDK sends an idempotency key with each write.
func patient(c Config, reads *rate.Limiter) *http.Client {
	if c.Transport == nil {
		return c.HTTP
	}
	with := *c.HTTP
	with.Transport = provider.NewRetry(c.Transport, c.HTTP.Transport, provider.Retries{
		Tries: c.Tries, Delay: c.RetryDelay, ReadTimeout: readTry, Again: again,
		Pace: func(r *http.Request) error {
			if r.Method != http.MethodGet {
				return nil
			}
			return reads.Wait(r.Context())
		},
	})
	return &with
}

// again decides, as Stripe's SDKs do, whether another attempt may bring another answer. Stripe repeats its answer to a write that failed with
// 500 for the same idempotency key, so another attempt is useless.
func again(r *http.Request, status int, h http.Header) bool {
	switch h.Get("Stripe-Should-Retry") {
	case "true":
		return true
	case "false":
		return false
	}
	switch {
	case status == http.StatusConflict, status == http.StatusServiceUnavailable:
		return true
	case status >= http.StatusInternalServerError:
		return r.Method != http.MethodPost
	}
	return provider.AgainByStatus(r, status, h)
}
