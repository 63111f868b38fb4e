package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

type composeService struct {
	Profiles    []string
	Command     []string
	Environment map[string]string
	Volumes     []string
	DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
	Healthcheck map[string]any
	Restart     string
}

type composeFile struct {
	Services map[string]composeService
	Volumes  map[string]any
}

func compose(t *testing.T) composeFile {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "docker-compose.yml"))
	require.NoError(t, err)
	var file composeFile
	require.NoError(t, yaml.Unmarshal(raw, &file))
	return file
}

// There is no Docker where the tests run: what can be checked without it is checked here.
func TestComposeFileHoldsTogether(t *testing.T) {
	file := compose(t)
	dockerfile, err := os.ReadFile(filepath.Join("..", "..", "Dockerfile"))
	require.NoError(t, err)
	for name, s := range file.Services {
		for on, how := range s.DependsOn {
			target, ok := file.Services[on]
			require.True(t, ok, "%s depends on %s, which is not there", name, on)
			switch how.Condition {
			case "service_healthy":
				require.NotEmpty(t, target.Healthcheck, "%s waits for the health of %s, which has no check", name, on)
			case "service_completed_successfully":
				require.Equal(t, "no", target.Restart, "%s waits for the end of %s, which restarts", name, on)
			default:
				t.Errorf("%s: condition %q", name, how.Condition)
			}
			require.Equal(t, target.Profiles, intersect(target.Profiles, s.Profiles), "%s is in a profile that %s is not in", on, name)
		}
		for _, volume := range s.Volumes {
			source, _, _ := strings.Cut(volume, ":")
			require.Contains(t, file.Volumes, source, name)
		}
		if len(s.Command) > 0 && strings.HasPrefix(s.Command[0], "/") {
			require.Contains(t, string(dockerfile), "/out"+s.Command[0], "%s runs a program that the image has not", name)
		}
		if s.Environment["TRIVET_PASSPORT_KEY_FILE"] != "" {
			require.Contains(t, name, "auth", "only auth signs passports")
		}
	}
	for _, name := range []string{"auth", "ai", "billing", "gateway", "postgres", "redis", "sandbox", "migrate-auth", "migrate-billing"} {
		require.Contains(t, file.Services, name)
	}
}

func intersect(a, b []string) []string {
	var both []string
	for _, x := range a {
		for _, y := range b {
			if x == y {
				both = append(both, x)
			}
		}
	}
	return both
}

// A name that no program reads would be a silent default.
func TestComposeFileNamesOnlySettings(t *testing.T) {
	file := compose(t)
	known := settingNames(t)
	for name, s := range file.Services {
		if len(s.Command) == 0 || !strings.HasPrefix(s.Command[0], "/") {
			continue
		}
		for setting := range s.Environment {
			base := strings.TrimSuffix(setting, "_FILE")
			require.True(t, known[setting] || known[base], "%s: %s is no setting", name, setting)
		}
	}
}

// settingNames reads the documented settings, which another test compares with the code.
func settingNames(t *testing.T) map[string]bool {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "docs", "settings.md"))
	require.NoError(t, err)
	names := map[string]bool{}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "| `"); ok {
			name, _, _ := strings.Cut(rest, "`")
			names[name] = true
		}
	}
	require.Greater(t, len(names), 20)
	return names
}
