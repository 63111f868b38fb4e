package clerk_test

import (
	"cmp"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/trivet-dev/trivet/platform/provider"
	sandbox "github.com/trivet-dev/trivet/sandbox/clerk"
	"github.com/trivet-dev/trivet/sandbox/fault"
	"github.com/trivet-dev/trivet/services/auth/internal/clerk"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
)

// inProcess calls the stand-in inside the process, so that tests may run on a false clock.
type inProcess struct {
	fake  *sandbox.Fake
	calls int
}

func (p *inProcess) RoundTrip(r *http.Request) (response *http.Response, err error) {
	p.calls++
	defer func() {
		if recover() != nil { // the stand-in cuts the connection
			response, err = nil, cmp.Or(r.Context().Err(), io.ErrUnexpectedEOF)
		}
	}()
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	p.fake.ServeHTTP(w, r)
	return w.Result(), nil
}

// patient runs a test with a client that repeats reads.
func patient(t *testing.T, config provider.Config, p clerk.Patience, test func(*testing.T, *inProcess, *http.Client, *clerk.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		fake, err := sandbox.New(sandbox.Config{Now: time.Now})
		require.NoError(t, err)
		_, err = fake.MintToken(t.Context(), sandbox.TokenSpec{User: "user_ada"})
		require.NoError(t, err)
		wire := &inProcess{fake: fake}
		config.Integration, config.Method, config.Base, config.Unguarded = "clerk", clerk.Method, wire, clerk.FetchesKeys
		transport, err := provider.New(config, slog.New(slog.DiscardHandler), noop.Meter{})
		require.NoError(t, err)
		p.ReadsPerSecond, p.ReadTimeout = cmp.Or(p.ReadsPerSecond, 1000), 5*time.Second
		client := clerk.Patient(transport, transport, p)
		test(t, wire, client, clerk.New("http://clerk.test/v1", []string{fake.SecretKey()}, client, time.Now))
	})
}

func TestFaultsThatPassAreRepeated(t *testing.T) {
	for name, c := range map[string]struct {
		fault fault.Fault
		calls int
		after time.Duration // of the error
		fails bool
	}{
		"500 once":           {fault: fault.Fault{Kind: fault.Status, Status: 500, Count: 1}, calls: 2},
		"503 twice":          {fault: fault.Fault{Kind: fault.Status, Status: 503, Count: 2}, calls: 3},
		"503 always":         {fault: fault.Fault{Kind: fault.Status, Status: 503}, calls: 3, fails: true},
		"a cut connection":   {fault: fault.Fault{Kind: fault.Close, Count: 1}, calls: 2},
		"silence":            {fault: fault.Fault{Kind: fault.Hang, Count: 1}, calls: 2},
		"limited, soon over": {fault: fault.Fault{Kind: fault.RateLimit, RetryAfter: 3 * time.Second, Count: 1}, calls: 2},
		"limited for long":   {fault: fault.Fault{Kind: fault.RateLimit, RetryAfter: 6 * time.Second}, calls: 1, after: 6 * time.Second, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			patient(t, provider.Config{}, clerk.Patience{Tries: 3, RetryDelay: time.Second}, func(t *testing.T, wire *inProcess, client *http.Client, c2 *clerk.Client) {
				_, err := wire.fake.Faults().Add(c.fault)
				require.NoError(t, err)
				_, err = c2.User(t.Context(), "user_ada")
				require.Equal(t, c.calls, wire.calls)
				var again *directory.RetryError
				if c.fails {
					require.ErrorAs(t, err, &again)
					require.Equal(t, c.after, again.After)
					return
				}
				require.NoError(t, err)

				// Trivet writes nothing at Clerk. A write without an idempotency key would not be repeated.
				wire.fake.Faults().Clear()
				c.fault.Count = 1
				_, err = wire.fake.Faults().Add(c.fault)
				require.NoError(t, err)
				wire.calls = 0
				ctx := t.Context()
				request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://clerk.test/v1/users", strings.NewReader("{}"))
				require.NoError(t, err)
				if c.fault.Kind != fault.Hang {
					response, err := client.Do(request)
					if err == nil {
						require.NoError(t, response.Body.Close())
					}
					require.Equal(t, 1, wire.calls)
				}
			})
		})
	}
}

// Reads of a burst wait for each other, and repetitions wait, too.
func TestReadsArePaced(t *testing.T) {
	patient(t, provider.Config{}, clerk.Patience{ReadsPerSecond: 4, Tries: 3}, func(t *testing.T, wire *inProcess, _ *http.Client, c *clerk.Client) {
		_, err := wire.fake.Faults().Add(fault.Fault{Kind: fault.Status, Status: 500, Count: 4})
		require.NoError(t, err)
		begin := time.Now()
		for range 6 {
			_, _ = c.User(t.Context(), "user_ada")
		}
		require.Equal(t, 6+2+1, wire.calls, "the first read fails after two repetitions, and the second one needs one")
		require.GreaterOrEqual(t, time.Since(begin), (9-4)*time.Second/4)
	})
}

// The open breaker holds reads back, says until when, and leaves the signing keys alone.
func TestTheBreakerIsForTheBackendAPIOnly(t *testing.T) {
	config := provider.Config{Breaker: provider.Breaker{Failures: 3}}
	patient(t, config, clerk.Patience{Tries: 3}, func(t *testing.T, wire *inProcess, client *http.Client, c *clerk.Client) {
		_, err := wire.fake.Faults().Add(fault.Fault{Kind: fault.Status, Status: 500, Path: "/v1/users/*"})
		require.NoError(t, err)
		_, err = c.User(t.Context(), "user_ada")
		require.Error(t, err)
		require.Equal(t, 3, wire.calls)
		_, err = c.User(t.Context(), "user_ada")
		var again *directory.RetryError
		require.ErrorAs(t, err, &again)
		require.Equal(t, 5*time.Second, again.After)
		require.Equal(t, 3, wire.calls, "nothing was sent")

		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://clerk.test/v1/jwks", http.NoBody)
		require.NoError(t, err)
		request.Header.Set("Authorization", "Bearer "+wire.fake.SecretKey())
		response, err := client.Do(request)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, response.StatusCode)
		require.NoError(t, response.Body.Close())

		wire.fake.Faults().Clear()
		time.Sleep(5 * time.Second)
		_, err = c.User(t.Context(), "user_ada")
		require.NoError(t, err)
	})
}

func TestReadsOf(t *testing.T) {
	require.Equal(t, 80, clerk.ReadsOf("sk_live_x"))
	require.Equal(t, 8, clerk.ReadsOf("sk_test_x"))
}
