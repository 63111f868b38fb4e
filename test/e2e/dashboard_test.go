package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/skip"
)

// emptyPanels are the panels of the dashboard that have no data in an ordinary run, and why.
var emptyPanels = map[string]string{"Alerts that fire": "no alert fires"}

// dashboardQuery is a query of the dashboard, with its panel's title.
type dashboardQuery struct{ name, title, expression string }

// A Prometheus reads a running Trivet, and every query of the dashboard finds data there. `make dashboard` prints what it finds.
func TestDashboardOverARealRun(t *testing.T) {
	program, err := exec.LookPath("prometheus")
	skip.Unless(t, "Prometheus", err, "install Debian's package prometheus: make deps")
	in := allInOne(t, "MODELS_FILE="+withABrokenTarget(t))
	prometheus := startPrometheus(t, program, in)
	in.control(http.MethodPost, "/control/faults", map[string]any{"provider": "openai", "kind": "rate_limit", "retry_after": 0, "count": 1}, nil)
	token := in.token("user_dashboard", nil)
	in.call(t.Context(), http.MethodPost, "/v1/chat/completions", token, question)
	in.fault(map[string]any{"kind": "status", "status": 500, "count": 3}) // all attempts of one call
	w, c := newEventMaker(in), newSender(in.edge)

	queries := dashboardQueries(t)
	missing := []string{"no query ran yet"}
	found := map[string]int{}
	for deadline := time.Now().Add(2 * time.Minute); len(missing) > 0; time.Sleep(200 * time.Millisecond) {
		require.True(t, time.Now().Before(deadline), "no data: %s", missing)
		for _, body := range []string{question, strings.Replace(question, "{", `{"stream":true,`, 1), `{}`} {
			in.call(t.Context(), http.MethodPost, "/v1/chat/completions", token, body)
		}
		in.fault(map[string]any{"kind": "cut", "after_chunks": 2, "count": 1})
		in.call(t.Context(), http.MethodPost, "/v1/chat/completions", token, strings.Replace(question, "{", `{"stream":true,`, 1))
		require.NoError(t, c.deliverAll(t.Context(), w.events(t, 2)))
		missing = nil
		for _, q := range queries {
			found[q.name] = seriesOf(t, prometheus, q.expression)
			if _, empty := emptyPanels[q.title]; found[q.name] == 0 && !empty {
				missing = append(missing, q.title+": "+q.expression)
			}
		}
	}
	var table strings.Builder
	for _, q := range queries {
		fmt.Fprintf(&table, "%-40s %-22s %d series %s\n", q.title, q.name, found[q.name], emptyPanels[q.title])
	}
	t.Logf("\n%s", table.String())
}

// withABrokenTarget is the built-in price list, in which gpt-4o-mini has a first target that refuses connections.
func withABrokenTarget(t *testing.T) string {
	t.Helper()
	list, err := os.ReadFile(filepath.Join("..", "..", "platform", "models", "models.yaml"))
	require.NoError(t, err)
	const model = "  gpt-4o-mini:\n    {"
	require.Contains(t, string(list), model)
	path := filepath.Join(t.TempDir(), "models.yaml")
	changed := strings.Replace(string(list), model, model+"targets: [{target: broken}, {target: openai, priority: 2}], ", 1)
	require.NoError(t, os.WriteFile(path, []byte("targets: {broken: {kind: compatible, base_url: \"http://127.0.0.1:1/v1\"}}\n"+changed), 0o600))
	return path
}

// startPrometheus starts a Prometheus that reads the installation every second, and returns its address.
func startPrometheus(t *testing.T, program string, in *installation) string {
	t.Helper()
	dir, address := t.TempDir(), ports(t, 1)[0]
	var targets []string
	for _, ops := range in.ops {
		targets = append(targets, strconv.Quote(strings.TrimPrefix(ops, "http://")))
	}
	config := filepath.Join(dir, "prometheus.yaml")
	rules, err := filepath.Abs(filepath.Join("..", "..", "deploy", "prometheus", "rules.yaml"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, "global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%q]\nscrape_configs:\n  - job_name: trivet\n    static_configs: [{targets: [%s]}]\n",
		rules, strings.Join(targets, ", ")), 0o600))
	cmd := exec.CommandContext(t.Context(), program, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address, "--log.level=warn")
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
	validator.except(address) // its API begins with /api/, too
	in.await("http://" + address + "/-/ready")
	return "http://" + address
}

func dashboardQueries(t *testing.T) (all []dashboardQuery) {
	t.Helper()
	var board struct{ Panels []struct{ Title string } }
	raw, err := os.ReadFile(filepath.Join("..", "..", "deploy", "grafana", "trivet.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &board))
	var rules struct {
		Groups []struct {
			Name  string
			Rules []struct{ Record, Expr string }
		}
	}
	load(t, &rules, "deploy", "grafana", "queries.yaml")
	for _, rule := range rules.Groups[0].Rules {
		name := strings.TrimPrefix(rule.Record, "dashboard:")
		number, _, _ := strings.Cut(strings.TrimPrefix(name, "panel"), "_")
		n, err := strconv.Atoi(number)
		require.NoError(t, err)
		all = append(all, dashboardQuery{name, board.Panels[n-1].Title, rule.Expr})
	}
	require.NotEmpty(t, all)
	return all
}

// seriesOf counts the series with a number that a query returns.
func seriesOf(t *testing.T, prometheus, expression string) (n int) {
	t.Helper()
	response, err := http.Get(prometheus + "/api/v1/query?query=" + url.QueryEscape(expression))
	require.NoError(t, err)
	var got struct {
		Status, Error string
		Data          struct {
			Result []struct{ Value []any }
		}
	}
	body := readAll(t, response)
	require.NoError(t, response.Body.Close())
	require.NoError(t, json.Unmarshal([]byte(body), &got), body)
	require.Equal(t, "success", got.Status, "%s: %s", expression, got.Error)
	for _, series := range got.Data.Result {
		if value, ok := series.Value[1].(string); ok && value != "NaN" {
			n++
		}
	}
	return n
}
