package alert_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/trivet-dev/trivet/platform/alert"
	"github.com/trivet-dev/trivet/platform/skip"
	"github.com/trivet-dev/trivet/platform/telemetry/catalog"
)

const root = "../.."

// promtool runs Prometheus's checker in the root folder, and returns and logs what it prints.
func promtool(t *testing.T, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("promtool")
	skip.Unless(t, "Prometheus rules", err, "install Debian's package prometheus: make deps")
	command := exec.CommandContext(t.Context(), path, args...)
	command.Dir = root
	out, err := command.CombinedOutput()
	t.Logf("promtool %s\n%s", strings.Join(args, " "), out)
	require.NoError(t, err)
	return string(out)
}

// promtool takes the rules and the queries of the dashboard, the rules pass its tests, and docs/operations.md shows its results.
func TestPromtool(t *testing.T) {
	printed := promtool(t, "check", "rules", "deploy/prometheus/rules.yaml", "deploy/grafana/queries.yaml")
	tests := []string{"test", "rules"}
	for _, path := range scenarioFiles(t) {
		inside, err := filepath.Rel(root, path)
		require.NoError(t, err)
		tests = append(tests, inside)
	}
	printed += promtool(t, tests...)
	page, err := os.ReadFile(filepath.Join(root, "docs/operations.md"))
	require.NoError(t, err)
	for line := range strings.Lines(printed) {
		require.Contains(t, string(page), strings.TrimSpace(line), "run `make promtool` and write its results into docs/operations.md")
	}
}

// Every alert fires in a test of Prometheus's rules, and is silent in another moment.
func TestEveryRuleHasATest(t *testing.T) {
	fires, silent := map[string]bool{}, map[string]bool{}
	for _, scenario := range scenarios(t) {
		for _, check := range scenario.Checks {
			fires[check.Alert] = fires[check.Alert] || len(check.Expect) > 0
			silent[check.Alert] = silent[check.Alert] || len(check.Expect) == 0
		}
	}
	for _, r := range alert.Rules() {
		require.True(t, fires[r.Name], "no test makes %s fire", r.Name)
		require.True(t, silent[r.Name], "no test keeps %s silent", r.Name)
	}
}

func TestEveryRuleHasAPlaybook(t *testing.T) {
	index, err := os.ReadFile(filepath.Join(root, "docs/playbooks/README.md"))
	require.NoError(t, err)
	var pages []string
	for _, r := range alert.Rules() {
		page, err := os.ReadFile(filepath.Join(root, r.Playbook()))
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(string(page), "# "+r.Name+"\n"), r.Playbook())
		for _, part := range []string{"## Meaning", "## Check", "## Fix"} {
			require.Contains(t, string(page), "\n"+part+"\n", r.Playbook())
		}
		require.Contains(t, string(index), fmt.Sprintf("[%s](%s.md)", r.Name, r.Name))
		pages = append(pages, r.Name+".md")
	}
	found, err := filepath.Glob(filepath.Join(root, "docs/playbooks/*.md"))
	require.NoError(t, err)
	for _, path := range found {
		require.Contains(t, append(pages, "README.md"), filepath.Base(path), "a playbook without an alert")
	}
}

var (
	selector = regexp.MustCompile(`\b([a-zA-Z_]\w*)\{([^}]*)\}|\b(trivet_\w+)`)
	matcher  = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)\s*"`)
	grouping = regexp.MustCompile(`\bby ?\(([^)]*)\)`)
	// addedLabels lists what Prometheus adds itself.
	addedLabels = []string{"instance", "job", "alertname", "alertstate", "severity"}
)

// Rules, dashboard and documents use only metrics and labels of the catalog.
func TestExpressionsUseTheCatalog(t *testing.T) {
	for _, expression := range expressions(t) {
		labels := slices.Clone(addedLabels)
		for _, found := range selector.FindAllStringSubmatch(expression, -1) {
			name := found[1] + found[3]
			if !strings.HasPrefix(name, "trivet_") {
				require.Contains(t, []string{"up", "ALERTS"}, name, expression)
				continue
			}
			metric, ok := catalog.Find(name)
			require.True(t, ok, "the catalog has no %s: %s", name, expression)
			labels = append(labels, metric.LabelNames()...)
			for _, label := range matcher.FindAllStringSubmatch(found[2], -1) {
				require.Contains(t, append(slices.Clone(addedLabels), metric.LabelNames()...), label[1], "%s has no such label: %s", name, expression)
			}
		}
		for _, found := range grouping.FindAllStringSubmatch(expression, -1) {
			for _, label := range strings.Split(found[1], ",") {
				require.Contains(t, labels, strings.TrimSpace(label), expression)
			}
		}
	}
}

// The values that rules select exist: a rule for an outcome that nothing reports would be silent for good.
func TestRulesSelectDeclaredValues(t *testing.T) {
	for _, r := range alert.Rules() {
		for _, c := range r.When {
			for _, match := range c.Signal.Part.Match {
				metric, ok := catalog.Find(c.Signal.Part.Metric)
				require.True(t, ok)
				i := slices.IndexFunc(metric.Labels, func(l catalog.Label) bool { return l.Name == match.Label })
				require.GreaterOrEqual(t, i, 0, "%s: %s", r.Name, match.Label)
				if metric.Labels[i].Values == nil {
					continue
				}
				for _, value := range strings.Split(match.Value, "|") {
					require.Contains(t, metric.Labels[i].Values, value, r.Name)
				}
			}
		}
	}
}

// expressions returns those of the rules and of the dashboard.
func expressions(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, path := range []string{"deploy/prometheus/rules.yaml", "deploy/grafana/queries.yaml"} {
		var file struct {
			Groups []struct {
				Rules []struct{ Expr string }
			}
		}
		raw, err := os.ReadFile(filepath.Join(root, path))
		require.NoError(t, err)
		require.NoError(t, yaml.Unmarshal(raw, &file))
		for _, group := range file.Groups {
			for _, rule := range group.Rules {
				all = append(all, rule.Expr)
			}
		}
	}
	require.Greater(t, len(all), 40)
	return all
}
