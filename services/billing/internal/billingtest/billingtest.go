// Package billingtest has what the tests of billing's packages share: a clock that tests move, a fake Stripe, and the tables.
package billingtest

import (
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/platform/job"
	"github.com/trivet-dev/trivet/sandbox/fault"
	fake "github.com/trivet-dev/trivet/sandbox/stripe"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
)

// Migrations are those of the service: the inbox, the jobs and the store.
func Migrations() []database.Migrations {
	return []database.Migrations{inbox.Migrations(), job.Migrations(), store.Migrations()}
}

// Clock is a clock that tests move. It is safe for concurrent use.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock that shows a time.
func NewClock(now time.Time) *Clock { return &Clock{now: now} }

// Now returns the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Set sets the time.
func (c *Clock) Set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t
}

// Add moves the clock ahead.
func (c *Clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Stripe serves a fake Stripe over HTTP until the test ends, and returns it with its address.
func Stripe(t testing.TB, config fake.Config) (stripe *fake.Fake, url string) {
	t.Helper()
	stripe, err := fake.New(config)
	require.NoError(t, err)
	server := httptest.NewServer(stripe)
	t.Cleanup(server.Close)
	return stripe, server.URL
}

// Fail makes the fake Stripe fail, and returns the id of the fault.
func Fail(t testing.TB, stripe *fake.Fake, f fault.Fault) string {
	t.Helper()
	added, err := stripe.Faults().Add(f)
	require.NoError(t, err)
	return added.ID
}
