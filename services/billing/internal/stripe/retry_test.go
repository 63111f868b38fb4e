package stripe_test

import (
	"cmp"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/trivet-dev/trivet/platform/health"
	"github.com/trivet-dev/trivet/platform/provider"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/sandbox/fault"
	fake "github.com/trivet-dev/trivet/sandbox/stripe"
	"github.com/trivet-dev/trivet/services/billing/internal/billingtest"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/outcome"
	"github.com/trivet-dev/trivet/services/billing/internal/stripe"
)

// patientFixture is a client that repeats calls, with a count of the attempts that reached the fake Stripe.
type patientFixture struct {
	*stripe.Client
	fake *fake.Fake
	mu   sync.Mutex
	keys []string
}

func (f *patientFixture) attempts() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	keys := f.keys
	f.keys = nil
	return keys
}

// RoundTrip calls the fake inside the process, so that tests may run on a false clock.
func (f *patientFixture) RoundTrip(r *http.Request) (response *http.Response, err error) {
	f.mu.Lock()
	f.keys = append(f.keys, r.Header.Get("Idempotency-Key"))
	f.mu.Unlock()
	defer func() {
		if recover() != nil { // the fake cuts the connection
			response, err = nil, cmp.Or(r.Context().Err(), io.ErrUnexpectedEOF)
		}
	}()
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	f.fake.ServeHTTP(w, r)
	return w.Result(), nil
}

func newPatient(t *testing.T, config provider.Config) *patientFixture {
	t.Helper()
	f := &patientFixture{}
	var err error
	f.fake, err = fake.New(fake.Config{Keys: []string{secret}})
	require.NoError(t, err)
	config.Base = f
	transport, err := provider.New(config, slog.New(slog.DiscardHandler), noop.Meter{})
	require.NoError(t, err)
	t.Cleanup(transport.CloseIdleConnections)
	f.Client = stripe.New(stripe.Config{
		Key: settings.NewSecret(secret), URL: "http://stripe.test", HTTP: transport.Client(), Logger: slog.New(slog.DiscardHandler), ReadsPerSecond: 10_000,
		Transport: transport, Tries: 3,
	})
	return f
}

