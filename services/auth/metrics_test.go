package auth_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// collected are the values of all metrics by name and attributes.
func collected(t *testing.T, reader *sdkmetric.ManualReader) map[string]float64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &all))
	out := map[string]float64{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					name := m.Name
					for _, attribute := range p.Attributes.ToSlice() {
						name += " " + attribute.Value.AsString()
					}
					out[name] = float64(p.Value)
				}
			case metricdata.Gauge[float64]:
				for _, p := range data.DataPoints {
					out[m.Name] = p.Value
				}
			}
		}
	}
	return out
}

func TestMetrics(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	h := startWith(t, nil, sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("auth"))
	for range 3 {
		_, err := h.authenticate(t, h.clerk.Token(t, time.Now(), nil))
		require.NoError(t, err)
	}
	for _, credential := range []string{"garbage", h.clerk.Token(t, time.Now(), map[string]any{"iss": "x"}), "tvt_test_x"} {
		_, err := h.authenticate(t, credential)
		require.Error(t, err)
	}
	got := collected(t, reader)
	for name, want := range map[string]float64{
		"trivet.auth.verdicts session accepted": 3, "trivet.auth.verdicts session malformed": 1,
		"trivet.auth.verdicts session issuer": 1, "trivet.auth.verdicts api_key malformed": 1, "trivet.auth.jwks.refreshes ok": 1,
	} {
		require.InDelta(t, want, got[name], 0, "%s in %v", name, got)
	}
	age, ok := got["trivet.auth.jwks.age"]
	require.True(t, ok)
	require.GreaterOrEqual(t, age, 0.0)
}
