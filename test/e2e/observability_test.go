package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/trivet-dev/trivet/platform/skip"
)

// load decodes a YAML file of the repository strictly.
func load(t *testing.T, into any, path ...string) {
	t.Helper()
	file, err := os.Open(filepath.Join(append([]string{"..", ".."}, path...)...))
	require.NoError(t, err)
	defer file.Close()
	decoder := yaml.NewDecoder(file)
	decoder.KnownFields(true)
	require.NoError(t, decoder.Decode(into))
}

// Prometheus reads every process of compose that has metrics, at the port where it has them, and the rules that are mounted.
func TestPrometheusReadsEveryProcess(t *testing.T) {
	var config struct {
		Global  map[string]string
		Rules   []string `yaml:"rule_files"`
		Scrapes []struct {
			Job    string                       `yaml:"job_name"`
			Static []struct{ Targets []string } `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	load(t, &config, "deploy", "prometheus", "prometheus.yaml")
	require.Len(t, config.Scrapes, 1)
	rules, err := os.ReadFile(filepath.Join("..", "..", "deploy", "prometheus", "rules.yaml"))
	require.NoError(t, err)
	require.Contains(t, string(rules), `up{job="`+config.Scrapes[0].Job+`"}`)
	file := compose(t)
	var want []string
	for name, s := range file.Services {
		if ops := s.Environment["TRIVET_OPS_ADDR"]; ops != "" && !strings.HasPrefix(name, "migrate-") {
			_, port, err := net.SplitHostPort(ops)
			require.NoError(t, err)
			want = append(want, net.JoinHostPort(name, port))
		}
	}
	require.ElementsMatch(t, want, config.Scrapes[0].Static[0].Targets)
	for _, path := range append(config.Rules, "/etc/prometheus/prometheus.yaml") {
		require.True(t, mounted(file.Services["prometheus"], path), "%s is not mounted", path)
	}
}

// mounted reports whether a file is mounted, by itself or with its folder.
func mounted(s composeService, path string) bool {
	return slices.ContainsFunc(s.Volumes, func(v string) bool {
		parts := strings.Split(v, ":")
		return len(parts) > 1 && (parts[1] == path || strings.HasPrefix(path, parts[1]+"/"))
	})
}

// Grafana finds Prometheus and the dashboard.
func TestGrafanaIsProvisioned(t *testing.T) {
	var sources struct {
		Version int `yaml:"apiVersion"`
		All     []struct {
			Name, UID, Type, Access, URL string
			Default                      bool `yaml:"isDefault"`
		} `yaml:"datasources"`
	}
	load(t, &sources, "deploy", "grafana", "provisioning", "datasources", "prometheus.yaml")
	require.Len(t, sources.All, 1)
	require.True(t, sources.All[0].Default, "the dashboard's variable takes the default source")
	file := compose(t)
	host, port, err := net.SplitHostPort(strings.TrimPrefix(sources.All[0].URL, "http://"))
	require.NoError(t, err)
	require.Contains(t, file.Services, host)
	require.True(t, strings.HasSuffix(file.Services[host].Ports[0], ":"+port), "%s does not listen on %s", host, port)
	var dashboards struct {
		Version   int `yaml:"apiVersion"`
		Providers []struct {
			Name, Type string
			Options    struct{ Path string }
		}
	}
	load(t, &dashboards, "deploy", "grafana", "provisioning", "dashboards", "trivet.yaml")
	require.True(t, mounted(file.Services["grafana"], dashboards.Providers[0].Options.Path+"/trivet.json") ||
		slices.ContainsFunc(file.Services["grafana"].Volumes, func(v string) bool {
			return strings.Contains(v, ":"+dashboards.Providers[0].Options.Path+"/trivet.json")
		}))
}

// Images of others are pinned, ports are published on this machine only, and each check of health asks a port that the service has.
func TestComposeImagesPortsAndChecks(t *testing.T) {
	pinned := regexp.MustCompile(`^\S+:v?[0-9]+(\.[0-9]+)*(-[a-z]+)?$`)
	asked := regexp.MustCompile(`http://127\.0\.0\.1:([0-9]+)/`)
	for name, s := range compose(t).Services {
		require.True(t, s.Image == "trivet" || pinned.MatchString(s.Image), "%s: the image %s is not pinned", name, s.Image)
		var own []string
		for _, port := range s.Ports {
			require.True(t, strings.HasPrefix(port, "127.0.0.1:"), "%s publishes %s", name, port)
			own = append(own, port[strings.LastIndex(port, ":")+1:])
		}
		for setting, value := range s.Environment {
			if _, port, err := net.SplitHostPort(value); err == nil && strings.HasSuffix(setting, "_ADDR") && strings.HasPrefix(value, "0.0.0.0:") {
				own = append(own, port)
			}
		}
		check, _ := s.Healthcheck["test"].([]any)
		for _, word := range check {
			if at := asked.FindStringSubmatch(fmt.Sprint(word)); at != nil {
				require.Contains(t, own, at[1], "%s: its check asks a port that it does not have", name)
			}
		}
		require.True(t, s.Restart == "no" || len(check) > 0, "%s has no check of its health", name)
	}
}

// Prometheus's own checker accepts the configuration with the rules.
func TestPromtoolAcceptsTheConfiguration(t *testing.T) {
	path, err := exec.LookPath("promtool")
	skip.Unless(t, "Prometheus", err, "install it (Debian: apt-get install prometheus)")
	raw, err := os.ReadFile(filepath.Join("..", "..", "deploy", "prometheus", "prometheus.yaml"))
	require.NoError(t, err)
	rules, err := filepath.Abs(filepath.Join("..", "..", "deploy", "prometheus", "rules.yaml"))
	require.NoError(t, err)
	local := filepath.Join(t.TempDir(), "prometheus.yaml")
	require.NoError(t, os.WriteFile(local, []byte(strings.Replace(string(raw), "/etc/prometheus/rules.yaml", rules, 1)), 0o600))
	out, err := exec.CommandContext(t.Context(), path, "check", "config", local).CombinedOutput()
	require.NoError(t, err, "%s", out)
}
