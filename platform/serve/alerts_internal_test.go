package serve

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/settings"
)

// The secrets of the process rotate one by one: an invalid one keeps its previous value, is reported by name, and leaves the other alone.
func TestRotateOwn(t *testing.T) {
	const (
		oldURL, newURL, badURL             = "https://hooks.example/old", "https://hooks.example/new", "not-an-address-canary"
		oldHeaders, newHeaders, badHeaders = "authorization=old", "authorization=new", "canary"
	)
	for name, c := range map[string]struct {
		url, headers         string
		wantURL, wantHeaders string
		wrong                []string
	}{
		"both are valid":      {newURL, newHeaders, newURL, newHeaders, nil},
		"the URL is invalid":  {badURL, newHeaders, oldURL, newHeaders, []string{"TRIVET_ALERT_URL"}},
		"headers are invalid": {newURL, badHeaders, newURL, oldHeaders, []string{"OTEL_EXPORTER_OTLP_HEADERS"}},
		"both are invalid":    {badURL, badHeaders, oldURL, oldHeaders, []string{"TRIVET_ALERT_URL", "OTEL_EXPORTER_OTLP_HEADERS"}},
	} {
		t.Run(name, func(t *testing.T) {
			values := map[string]string{"TRIVET_ALERT_URL": oldURL, "OTEL_EXPORTER_OTLP_HEADERS": oldHeaders}
			get := func(name string) string { return values[name] }
			var s Settings
			require.NoError(t, settings.Load(get, &s))
			host, err := NewHost("test", s, io.Discard)
			require.NoError(t, err)
			values["TRIVET_ALERT_URL"], values["OTEL_EXPORTER_OTLP_HEADERS"] = c.url, c.headers
			err = host.rotateOwn(get)
			require.Equal(t, c.wantURL, host.alertURL.Newest().Reveal())
			require.Equal(t, c.wantHeaders, host.traceHeaders.Newest().Reveal())
			if c.wrong == nil {
				require.NoError(t, err)
			}
			for _, setting := range c.wrong {
				require.ErrorContains(t, err, setting)
				require.NotContains(t, err.Error(), "canary")
			}
		})
	}
}
