package stripe_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric/noop"

	statusv1 "github.com/trivet-dev/trivet/gen/go/trivet/status/v1"
	"github.com/trivet-dev/trivet/platform/health"
	"github.com/trivet-dev/trivet/platform/provider"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/sandbox/fault"
	fake "github.com/trivet-dev/trivet/sandbox/stripe"
	"github.com/trivet-dev/trivet/services/billing/internal/billingtest"
	"github.com/trivet-dev/trivet/services/billing/internal/outcome"
	"github.com/trivet-dev/trivet/services/billing/internal/stripe"
)

const secret = "sk_test_billing"

// fixture is a client and a fake Stripe. They speak real HTTP over the transport of production.
type fixture struct {
	*stripe.Client
	fake     *fake.Fake
	requests []*http.Request
	sent     string // the body of the last request
	url      string
	log      bytes.Buffer
	clock    time.Time
}

func (w *fixture) state() statusv1.Status { return w.Condition().GetStatus() }

func newFixture(t *testing.T, key string) *fixture {
	t.Helper()
	w := &fixture{clock: time.Now()}
	var err error
	w.fake, err = fake.New(fake.Config{Keys: []string{secret}})
	require.NoError(t, err)
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.requests, w.sent = append(w.requests, r), string(body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		w.fake.ServeHTTP(rw, r)
	}))
	t.Cleanup(server.Close)
	w.url = server.URL
	log := slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	transport, err := provider.New(stripe.Transport(), log, noop.Meter{})
	require.NoError(t, err)
	t.Cleanup(transport.CloseIdleConnections)
	w.Client = stripe.New(stripe.Config{Key: settings.NewSecret(key), URL: server.URL + "/", HTTP: transport.Client(), Health: health.NewProvider(func() time.Time { return w.clock }), Logger: log, ReadsPerSecond: 10_000})
	return w
}

func (w *fixture) fail(t *testing.T, f fault.Fault) {
	t.Helper()
	billingtest.Fail(t, w.fake, f)
}

func TestCreateIsIdempotentByKey(t *testing.T) {
	w := newFixture(t, secret)
	require.Equal(t, health.Unknown, w.state())
	first, err := w.Create(t.Context(), "org_1", "org_1")
	require.NoError(t, err)
	require.Regexp(t, "^cus_", first)
	require.Equal(t, health.Operational, w.state())
	again, err := w.Create(t.Context(), "org_1", "org_1")
	require.NoError(t, err)
	require.Equal(t, first, again)
	other, err := w.Create(t.Context(), "org_1", "org_1/1")
	require.NoError(t, err)
	require.NotEqual(t, first, other)

	sent := w.requests[0]
	require.Equal(t, "org_1", sent.Header.Get("Idempotency-Key"))
	require.Equal(t, "2023-10-16", sent.Header.Get("Stripe-Version"))
	require.Empty(t, w.requests[2].Header.Get("X-Stripe-Client-Telemetry"))
	require.NotContains(t, w.log.String(), secret)
	require.Contains(t, w.log.String(), "method=customers.create")
}

func TestFindLooksThroughAllPages(t *testing.T) {
	w := newFixture(t, secret)
	wanted, err := w.Create(t.Context(), "org_wanted", "org_wanted")
	require.NoError(t, err)
	for i := range 205 {
		_, err := w.Create(t.Context(), fmt.Sprintf("org_%d", i), fmt.Sprintf("org_%d", i))
		require.NoError(t, err)
	}
	before := len(w.requests)
	found, err := w.Find(t.Context(), "org_wanted", time.Now().Add(-time.Hour))
	require.NoError(t, err)
	require.Equal(t, wanted, found)
	require.Len(t, w.requests[before:], 3)
	found, err = w.Find(t.Context(), "org_other", time.Now().Add(-time.Hour))
	require.NoError(t, err)
	require.Empty(t, found)
	found, err = w.Find(t.Context(), "org_wanted", time.Now().Add(time.Hour))
	require.NoError(t, err)
	require.Empty(t, found, "it was made before")
}

// spent tells whether an error says that its idempotency key cannot be used again.
func spent(err error) bool {
	unknown, ok := errors.AsType[*outcome.UnknownError](err)
	return ok && unknown.Spent
}

func TestErrors(t *testing.T) {
	t.Run("a refused key", func(t *testing.T) {
		w := newFixture(t, "sk_test_wrong")
		_, err := w.Create(t.Context(), "org_1", "org_1")
		require.ErrorContains(t, err, "rejected STRIPE_SECRET_KEY")
		require.False(t, spent(err))
		require.NotContains(t, err.Error()+w.log.String(), "sk_test_wrong")
		require.Equal(t, health.Degraded, w.state(), "a rejected key is not an outage, but nothing works with it")
	})
	t.Run("a failure spends the key, and is not retried here", func(t *testing.T) {
		w := newFixture(t, secret)
		w.fail(t, fault.Fault{Kind: fault.Status, Status: 500})
		_, err := w.Create(t.Context(), "org_1", "org_1")
		require.True(t, spent(err))
		require.Len(t, w.requests, 1)
		require.Equal(t, health.Degraded, w.state())
		_, err = w.Find(t.Context(), "org_1", time.Now())
		require.ErrorAs(t, err, new(*outcome.UnknownError))
		require.False(t, spent(err), "a read has no key")
		_, err = w.Create(t.Context(), "org_1", "org_1")
		require.Error(t, err)
		require.Equal(t, health.Down, w.state())
		w.fake.Faults().Clear()
		w.clock = w.clock.Add(time.Minute)
		_, err = w.Create(t.Context(), "org_2", "org_2")
		require.NoError(t, err)
		require.Equal(t, health.Operational, w.state())
	})
	t.Run("a lost answer keeps the key", func(t *testing.T) {
		w := newFixture(t, secret)
		w.fail(t, fault.Fault{Kind: fault.CommitTimeout, Count: 1})
		_, err := w.Create(t.Context(), "org_1", "org_1")
		require.ErrorContains(t, err, "did not answer")
		require.False(t, spent(err))
		id, err := w.Create(t.Context(), "org_1", "org_1")
		require.NoError(t, err)
		found, err := w.Find(t.Context(), "org_1", time.Now().Add(-time.Hour))
		require.NoError(t, err)
		require.Equal(t, id, found)
	})
	t.Run("rate limits", func(t *testing.T) {
		w := newFixture(t, secret)
		w.fail(t, fault.Fault{Kind: fault.RateLimit, Count: 1})
		_, err := w.Create(t.Context(), "org_1", "org_1")
		require.ErrorContains(t, err, "429")
		require.False(t, spent(err))
		require.Equal(t, health.Degraded, w.state())
	})
	t.Run("garbage", func(t *testing.T) {
		w := newFixture(t, secret)
		w.fail(t, fault.Fault{Kind: fault.Garbage, Count: 1})
		_, err := w.Create(t.Context(), "org_1", "org_1")
		require.Error(t, err)
	})
	t.Run("the caller leaves", func(t *testing.T) {
		w := newFixture(t, secret)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := w.Create(ctx, "org_1", "org_1")
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, health.Unknown, w.state(), "that tells nothing about Stripe")
	})
}
