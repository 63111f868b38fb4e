package allinone

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/serve"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/sandbox"
)

func env(values map[string]string) settings.Env {
	return settings.Env{Get: func(name string) string { return values[name] }}
}

// Whatever looks like a key in a file that is published, and not in a test, production must know as published.
func TestEveryPublishedSecretIsListed(t *testing.T) {
	key := regexp.MustCompile(`(?:sk|rk|pk)_(?:test|live)_[A-Za-z0-9_]{6,}|whsec_[A-Za-z0-9+/=]{6,}|\bsk-[A-Za-z0-9_-]{6,}`)
	found := map[string]string{}
	root, skip := filepath.Join("..", ".."), int64(1<<20) // programs that somebody built there
	require.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			switch entry.Name() {
			case ".git", ".bin", "node_modules", "bin", "data", "testdata", "gen", ".protodeps":
				return filepath.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(path, "_test.go") || !entry.Type().IsRegular() || !text[filepath.Ext(path)] {
			return nil
		}
		if info, err := entry.Info(); err != nil || info.Size() > skip {
			return err
		}
		raw, err := os.ReadFile(path)
		for _, value := range key.FindAllString(string(raw), -1) {
			found[value] = path
		}
		return err
	}))
	require.Greater(t, len(found), 5, "the sandbox's own keys are there")
	for value, path := range found {
		if _, ok := settings.Published(value); !ok && !onlyTests[value] {
			t.Errorf("%s publishes %s: add it to platform/settings/published.go", path, value)
		}
	}
}

// text are the files that people read; "" is that of Dockerfile and Makefile.
var text = map[string]bool{".go": true, ".md": true, ".yml": true, ".yaml": true, ".example": true, ".mjs": true, ".ts": true, ".tsx": true, ".sh": true, "": true}

// onlyTests are keys in helpers of tests, which no installation gets to see.
var onlyTests = map[string]bool{"sk_test_clerktest": true}

// The sandbox's and the services' own constants are found by their names, so that a new one cannot be forgotten.
func TestEveryDevelopmentConstantIsKnown(t *testing.T) {
	named := regexp.MustCompile(`(?i)(secret|key)$`)
	count := 0
	for _, pattern := range []string{"../../sandbox/*.go", "../../sandbox/*/*.go", "../../services/*/*.go", "../../platform/serve/*.go", "*.go"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
			require.NoError(t, err)
			ast.Inspect(parsed, func(n ast.Node) bool {
				spec, ok := n.(*ast.ValueSpec)
				if !ok || len(spec.Values) != len(spec.Names) {
					return true
				}
				for i, name := range spec.Names {
					literal, ok := spec.Values[i].(*ast.BasicLit)
					if !ok || literal.Kind != token.STRING || !named.MatchString(name.Name) {
						continue
					}
					value, err := strconv.Unquote(literal.Value)
					require.NoError(t, err)
					if len(value) < 16 || regexp.MustCompile(`^[A-Z_]+$`).MatchString(value) { // the name of a setting, a header or a route
						continue
					}
					count++
					if _, ok := settings.Published(value); !ok {
						t.Errorf("%s: %s is published: add it to platform/settings/published.go", file, name.Name)
					}
				}
				return true
			})
		}
	}
	require.Greater(t, count, 3)
}

// What the sandbox tells people to set, production refuses, setting by setting.
func TestServeRefusesTheSandboxsEnvironment(t *testing.T) {
	box, err := sandbox.New(sandbox.Config{BaseURL: "http://127.0.0.1:8090"})
	require.NoError(t, err)
	defer func() { require.NoError(t, box.Close(context.Background())) }()
	require.Equal(t, box.Environment(), serve.SandboxAt("http://127.0.0.1:8090/"), "split mode knows the sandbox's settings")
	values := box.Environment()
	values["TRIVET_API_KEY_SECRET"] = "trivet development: everybody knows this secret"
	values["TRIVET_DATA_DIR"] = t.TempDir()
	err = Serve(t.Context(), env(values), io.Discard)
	for name := range values {
		switch name {
		case "CLERK_API_URL", "OPENAI_BASE_URL", "STRIPE_API_URL", "TRIVET_DATA_DIR", "CLERK_INSTANCE_ID": // no secrets
			require.NotContains(t, err.Error(), "\n  "+name+":")
		default:
			require.ErrorContains(t, err, "\n  "+name+":")
		}
	}
	require.NotContains(t, err.Error(), sandbox.ClerkWebhookSecret, "a secret is never printed")
}

