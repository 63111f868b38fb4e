package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/trivet-dev/trivet/platform/settings"
)

type composeService struct {
	Build       any
	Image       string
	Profiles    []string
	Command     []string
	Environment map[string]string
	Volumes     []string
	DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
	Healthcheck map[string]any
	Restart     string
	Ports       []string
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
func TestComposeFileIsConsistent(t *testing.T) {
	file := compose(t)
	dockerfile, err := os.ReadFile(filepath.Join("..", "..", "Dockerfile"))
	require.NoError(t, err)
	for name, s := range file.Services {
		for on, how := range s.DependsOn {
			target, ok := file.Services[on]
			require.True(t, ok, "%s depends on %s, which does not exist", name, on)
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
			if strings.HasPrefix(source, "./") {
				_, err := os.Stat(filepath.Join("..", "..", source))
				require.True(t, err == nil || source == "./config", "%s: %s does not exist", name, source) // config is the operator's own
				continue
			}
			require.Contains(t, file.Volumes, source, name)
		}
		if len(s.Command) > 0 && strings.HasPrefix(s.Command[0], "/") {
			require.Contains(t, string(dockerfile), "/out"+s.Command[0], "%s runs a program that is not in the image", name)
		}
		if s.Environment["TRIVET_PASSPORT_KEY_FILE"] != "" {
			require.Contains(t, name, "auth", "only auth signs passports")
		}
	}
	require.NotEmpty(t, file.Services["redis"].Healthcheck)
	require.Contains(t, file.Services["ai"].Environment, "REDIS_URL")
	for _, name := range []string{"auth", "ai", "billing", "gateway", "postgres", "redis", "keys", "sandbox", "migrate-auth", "migrate-billing", "migrate-ai"} {
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

// Several services that build and export one image at the same time fail on a clean machine.
func TestComposeBuildsTheImageOnce(t *testing.T) {
	file := compose(t)
	for name, s := range file.Services {
		require.Equal(t, name == "keys", s.Build != nil, "%s: only keys builds", name)
		if s.Image == "trivet" && name != "keys" {
			require.Contains(t, s.DependsOn, "keys", "%s must wait until the image is built", name)
		}
	}
}

// The sandbox signs its webhooks with secrets that keys generates and the services know.
func TestComposeDeliversSandboxWebhooks(t *testing.T) {
	file := compose(t)
	sandbox := file.Services["sandbox"]
	require.Equal(t, "${TRIVET_SANDBOX_EDGE_URL:-http://gateway:8080}", sandbox.Environment["TRIVET_SANDBOX_EDGE_URL"])
	for _, setting := range []string{"TRIVET_SANDBOX_CLERK_WEBHOOK_SECRET_FILE", "TRIVET_SANDBOX_STRIPE_WEBHOOK_SECRET_FILE"} {
		require.NotEmpty(t, sandbox.Environment[setting])
		for _, name := range []string{"auth", "billing"} {
			require.Equal(t, sandbox.Environment[setting], file.Services[name].Environment[setting], name)
		}
	}
	for _, name := range []string{"sandbox", "auth", "billing", "keys"} {
		require.True(t, slices.ContainsFunc(file.Services[name].Volumes, func(v string) bool { return strings.HasPrefix(v, "keys-sandbox:/keys/sandbox") }), name)
	}
	dir := t.TempDir()
	_, err := run(t, "trivet", []string{"keys", "--dir", dir})
	require.NoError(t, err)
	for _, file := range []string{"clerk-webhook.secret", "stripe-webhook.secret"} {
		raw, err := os.ReadFile(filepath.Join(dir, "sandbox", file))
		require.NoError(t, err)
		require.Regexp(t, `^whsec_\S{32,}\n$`, string(raw))
	}
}

// No provider's setting has a default: a real key beside the sandbox's address would be sent to the sandbox.
func TestComposeSendsNoRealKeyToTheSandbox(t *testing.T) {
	file := compose(t)
	providers := regexp.MustCompile(`^(CLERK|OPENAI|STRIPE)_`)
	for name, s := range file.Services {
		for setting, value := range s.Environment {
			if providers.MatchString(setting) {
				require.Equal(t, "${"+setting+":-}", value, "%s: %s", name, setting)
			}
		}
	}
}

// Every setting that a service reads can be given in .env; what it does not read, it does not get.
func TestComposePassesEverySetting(t *testing.T) {
	file := compose(t)
	passed := map[string]bool{}
	for _, s := range file.Services {
		for setting := range s.Environment {
			passed[strings.TrimSuffix(setting, "_FILE")], passed[setting] = true, true
		}
	}
	for name := range settingNames(t) {
		switch name {
		case "TRIVET_URL", "TRIVET_TOKEN", "TRIVET_DATA_DIR": // of the operator's commands; of the image
			continue
		}
		require.True(t, passed[name], "%s cannot be given through docker-compose.yml", name)
	}
	for setting, only := range map[string]string{"OPENAI_API_KEY": "ai", "STRIPE_SECRET_KEY": "billing", "CLERK_SECRET_KEY": "auth", "TRIVET_PASSPORT_KEY_FILE": "auth"} {
		for name, s := range file.Services {
			if _, ok := s.Environment[setting]; ok {
				require.Contains(t, name, only, "%s gets %s", name, setting)
			}
		}
	}
}

// Certificates are files that change while a process runs. A service that may read a file of the operator's has the folder.
func TestComposePassesFiles(t *testing.T) {
	file := compose(t)
	for _, name := range []string{"auth", "ai", "billing", "gateway"} {
		s := file.Services[name]
		files := []string{"TRIVET_GRPC_TLS_CERT_FILE", "TRIVET_GRPC_TLS_KEY_FILE", "TRIVET_GRPC_TLS_CA_FILE"}
		if name == "gateway" {
			files = append(files, "TRIVET_TLS_CERT_FILE", "TRIVET_TLS_KEY_FILE")
		}
		for _, setting := range files {
			require.Equal(t, "${"+setting+":-}", s.Environment[setting], name)
			require.Equal(t, "${"+strings.TrimSuffix(setting, "_FILE")+":-}", s.Environment[strings.TrimSuffix(setting, "_FILE")], name)
		}
		require.Contains(t, s.Volumes, "./config:/config:ro", name)
	}
}

// Secrets in .env must reach neither a commit nor an image.
func TestEnvFilesAreIgnored(t *testing.T) {
	for _, name := range []string{".gitignore", ".dockerignore"} {
		raw, err := os.ReadFile(filepath.Join("..", "..", name))
		require.NoError(t, err)
		for _, secret := range []string{".env", ".dev.vars"} {
			require.Regexp(t, `(?m)^/?`+regexp.QuoteMeta(secret)+`$`, string(raw), name)
		}
	}
}

// The image listens where a published port reaches it.
func TestImageListensOnEveryAddress(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("..", "..", "Dockerfile"))
	require.NoError(t, err)
	require.Regexp(t, `(?m)^ENV .*TRIVET_HTTP_ADDR=0\.0\.0\.0:8080`, string(raw))
	require.Regexp(t, `(?m)^EXPOSE 8080$`, string(raw))
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
			require.True(t, known[setting] || known[base], "%s: %s is not a setting", name, setting)
		}
	}
}

// settingNames are all settings of all programs.
func settingNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, name := range settings.Known() {
		names[name] = true
	}
	require.Greater(t, len(names), 20)
	return names
}
