package e2e

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// statusReport is the body of /api/v1/status.
type statusReport struct {
	Status       string
	Services     map[string]string
	Integrations map[string]struct {
		Status string
		Since  time.Time
		Banner string
	}
}

func (in *installation) report() statusReport {
	in.t.Helper()
	var got statusReport
	in.get("/api/v1/status", "", &got)
	return got
}

// awaitReport waits until the status page says what holds.
func (in *installation) awaitReport(holds func(statusReport) bool) statusReport {
	in.t.Helper()
	var got statusReport
	require.Eventually(in.t, func() bool { got = in.report(); return holds(got) }, 60*time.Second, 100*time.Millisecond)
	return got
}

const banner = "Payment processing is temporarily unavailable. Please try again later."

// Each integration is asked before anybody calls it, and its outage shows without a call.
func TestStatusOfIntegrations(t *testing.T) {
	probes := []string{"CLERK_PROBE_INTERVAL=1s", "OPENAI_PROBE_INTERVAL=1s", "STRIPE_PROBE_INTERVAL=1s"}
	for name, c := range map[string]struct {
		start        func(*testing.T, ...string) *installation
		integrations int
	}{"all-in-one on SQLite": {allInOne, 4}, "split on PostgreSQL": {split, 3}} {
		t.Run(name, func(t *testing.T) {
			in := c.start(t, probes...)
			well := in.awaitReport(func(s statusReport) bool { return s.Status == "operational" })
			require.Equal(t, map[string]string{"auth": "operational", "ai": "operational", "billing": "operational"}, well.Services)
			require.Len(t, well.Integrations, c.integrations, "mails are off in split mode")
			for name, i := range well.Integrations {
				require.Equal(t, "operational", i.Status, name)
				require.Empty(t, i.Banner)
			}

			in.control(http.MethodPost, "/control/faults", map[string]any{"provider": "stripe", "kind": "status", "status": 500}, nil)
			sick := in.awaitReport(func(s statusReport) bool { return s.Integrations["stripe"].Status == "down" })
			require.Equal(t, "degraded", sick.Status)
			require.Equal(t, "operational", sick.Services["billing"], "billing itself works")
			require.Equal(t, banner, sick.Integrations["stripe"].Banner)
			require.True(t, sick.Integrations["stripe"].Since.After(well.Integrations["stripe"].Since))
			in.control(http.MethodDelete, "/control/faults?provider=stripe", nil, nil)
			in.awaitReport(func(s statusReport) bool { return s.Integrations["stripe"].Status != "down" })
		})
	}
}

// A service that is away is down, whatever its provider does, and the edge stays ready.
func TestStatusOfUnreachableServices(t *testing.T) {
	in := split(t)
	in.awaitReport(func(s statusReport) bool { return s.Status == "operational" })
	ready := func() int {
		response, err := http.Get(in.ops[3] + "/readyz")
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		return response.StatusCode
	}
	in.program("billing").end(t)
	got := in.awaitReport(func(s statusReport) bool { return s.Services["billing"] == "down" })
	require.Equal(t, "degraded", got.Status)
	require.Equal(t, "operational", got.Services["auth"])
	require.Equal(t, "down", got.Integrations["stripe"].Status)
	require.Equal(t, banner, got.Integrations["stripe"].Banner)
	require.Equal(t, http.StatusOK, ready(), "the edge still serves what needs no billing")

	in.program("auth").end(t)
	got = in.awaitReport(func(s statusReport) bool { return s.Services["auth"] == "down" })
	require.Equal(t, "degraded", got.Status)
	require.Equal(t, http.StatusOK, ready(), "it takes webhooks, and tells what is down")

	in.program("ai").end(t)
	in.awaitReport(func(s statusReport) bool { return s.Status == "down" })
}
