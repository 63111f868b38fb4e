package health_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	statusv1 "github.com/trivet-dev/trivet/gen/go/trivet/status/v1"
	"github.com/trivet-dev/trivet/platform/health"
	"github.com/trivet-dev/trivet/platform/telemetry"
)

func TestObserveShowsThePresentState(t *testing.T) {
	metrics, err := telemetry.NewMetrics("test", "v0")
	require.NoError(t, err)
	state := health.Unknown
	require.NoError(t, health.Observe(metrics.Meter("x"), "acme", func() *statusv1.Health { return &statusv1.Health{Status: state} }))
	for _, present := range []struct {
		state statusv1.Status
		name  string
	}{{health.Unknown, "unknown"}, {health.Operational, "operational"}, {health.Degraded, "degraded"}, {health.Down, "down"}} {
		state = present.state
		page := httptest.NewRecorder()
		telemetry.OpsHandler(telemetry.Ops{Gatherer: metrics.Registry}).ServeHTTP(page, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
		for _, name := range []string{"unknown", "operational", "degraded", "down"} {
			value := "0"
			if name == present.name {
				value = "1"
			}
			require.Contains(t, page.Body.String(), `trivet_integration_state{integration="acme",state="`+name+`"} `+value+"\n")
		}
	}
}