func inBubble(t *testing.T, name string, test func(*testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

func TestFaultsThatPassAreRepeated(t *testing.T) {
	for name, c := range map[string]struct {
		fault       fault.Fault
		read, write int // attempts; a write has only one while Stripe is silent, because Stripe may take as long as a call may last
		unknown     bool
		spent       bool
		busy        bool
		reads       bool // the second call is a read, too
	}{
		"500 once":            {fault: fault.Fault{Kind: fault.Status, Status: 500, Count: 1}, read: 2, write: 1, unknown: true, spent: true},
		"500 of a read":       {fault: fault.Fault{Kind: fault.Status, Status: 500, Method: http.MethodGet}, read: 3, write: 3, unknown: true, reads: true},
		"503 of a read":       {fault: fault.Fault{Kind: fault.Status, Status: 503, Method: http.MethodGet}, read: 3, write: 3, unknown: true, reads: true},
		"503 once":            {fault: fault.Fault{Kind: fault.Status, Status: 503, Count: 1}, read: 2, write: 2},
		"503 always":          {fault: fault.Fault{Kind: fault.Status, Status: 503}, read: 3, write: 3, unknown: true, spent: true},
		"a lost answer":       {fault: fault.Fault{Kind: fault.CommitTimeout, Count: 1}, read: 2, write: 2},
		"a cut connection":    {fault: fault.Fault{Kind: fault.Close, Count: 2}, read: 3, write: 3},
		"silence":             {fault: fault.Fault{Kind: fault.Hang, Count: 1}, read: 2, write: 1, unknown: true},
		"silence always":      {fault: fault.Fault{Kind: fault.Hang}, read: 3, write: 1, unknown: true},
		"limited, soon over":  {fault: fault.Fault{Kind: fault.RateLimit, Count: 1}, read: 2, write: 2},
		"limited for long":    {fault: fault.Fault{Kind: fault.RateLimit, RetryAfter: 6 * time.Second}, read: 1, write: 1, busy: true},
		"limited, then a 500": {fault: fault.Fault{Kind: fault.Status, Status: 429, Count: 2}, read: 3, write: 3},
	} {
		inBubble(t, name, func(t *testing.T) {
			f := newPatient(t, stripe.Transport())
			customer, err := f.Create(t.Context(), "org_0", "org_0")
			require.NoError(t, err)
			f.attempts()
			billingtest.Fail(t, f.fake, c.fault)

			_, err = f.Get(t.Context(), mirror.Customer, customer)
			require.Equal(t, c.fault.Count == 0, err != nil, "%v", err)
			require.Len(t, f.attempts(), c.read)

			f.fake.Faults().Clear()
			billingtest.Fail(t, f.fake, c.fault)
			key := "key_1"
			if c.reads {
				key = ""
				_, err = f.InvoiceStatus(t.Context(), "in_1")
			} else {
				_, err = f.Create(t.Context(), "org_1", key)
			}
			keys := f.attempts()
			require.Len(t, keys, c.write)
			for _, sent := range keys {
				require.Equal(t, key, sent, "each attempt has the same key")
			}
			var unknown *outcome.UnknownError
			var busy *outcome.BusyError
			switch {
			case c.unknown:
				require.ErrorAs(t, err, &unknown)
				require.Equal(t, c.spent, unknown.Spent)
			case c.busy:
				require.ErrorAs(t, err, &busy)
				require.Equal(t, 6*time.Second, busy.After)
			default:
				require.NoError(t, err)
			}
			f.fake.Faults().Clear()
			if err == nil {
				found, err := f.Find(t.Context(), "org_1", time.Now().Add(-time.Hour))
				require.NoError(t, err)
				require.NotEmpty(t, found)
			}
		})
	}
}

// Each write of the SDK has an idempotency key, so that another attempt cannot do it twice.
func TestWritesWithoutAKeyOfTheirOwnAreDoneOnce(t *testing.T) {
	synctest.Test(t, writesOnce)
}

func writesOnce(t *testing.T) {
	f := newPatient(t, stripe.Transport())
	customer, err := f.Create(t.Context(), "org_0", "org_0")
	require.NoError(t, err)
	f.attempts()
	none, err := f.FindPortal(t.Context())
	require.NoError(t, err)
	require.Empty(t, none)
	f.attempts()
	billingtest.Fail(t, f.fake, fault.Fault{Kind: fault.CommitTimeout, Count: 2})
	made, err := f.CreatePortal(t.Context()) // the first two answers are lost
	require.NoError(t, err)
	require.Len(t, f.attempts(), 3)
	found, err := f.FindPortal(t.Context())
	require.NoError(t, err)
	require.Equal(t, made, found)
	f.attempts()
	billingtest.Fail(t, f.fake, fault.Fault{Kind: fault.CommitTimeout, Method: http.MethodDelete, Count: 1})
	require.NoError(t, f.Delete(t.Context(), customer), "the second attempt finds that it is deleted")
	require.Len(t, f.attempts(), 2)
}

// While the breaker is open, nothing is sent, and callers learn that nothing was changed and when to ask again.
func TestTheBreakerHoldsCallsBack(t *testing.T) { synctest.Test(t, holdsBack) }

func holdsBack(t *testing.T) {
	config := stripe.Transport()
	config.Breaker = provider.Breaker{Failures: 3}
	f := newPatient(t, config)
	billingtest.Fail(t, f.fake, fault.Fault{Kind: fault.Status, Status: 500})
	_, err := f.Get(t.Context(), mirror.Customer, "cus_1")
	require.Error(t, err)
	require.Len(t, f.attempts(), 3)
	_, err = f.Create(t.Context(), "org_1", "key_1")
	var busy *outcome.BusyError
	require.ErrorAs(t, err, &busy)
	require.Positive(t, busy.After)
	_, err = f.Get(t.Context(), mirror.Customer, "cus_1")
	var later *mirror.LaterError
	require.ErrorAs(t, err, &later, "an event about it waits")
	require.Positive(t, later.After)
	require.Empty(t, f.attempts())
	require.Equal(t, health.Down, f.Condition().GetStatus(), "calls that are held back count as failed, so the status shows it")
}