func TestServeRefusesKeysThatCannotBeReal(t *testing.T) {
	err := Serve(t.Context(), env(map[string]string{
		"CLERK_SECRET_KEY": "abc", "CLERK_PUBLISHABLE_KEY": "pk_live_x", "OPENAI_API_KEY": "x", "STRIPE_SECRET_KEY": "y", "CLERK_WEBHOOK_SECRET": "whsec_...",
		"TRIVET_DATA_DIR": t.TempDir(), "TRIVET_ENV": "development",
	}), io.Discard)
	for _, name := range []string{"CLERK_SECRET_KEY", "CLERK_PUBLISHABLE_KEY", "OPENAI_API_KEY", "STRIPE_SECRET_KEY", "CLERK_WEBHOOK_SECRET", "TRIVET_API_KEY_SECRET", "TRIVET_ENV"} {
		require.ErrorContains(t, err, "\n  "+name+":")
	}
}

// All mistakes of all settings are named in one run, whichever part reads them and whenever it is built.
func TestAllMistakesInOneRun(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	values := map[string]string{
		"LOG_LEVEL": "x", "TRIVET_MAX_BODY_BYTES": "lots", "CORS_ALLOWED_ORIGINS": "*", "DEFAULT_PLAN": "gold", "DATABASE_URL": "mysql://x", "TRIVET_HTTP_ADDR": "8080",
		"TRIVET_GRPC_ADDR": "localhost", "TRIVET_OPS_ADDR": "127.0.0.1:x", "TRIVET_SANDBOX_ADDR": "8090", "MODELS_FILE": "/nowhere.yaml", "TRIVET_SANDBOX_PACE": "fast",
		"CLERK_ISSUER": "https://x/", "TRIVET_INBOX_MAX_ATTEMPTS": "0", "BILLING_HOLD_LEASE": "1", "TRIVET_DRAIN_DELAY": "-1s", "TRIVET_TRUSTED_PROXIES": "x", "CLERK_WEBHOOK_SECRET": "x",
	}
	e := env(values)
	e.File, e.FileNames = ".dev.vars", []string{"CORS_ALLOWED_ORIGIN"}
	_, dev := loadDev(e, DevOptions{})
	production := Serve(t.Context(), e, io.Discard)
	for name := range values {
		require.ErrorContains(t, dev, "\n  "+name+":")
		require.ErrorContains(t, production, "\n  "+name+":")
	}
	require.ErrorContains(t, dev, ".dev.vars: CORS_ALLOWED_ORIGIN")
	require.ErrorContains(t, dev, "\n  CLERK_SECRET_KEY:", "an issuer without a key means the real Clerk")
	_, err := loadDev(env(map[string]string{"TRIVET_DATA_DIR": file}), DevOptions{})
	require.ErrorContains(t, err, "TRIVET_DATA_DIR: ")
}

func TestDevOnAPublicAddressIsRefused(t *testing.T) {
	for _, name := range []string{"TRIVET_HTTP_ADDR", "TRIVET_GRPC_ADDR", "TRIVET_OPS_ADDR", "TRIVET_SANDBOX_ADDR"} {
		for address, public := range map[string]bool{
			"0.0.0.0:1": true, "[::]:1": true, ":1": true, "192.168.1.5:1": true, "example.com:1": true,
			"127.0.0.1:1": false, "127.8.8.8:1": false, "localhost:1": false, "[::1]:1": false,
		} {
			e := env(map[string]string{name: address, "TRIVET_DATA_DIR": t.TempDir()})
			_, err := loadDev(e, DevOptions{})
			if public {
				require.ErrorContains(t, err, name+": is reachable from other machines", address)
				require.ErrorContains(t, err, "--allow-public")
			} else {
				require.NoError(t, err, address)
			}
			_, err = loadDev(e, DevOptions{AllowPublic: true})
			require.NoError(t, err, address)
		}
	}
}

// A provider that a setting names is the real one; the sandbox fills in only those that no setting names.
func TestConfiguredProviderIsNotReplaced(t *testing.T) {
	for name, value := range map[string]string{"OPENAI_BASE_URL": "http://localhost:11434/v1", "STRIPE_API_URL": "http://localhost:12111"} {
		get := env(map[string]string{name: value}).Get
		filled, err := serve.FillIn(get, serve.SandboxAt("http://127.0.0.1:8090"))
		require.NoError(t, err)
		require.Equal(t, value, filled(name))
		require.NotEmpty(t, filled("CLERK_SECRET_KEY"))
	}
	e := env(map[string]string{"OPENAI_BASE_URL": "http://localhost:11434/v1", "TRIVET_DATA_DIR": t.TempDir()})
	_, err := loadDev(e, DevOptions{})
	require.NoError(t, err, "a model server on this machine needs no key")
	for _, name := range []string{"CLERK_ISSUER", "CLERK_API_URL", "CLERK_PUBLISHABLE_KEY"} {
		_, err := loadDev(env(map[string]string{name: "https://clerk.example.com", "TRIVET_DATA_DIR": t.TempDir()}), DevOptions{})
		require.ErrorContains(t, err, "CLERK_SECRET_KEY", name)
	}
}
