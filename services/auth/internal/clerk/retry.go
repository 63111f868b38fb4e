package clerk

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/trivet-dev/trivet/platform/provider"
)

const (
	// LiveReads per second stay below the limit of 1,000 in 10 s that Clerk sets for production instances.
	LiveReads = 80
	// TestReads per second stay below the limit of 100 in 10 s for development instances.
	TestReads = 8
)

// ReadsOf returns the default of reads per second for a secret key.
func ReadsOf(secretKey string) int {
	if strings.HasPrefix(secretKey, "sk_live_") {
		return LiveReads
	}
	return TestReads
}

// Patience says how reads of the Backend API are paced and repeated.
type Patience struct {
	ReadsPerSecond int
	// Tries are the most attempts of a read.
	Tries int
	// RetryDelay is the longest pause before the first repetition.
	RetryDelay time.Duration
	// ReadTimeout limits one attempt.
	ReadTimeout time.Duration
}

// Patient returns the HTTP client of the SDK: each attempt waits for the rate limit, and failures that may pass are repeated. next leads to
// the transport.
func Patient(t *provider.Transport, next http.RoundTripper, p Patience) *http.Client {
	// Clerk counts in windows of 10 s, so a second's reads may come at once.
	limiter := rate.NewLimiter(rate.Limit(p.ReadsPerSecond), p.ReadsPerSecond)
	pace := func(r *http.Request) error {
		if err := limiter.Wait(r.Context()); err != nil {
			return fmt.Errorf("CLERK_READS_PER_SECOND is reached, and the read's deadline comes before its turn; raise it if Clerk allows more: %w", err)
		}
		return nil
	}
	return &http.Client{CheckRedirect: provider.NoRedirect, Transport: paced{pace: pace, next: provider.NewRetry(t, next, provider.Retries{
		Tries: p.Tries, Delay: p.RetryDelay, ReadTimeout: p.ReadTimeout, Pace: pace,
	})}}
}

// paced waits for the rate limit before the first attempt of a call.
type paced struct {
	pace func(*http.Request) error
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (p paced) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := p.pace(r); err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, err
	}
	return p.next.RoundTrip(r)
}

// FetchesKeys tells the call that fetches the signing keys, without which no session can be verified.
func FetchesKeys(r *http.Request) bool { return Method(r) == "jwks.get" }
