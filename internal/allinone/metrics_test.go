package allinone

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/platformtest"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/platform/telemetry/catalog"
)

// installation is a running development server.
type installation struct {
	edge, ops, sandbox, token string
}

// startDev runs trivet dev until the test ends.
func startDev(t *testing.T, values map[string]string) installation {
	t.Helper()
	all := map[string]string{
		"TRIVET_DATA_DIR": t.TempDir(), "TRIVET_HTTP_ADDR": freeAddress(t), "TRIVET_GRPC_ADDR": "127.0.0.1:0", "TRIVET_OPS_ADDR": "127.0.0.1:0",
		"TRIVET_SANDBOX_ADDR": "127.0.0.1:0", "TRIVET_SANDBOX_PACE": "0s",
	}
	for name, value := range values {
		all[name] = value
	}
	var out, log screen
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Dev(ctx, settings.Env{Get: func(name string) string { return all[name] }}, DevOptions{Stdout: &out, Stderr: &log})
	}()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	require.Eventually(t, func() bool { return strings.Contains(out.String(), "Stop with Ctrl-C") }, 60*time.Second, 20*time.Millisecond)
	find := func(pattern string) string {
		found := regexp.MustCompile(pattern).FindStringSubmatch(out.String())
		require.NotNil(t, found, "%s in %s", pattern, out.String())
		return found[1]
	}
	sandbox := find(`(http://\S+)/clerk/sign-in`)
	return installation{edge: find(`edge +(http://\S+)`), ops: find(`(http://\S+)/readyz`), sandbox: sandbox, token: mintToken(t, sandbox, firstUser)}
}

// freeAddress returns an address for the edge: the sandbox must know it before the edge listens, to send webhooks there.
func freeAddress(t *testing.T) string {
	t.Helper()
	return platformtest.Addresses(t, 1)[0]
}

// call sends a request and returns the status and the body.
func (in installation) call(t *testing.T, method, url, token, body string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	raw, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(bytes.TrimSpace(raw))
}

// metrics returns what the ops address exports.
func (in installation) metrics(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	status, body := in.call(t, http.MethodGet, in.ops+"/metrics", "", "")
	require.Equal(t, http.StatusOK, status)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body + "\n"))
	require.NoError(t, err)
	return families
}

// traffic makes a bit of everything happen.
func (in installation) traffic(t *testing.T) {
	t.Helper()
	const chat = `"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]`
	status, body := in.call(t, http.MethodPost, in.edge+"/v1/chat/completions", in.token, `{`+chat+`}`)
	require.Equal(t, http.StatusOK, status, body)
	status, body = in.call(t, http.MethodPost, in.edge+"/v1/chat/completions", in.token, `{"stream":true,`+chat+`}`)
	require.Equal(t, http.StatusOK, status, body)
	status, _ = in.call(t, http.MethodPost, in.edge+"/api/webhooks/stripe", "", `{}`)
	require.Equal(t, http.StatusUnauthorized, status)
	status, _ = in.call(t, "INVENTED", in.edge+"/v1/chat/completions", "", "")
	require.Equal(t, http.StatusMethodNotAllowed, status)
	status, _ = in.call(t, http.MethodGet, in.edge+"/api/v1/me", "garbage", "")
	require.Equal(t, http.StatusUnauthorized, status)
	status, _ = in.call(t, http.MethodPost, in.sandbox+"/control/faults", "", `{"provider":"openai","kind":"status","status":500,"count":1}`)
	require.Less(t, status, 300)
	in.call(t, http.MethodPost, in.edge+"/v1/chat/completions", in.token, `{`+chat+`}`)
}

// The catalog is what the exporter of a running Trivet shows, after some traffic: neither lacks what the other has.
func TestCatalogIsWhatTheExporterShows(t *testing.T) {
	in := startDev(t, map[string]string{"BILLING_CUSTOMER_INTERVAL": "100ms"})
	in.traffic(t)
	var exported map[string]*dto.MetricFamily
	require.Eventually(t, func() bool { // webhooks of the new user and of its Stripe customer arrive by themselves
		exported = in.metrics(t)
		return exported["trivet_auth_events_total"] != nil && exported["trivet_billing_events_total"] != nil && exported["trivet_inbox_delay_seconds"] != nil
	}, 60*time.Second, 50*time.Millisecond)
	declared := map[string]bool{}
	for _, m := range catalog.All() {
		require.False(t, declared[m.Name], "%s is declared twice", m.Name)
		declared[m.Name] = true
		family := exported[m.Name]
		if family == nil {
			require.NotEmpty(t, m.Rare, "%s is declared, and nothing exports it", m.Name)
			continue
		}
		compare(t, m, family)
	}
	for name := range exported {
		if strings.HasPrefix(name, "trivet_") {
			require.True(t, declared[name], "%s is exported; declare it in platform/telemetry/catalog and run `make docs`", name)
		}
	}
}

// compare checks a metric's type, description and labels.
func compare(t *testing.T, m catalog.Metric, family *dto.MetricFamily) {
	t.Helper()
	require.Equal(t, string(m.Kind), strings.ToLower(family.GetType().String()), m.Name)
	require.Equal(t, m.Help, family.GetHelp(), "%s: run `make docs` after a change of the catalog", m.Name)
	for _, series := range family.GetMetric() {
		require.Len(t, series.GetLabel(), len(m.Labels), "%s: %v", m.Name, series.GetLabel())
		for _, label := range m.Labels {
			i := slices.IndexFunc(series.GetLabel(), func(l *dto.LabelPair) bool { return l.GetName() == label.Name })
			require.GreaterOrEqual(t, i, 0, "%s has no label %s", m.Name, label.Name)
			if label.Values != nil {
				require.Contains(t, label.Values, series.GetLabel()[i].GetValue(), "%s: %s", m.Name, label.Name)
			}
		}
	}
}

// A label that a caller could choose would make any number of series.
func TestCallersCannotInventSeries(t *testing.T) {
	in := startDev(t, nil)
	for i := range 5 {
		in.call(t, fmt.Sprintf("INVENTED%d", i), fmt.Sprintf("%s/nothing/%d", in.edge, i), "", "")
	}
	series := in.metrics(t)["trivet_http_duration_seconds"].GetMetric()
	var seen []string
	for _, s := range series {
		for _, l := range s.GetLabel() {
			require.NotContains(t, l.GetValue(), "INVENTED")
			require.NotContains(t, l.GetValue(), "nothing")
			seen = append(seen, l.GetName()+"="+l.GetValue())
		}
	}
	require.Contains(t, seen, "http_method=OTHER")
}
