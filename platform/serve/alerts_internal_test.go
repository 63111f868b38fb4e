package serve

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/trivet-dev/trivet/platform/alert"
	"github.com/trivet-dev/trivet/platform/hook"
	"github.com/trivet-dev/trivet/platform/settings"
)

// A process tells its receiver of a change by one signed webhook, also if the receiver fails at first.
func TestAlertsAreSentAsWebhooks(t *testing.T) {
	secret := "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))
	type delivery struct {
		header http.Header
		body   []byte
	}
	deliveries := make(chan delivery, 10)
	refused := false
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		deliveries <- delivery{r.Header, body}
		if !refused {
			refused = true
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer receiver.Close()
	values := map[string]string{"TRIVET_ALERT_WEBHOOK_URL": receiver.URL, "TRIVET_ALERT_WEBHOOK_SECRET": secret, "TRIVET_ALERT_INTERVAL": "10ms"}
	var s Settings
	require.NoError(t, settings.Load(func(name string) string { return values[name] }, &s))
	host, err := NewHost("test", s, io.Discard)
	require.NoError(t, err)
	var dead atomic.Int64
	dead.Store(3)
	_, err = host.Meter("inbox").Int64ObservableGauge("trivet.inbox.events", metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
		o.Observe(dead.Load(), metric.WithAttributes(attribute.String("source", "stripe"), attribute.String("state", "dead")))
		return nil
	}))
	require.NoError(t, err)
	parts, err := host.alertParts()
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- parts[0].Run(ctx) }()
	first, second := <-deliveries, <-deliveries
	require.Equal(t, first.body, second.body)
	for _, d := range []delivery{first, second} {
		at, err := strconv.ParseInt(d.header.Get(hook.HeaderTimestamp), 10, 64)
		require.NoError(t, err)
		want := http.Header{}
		require.NoError(t, hook.Sign(want, []string{secret}, first.header.Get(hook.HeaderID), time.Unix(at, 0), first.body))
		for _, name := range []string{hook.HeaderID, hook.HeaderSignature} {
			require.Equal(t, want.Get(name), d.header.Get(name))
		}
	}
	var got alert.WebhookBody
	require.NoError(t, json.Unmarshal(first.body, &got))
	require.Equal(t, alert.TypeFiring, got.Type)
	require.Equal(t, "EventsDead", got.Data.Alert)
	require.Equal(t, map[string]string{"source": "stripe"}, got.Data.Labels)
	require.InDelta(t, 3, *got.Data.Value, 0)
	require.Equal(t, "test", got.Data.Process)
	require.NotEmpty(t, got.Data.Instance)
	dead.Store(0)
	var next alert.WebhookBody
	require.NoError(t, json.Unmarshal((<-deliveries).body, &next))
	require.Equal(t, alert.TypeResolved, next.Type, "a change is told once")
	stop()
	require.NoError(t, <-ended)
}

func TestAlertSettings(t *testing.T) {
	secret := "whsec_" + strings.Repeat("QUJD", 8)
	for name, c := range map[string]struct {
		values map[string]string
		want   string
	}{
		"nothing":           {nil, ""},
		"all":               {map[string]string{"TRIVET_ALERT_URL": "https://a.example/x", "TRIVET_ALERT_WEBHOOK_URL": "https://b.example/x", "TRIVET_ALERT_WEBHOOK_SECRET": secret}, ""},
		"no secret":         {map[string]string{"TRIVET_ALERT_WEBHOOK_URL": "https://b.example/x"}, "TRIVET_ALERT_WEBHOOK_SECRET: is not set, and TRIVET_ALERT_WEBHOOK_URL is"},
		"a short secret":    {map[string]string{"TRIVET_ALERT_WEBHOOK_SECRET": secret + ",whsec_Y2FuYXJ5"}, "TRIVET_ALERT_WEBHOOK_SECRET: must be whsec_ and 24 to 64 bytes"},
		"no address":        {map[string]string{"TRIVET_ALERT_WEBHOOK_URL": "canary.example", "TRIVET_ALERT_WEBHOOK_SECRET": secret}, "TRIVET_ALERT_WEBHOOK_URL: is not an address"},
		"no host":           {map[string]string{"TRIVET_ALERT_WEBHOOK_URL": "https://:443/canary", "TRIVET_ALERT_WEBHOOK_SECRET": secret}, "TRIVET_ALERT_WEBHOOK_URL: is not an address"},
		"no address, Slack": {map[string]string{"TRIVET_ALERT_URL": "ftp://canary.example"}, "TRIVET_ALERT_URL: is not an address"},
	} {
		t.Run(name, func(t *testing.T) {
			err := settings.Load(func(name string) string { return c.values[name] }, &AlertSettings{})
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "canary")
			require.NotContains(t, err.Error(), "Y2FuYXJ5")
		})
	}
}

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
			const oldSecret, newSecret = "whsec_b2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xk", "whsec_bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3"
			values := map[string]string{"TRIVET_ALERT_URL": oldURL, "TRIVET_ALERT_WEBHOOK_URL": oldURL, "TRIVET_ALERT_WEBHOOK_SECRET": oldSecret, "OTEL_EXPORTER_OTLP_HEADERS": oldHeaders}
			get := func(name string) string { return values[name] }
			var s Settings
			require.NoError(t, settings.Load(get, &s))
			host, err := NewHost("test", s, io.Discard)
			require.NoError(t, err)
			values["TRIVET_ALERT_URL"], values["OTEL_EXPORTER_OTLP_HEADERS"] = c.url, c.headers
			values["TRIVET_ALERT_WEBHOOK_URL"], values["TRIVET_ALERT_WEBHOOK_SECRET"] = c.url, newSecret+","+oldSecret
			err = host.rotateOwn(get)
			require.Equal(t, c.wantURL, host.alerts.slack.Newest().Reveal())
			require.Equal(t, c.wantURL, host.alerts.webhook.Newest().Reveal())
			wantSecrets := []string{newSecret, oldSecret}
			if c.wantURL == oldURL {
				wantSecrets = []string{oldSecret}
			}
			require.Equal(t, wantSecrets, host.alerts.secrets.Secrets().Reveal())
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
