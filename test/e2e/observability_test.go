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

// source is a data source of Grafana.
type source struct {
	Name, UID, Type, Access, URL string
	Default                      bool `yaml:"isDefault"`
}

// dataSource reads a file of provisioned sources, and checks that its address is one of compose.
func dataSource(t *testing.T, file string) source {
	t.Helper()
	var sources struct {
		Version int      `yaml:"apiVersion"`
		All     []source `yaml:"datasources"`
	}
	load(t, &sources, "deploy", "grafana", "provisioning", "datasources", file)
	require.Len(t, sources.All, 1)
	host, port, err := net.SplitHostPort(strings.TrimPrefix(sources.All[0].URL, "http://"))
	require.NoError(t, err)
	services := compose(t).Services
	require.Contains(t, services, host)
	require.True(t, strings.HasSuffix(services[host].Ports[0], ":"+port), "%s does not listen on %s", host, port)
	require.Contains(t, services["grafana"].DependsOn, host)
	return sources.All[0]
}

// Grafana finds Prometheus, Tempo and the dashboard.
func TestGrafanaIsProvisioned(t *testing.T) {
	metrics, traces := dataSource(t, "prometheus.yaml"), dataSource(t, "tempo.yaml")
	require.True(t, metrics.Default, "the dashboard's variable takes the default source")
	require.Equal(t, "prometheus", metrics.Type)
	require.False(t, traces.Default)
	require.Equal(t, "tempo", traces.Type)
	require.NotEqual(t, metrics.UID, traces.UID)
	file := compose(t)
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

// The address that the documentation gives for traces is the one where Tempo takes them, and Tempo keeps them in its volume.
func TestTempoTakesTraces(t *testing.T) {
	var config struct {
		Server struct {
			Port int `yaml:"http_listen_port"`
		}
		Distributor struct {
			Receivers map[string]struct {
				Protocols map[string]struct{ Endpoint string }
			}
		}
		Storage struct {
			Trace struct {
				Backend    string
				Wal, Local struct{ Path string }
			}
		}
		Compactor   struct{ Compaction map[string]string }
		UsageReport map[string]bool `yaml:"usage_report"`
	}
	load(t, &config, "deploy", "tempo", "tempo.yaml")
	file := compose(t)
	tempo := file.Services["tempo"]
	require.Equal(t, []string{"observability"}, tempo.Profiles)
	require.Equal(t, []string{"-config.file=/etc/tempo.yaml"}, tempo.Command)
	require.True(t, mounted(tempo, "/etc/tempo.yaml"))
	require.Equal(t, []string{fmt.Sprintf("127.0.0.1:%d:%[1]d", config.Server.Port)}, tempo.Ports)
	require.Equal(t, "local", config.Storage.Trace.Backend)
	require.True(t, mounted(tempo, config.Storage.Trace.Wal.Path))
	require.True(t, mounted(tempo, config.Storage.Trace.Local.Path))
	require.NotEmpty(t, config.Compactor.Compaction["block_retention"], "traces are not kept without end")

	host, port, err := net.SplitHostPort(config.Distributor.Receivers["otlp"].Protocols["http"].Endpoint)
	require.NoError(t, err)
	require.Equal(t, "0.0.0.0", host, "other containers reach it")
	command := "OTEL_EXPORTER_OTLP_ENDPOINT=http://tempo:" + port + " docker compose --profile observability up"
	for _, document := range []string{"docker-compose.yml", "docs/operations.md"} {
		raw, err := os.ReadFile(filepath.Join("..", "..", document))
		require.NoError(t, err)
		require.Contains(t, string(raw), command, document)
	}
	for name, s := range file.Services {
		if s.Image == "trivet" && s.Environment["TRIVET_OPS_ADDR"] != "" {
			require.Equal(t, "${OTEL_EXPORTER_OTLP_ENDPOINT:-}", s.Environment["OTEL_EXPORTER_OTLP_ENDPOINT"], "%s: traces are off unless they are wanted", name)
		}
	}
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
