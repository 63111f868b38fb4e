package allinone

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/settings"
)

// Each address that would get keys or users' data by plain HTTP is reported under its setting, unless it is on this machine.
func TestPlainAddresses(t *testing.T) {
	const headers = "authorization=x"
	for name, c := range map[string]struct {
		values map[string]string
		want   []string
	}{
		"the defaults":           {nil, nil},
		"Clerk":                  {map[string]string{"CLERK_API_URL": "http://clerk.internal"}, []string{"CLERK_API_URL"}},
		"OpenAI":                 {map[string]string{"OPENAI_BASE_URL": "http://models.internal/v1"}, []string{"OPENAI_BASE_URL"}},
		"OpenAI on this machine": {map[string]string{"OPENAI_BASE_URL": "http://127.0.0.1:8000/v1"}, nil},
		"Stripe":                 {map[string]string{"STRIPE_API_URL": "http://stripe.internal:12111"}, []string{"STRIPE_API_URL"}},
		"alerts":                 {map[string]string{"TRIVET_ALERT_URL": "http://hooks.internal/x"}, []string{"TRIVET_ALERT_URL"}},
		"webhooks of alerts": {
			map[string]string{"TRIVET_ALERT_WEBHOOK_URL": "http://10.0.0.1/x", "TRIVET_ALERT_WEBHOOK_SECRET": "whsec_YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh"},
			[]string{"TRIVET_ALERT_WEBHOOK_URL"},
		},
		"notices": {
			map[string]string{"BILLING_EVENTS_URL": "http://10.0.0.1/x", "BILLING_EVENTS_PRIVATE": "true", "BILLING_EVENTS_SECRET": "whsec_YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh"},
			[]string{"BILLING_EVENTS_URL"},
		},
		"traces":                 {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_EXPORTER_OTLP_HEADERS": headers}, []string{"OTEL_EXPORTER_OTLP_ENDPOINT"}},
		"traces without headers": {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, nil},
		"traces by HTTPS":        {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector", "OTEL_EXPORTER_OTLP_HEADERS": headers}, nil},
		"traces to this machine": {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318", "OTEL_EXPORTER_OTLP_HEADERS": headers}, nil},
		"traces that are off": {
			map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_EXPORTER_OTLP_HEADERS": headers, "OTEL_TRACES_EXPORTER": "none"}, nil,
		},
		"the whole address of traces": {
			map[string]string{
				"OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/traces", "OTEL_EXPORTER_OTLP_HEADERS": headers,
			},
			[]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"},
		},
		"an address of traces that is not used": {
			map[string]string{
				"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://collector/traces", "OTEL_EXPORTER_OTLP_HEADERS": headers,
			},
			nil,
		},
		"origins":          {map[string]string{"CORS_ALLOWED_ORIGINS": "https://a.example,http://b.example"}, []string{"CORS_ALLOWED_ORIGINS"}},
		"the ops address":  {map[string]string{"TRIVET_OPS_ADDR": "0.0.0.0:9091"}, []string{"TRIVET_OPS_ADDR"}},
		"the gRPC address": {map[string]string{"TRIVET_GRPC_ADDR": ":9090"}, []string{"TRIVET_GRPC_ADDR"}},
	} {
		t.Run(name, func(t *testing.T) {
			values := map[string]string{"TRIVET_DATA_DIR": t.TempDir(), "CLERK_SECRET_KEY": "sk_test_x", "CLERK_ISSUER": "https://clerk.example.test"}
			for name, value := range c.values {
				values[name] = value
			}
			d := &doctor{config: &config{}}
			require.NoError(t, settings.Load(func(name string) string { return values[name] }, d.config))
			var reported []string
			for _, f := range d.plainAddresses() {
				require.Equal(t, FindingWarning, f.Level)
				require.NotContains(t, f.What+f.Fix, headers)
				reported = append(reported, f.Setting)
			}
			require.Equal(t, c.want, reported)
		})
	}
}
