package auth_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
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
	f := startWith(t, nil, sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("auth"))
	for range 3 {
		_, err := f.authenticate(t, f.clerk.Token(t, time.Now(), nil))
		require.NoError(t, err)
	}
	for _, credential := range []string{"garbage", f.clerk.Token(t, time.Now(), map[string]any{"iss": "x"}), "tvt_test_x"} {
		_, err := f.authenticate(t, credential)
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

func TestWebhookMetrics(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	f := startWith(t, withWebhooks, sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("auth"))
	f.deliver(t, "msg_1", event("user.created", userData("user_1", "Ada", 2)))
	f.deliver(t, "msg_2", event("user.updated", userData("user_1", "Old", 1)))
	f.deliver(t, "msg_3", strings.Replace(event("user.created", userData("user_2", "Eve", 1)), instanceID, "ins_theirs", 1))
	f.deliver(t, "msg_4", "{")
	_, err := f.receive("msg_4", "{")
	require.NoError(t, err)
	_, err = f.rpc.ReceiveWebhook(t.Context(), &authv1.ReceiveWebhookRequest{Headers: signed("msg_5", time.Now(), []byte("{}")), Body: []byte("{ }")})
	require.Error(t, err)
	require.Eventually(t, func() bool { // counted after the commit that made the event visible
		return collected(t, reader)["trivet.auth.events user unchanged"] == 1
	}, soon, time.Millisecond)
	got := collected(t, reader)
	for name, want := range map[string]float64{
		"trivet.webhooks user stored clerk": 2, "trivet.webhooks user ignored clerk": 1, "trivet.webhooks other malformed clerk": 1,
		"trivet.webhooks other duplicate clerk": 1, "trivet.webhooks unverified signature_mismatch clerk": 1, "trivet.auth.events user changed": 1,
	} {
		require.InDelta(t, want, got[name], 0, "%s in %v", name, got)
	}
	require.GreaterOrEqual(t, got["trivet.database.writes auth"], 5.0, "%v", got)
}
