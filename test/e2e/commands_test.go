package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database/databasetest"
)

const testTimeout = 2 * time.Minute

// runTimeout is how long a program may take that does its work and ends.
const runTimeout = 30 * time.Second

// run starts a program with nothing but the given settings and returns what it wrote and whether it succeeded. A program that
// does not end is killed with all that it started, and the test fails.
func run(t *testing.T, name string, args []string, env ...string) (string, error) {
	t.Helper()
	dir, err := programs()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), runTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(dir, name), args...)
	cmd.Dir, cmd.Env = t.TempDir(), env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	require.NoError(t, ctx.Err(), "%s %v did not end:\n%s", name, args, out)
	return string(out), err
}

func TestServeReportsAllInvalidSettings(t *testing.T) {
	out, err := run(t, "trivet", []string{"serve"}, "LOG_LEVEL=loud", "TRIVET_MAX_BODY_BYTES=lots", "CORS_ALLOWED_ORIGINS=*", "DEFAULT_PLAN=gold",
		"STRIPE_SECRET_KEY=sk_test_trivetsandbox", "TRIVET_HTTP_ADDR=8080")
	require.Error(t, err)
	for _, name := range []string{
		"LOG_LEVEL", "CLERK_SECRET_KEY", "CLERK_ISSUER", "OPENAI_API_KEY", "TRIVET_API_KEY_SECRET", "TRIVET_MAX_BODY_BYTES", "CORS_ALLOWED_ORIGINS", "DEFAULT_PLAN",
		"STRIPE_SECRET_KEY", "TRIVET_HTTP_ADDR",
	} {
		require.Contains(t, out, "\n  "+name+": ")
	}
}

func TestServicesRefuseToStartWithoutKeys(t *testing.T) {
	for _, name := range []string{"auth", "ai", "billing", "gateway"} {
		out, err := run(t, name, nil)
		require.Error(t, err, name)
		require.Contains(t, out, "TRIVET_PASSPORT_PUBLIC_KEYS", name)
		require.Contains(t, out, "TRIVET_INTERNAL_SECRET", name)

		out, err = run(t, name, nil, "TRIVET_PASSPORT_PUBLIC_KEYS=not-a-key", "TRIVET_INTERNAL_SECRET=short-and-secret")
		require.Error(t, err, name)
		require.Contains(t, out, "TRIVET_PASSPORT_PUBLIC_KEYS", name)
		require.Contains(t, out, "TRIVET_INTERNAL_SECRET", name)
		require.NotContains(t, out, "short-and-secret", "a secret is never printed")

		_, err = run(t, name, []string{"nonsense"})
		require.Error(t, err, name)
	}
}

func TestKeys(t *testing.T) {
	out, err := run(t, "trivet", []string{"keys"})
	require.NoError(t, err)
	values := map[string]string{}
	for line := range strings.Lines(out) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(line, "#") {
			values[name] = value
		}
	}
	for _, name := range []string{"TRIVET_PASSPORT_KEY", "TRIVET_PASSPORT_PUBLIC_KEYS", "TRIVET_INTERNAL_SECRET", "TRIVET_API_KEY_SECRET"} {
		raw, err := base64.StdEncoding.DecodeString(values[name])
		require.NoError(t, err, name)
		require.Len(t, raw, 32, name)
	}
	again, err := run(t, "trivet", []string{"keys"})
	require.NoError(t, err)
	require.NotEqual(t, out, again)

	dir := t.TempDir()
	out, err = run(t, "trivet", []string{"keys", "--dir", dir})
	require.NoError(t, err, out)
	require.Contains(t, out, "generated the keys")
	out, err = run(t, "trivet", []string{"keys", "--dir", dir})
	require.NoError(t, err, out)
	require.Contains(t, out, "already exist")
	require.NoError(t, exec.Command("rm", filepath.Join(dir, "shared", "passport.pub")).Run())
	out, err = run(t, "trivet", []string{"keys", "--dir", dir})
	require.Error(t, err)
	require.Contains(t, out, "other files of the same set do not")
}

func TestCommandErrors(t *testing.T) {
	cases := []struct {
		args []string
		env  []string
		says string
	}{
		{[]string{"token"}, nil, "user"},
		{[]string{"token", "--user", "u", "--role", "admin"}, nil, "--org"},
		{[]string{"token", "--user", "u"}, []string{"TRIVET_SANDBOX_ADDR=127.0.0.1:1"}, "trivet dev"},
		{[]string{"dev"}, []string{"TRIVET_ENV=production"}, "trivet serve"},
		{[]string{"dev", "extra"}, nil, "extra"},
		{[]string{"fly"}, nil, "fly"},
		{[]string{"users", "fly"}, nil, "fly"},
		{[]string{"dev"}, []string{"TRIVET_OPS_ADDR=0.0.0.0:0"}, "--allow-public"},
		{[]string{"dev"}, []string{"TRIVET_SANDBOX_ADDR=127.0.0.1:0", "TRIVET_OPS_ADDR=127.0.0.1:0", "TRIVET_GRPC_ADDR=127.0.0.1:0", "TRIVET_HTTP_ADDR=127.0.0.1:99999"}, "TRIVET_HTTP_ADDR"},
		{[]string{"dev"}, []string{"TRIVET_SANDBOX_ADDR=127.0.0.1:0", "DATABASE_URL=mysql://x"}, "DATABASE_URL"},
		{[]string{"dev"}, []string{"TRIVET_SANDBOX_ADDR=127.0.0.1:0", "MODELS_FILE=/nowhere.yaml"}, "MODELS_FILE"},
		{[]string{"dev"}, []string{"TRIVET_SANDBOX_ADDR=127.0.0.1:0", "DEFAULT_PLAN=gold"}, "DEFAULT_PLAN"},
		{[]string{"ready", "http://127.0.0.1:1/readyz"}, nil, "127.0.0.1:1"},
	}
	for _, tc := range cases {
		t.Run(strings.Join(append(tc.args, tc.env...), " "), func(t *testing.T) {
			out, err := run(t, "trivet", tc.args, tc.env...)
			require.Error(t, err, out)
			require.Contains(t, out, tc.says)
			require.NotContains(t, out, "panic")
			require.NotContains(t, out, "goroutine ")
		})
	}
}

// Migrating needs to know where the database is, and nothing else.
func TestMigrate(t *testing.T) {
	for name, url := range map[string]string{"SQLite": "sqlite://" + t.TempDir(), "PostgreSQL": databasetest.PostgresURL(t)} {
		for range 2 {
			out, err := run(t, "trivet", []string{"migrate"}, "DATABASE_URL="+url)
			require.NoError(t, err, "%s: %s", name, out)
			require.Contains(t, out, "service=auth")
			require.Contains(t, out, "service=billing")
		}
	}
	out, err := run(t, "trivet", []string{"migrate"}, "DATABASE_URL=postgres://nobody:hunter2@127.0.0.1:1/x")
	require.Error(t, err)
	require.NotContains(t, out, "hunter2")
}

// What was billed is there after a restart, and so is the sandbox's Clerk, whose tokens stay good.
func TestRestartKeepsData(t *testing.T) {
	dir := t.TempDir()
	first := allInOne(t, "TRIVET_DATA_DIR="+dir)
	token := first.token("user_stays", nil)
	var got struct{ Usage openAIUsage }
	first.post("/v1/chat/completions", token, `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hi"}]}`, &got)
	before := first.account(token)
	first.stop()
	second := allInOne(t, "TRIVET_DATA_DIR="+dir)
	require.Equal(t, before, second.account(token))
}

// What docker-compose.yml sets up with the sandbox: processes whose providers' settings are all absent. Webhooks arrive.
func TestSplitModeReceivesSandboxWebhooks(t *testing.T) {
	keys := t.TempDir()
	_, err := run(t, "trivet", []string{"keys", "--dir", keys})
	require.NoError(t, err)
	in := splitWithSandbox(t, keys)
	in.control("POST", "/control/clerk/users", map[string]any{"count": 3}, nil)
	operator := in.token("user_operator", nil)
	require.Eventually(t, func() bool {
		var list struct{ Users []struct{ ID string } }
		in.get("/api/v1/users", operator, &list)
		return len(list.Users) == 4
	}, 20*time.Second, 50*time.Millisecond, "the users from webhooks are known, though they never signed in")
	require.NotContains(t, in.log.String(), "CONFIGURATION_ERROR")
	require.Contains(t, in.log.String(), "the sandbox stands in for a provider")
}

// splitWithSandbox starts what docker-compose.yml does, on SQLite, with the keys in a folder.
func splitWithSandbox(t *testing.T, keys string) *installation {
	t.Helper()
	p := ports(t, 9)
	in := &installation{t: t, edge: "http://" + p[0], sandbox: "http://" + p[8], log: &logFile{}}
	secrets := []string{
		"TRIVET_SANDBOX_CLERK_WEBHOOK_SECRET_FILE=" + filepath.Join(keys, "sandbox", "clerk-webhook.secret"),
		"TRIVET_SANDBOX_STRIPE_WEBHOOK_SECRET_FILE=" + filepath.Join(keys, "sandbox", "stripe-webhook.secret"),
	}
	in.start("trivet", []string{"sandbox"}, append(secrets, "TRIVET_SANDBOX_ADDR="+p[8], "TRIVET_SANDBOX_EDGE_URL="+in.edge, "TRIVET_DATA_DIR="+t.TempDir()))
	in.await(in.sandbox + "/healthz")
	common := append([]string{
		"TRIVET_SANDBOX_URL=" + in.sandbox, "TRIVET_OPERATORS=user_operator",
		"TRIVET_AUTH_ADDR=" + p[1], "TRIVET_AI_ADDR=" + p[2], "TRIVET_BILLING_ADDR=" + p[3],
		"TRIVET_INTERNAL_SECRET_FILE=" + filepath.Join(keys, "shared", "internal.secret"), "TRIVET_PASSPORT_PUBLIC_KEYS_FILE=" + filepath.Join(keys, "shared", "passport.pub"),
		"TRIVET_PASSPORT_KEY_FILE=" + filepath.Join(keys, "private", "passport.key"), "TRIVET_API_KEY_SECRET_FILE=" + filepath.Join(keys, "private", "apikey.secret"),
	}, secrets...)
	for i, name := range []string{"auth", "ai", "billing"} {
		own := "DATABASE_URL=sqlite://" + t.TempDir() // one process owns a folder of SQLite files
		in.once(name, []string{"migrate"}, []string{own})
		in.ops = append(in.ops, "http://"+p[4+i])
		in.start(name, nil, append(common, own, "TRIVET_GRPC_ADDR="+p[1+i], "TRIVET_OPS_ADDR="+p[4+i]))
	}
	in.ops = append(in.ops, "http://"+p[7])
	in.start("gateway", nil, append(common, "TRIVET_HTTP_ADDR="+p[0], "TRIVET_OPS_ADDR="+p[7]))
	in.awaitReady()
	return in
}

// An export is one document for programs, with what every service stores about a user.
func TestUsersExportContainsUsageRecords(t *testing.T) {
	inEachMode(t, func(t *testing.T, in *installation) {
		token := in.token("user_exported", nil)
		for range 2 {
			var got struct{ Usage openAIUsage }
			in.post("/v1/chat/completions", token, `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hi"}]}`, &got)
		}
		var document struct {
			UserID  string
			Billing struct {
				UsageRecords []struct {
					Model       string
					CostNanoUSD int64 `json:"costNanoUsd,string"`
				}
			}
		}
		require.Eventually(t, func() bool { // the user's webhook must have arrived
			out, err := run(t, "trivet", []string{"users", "export", "user_exported"}, "TRIVET_URL="+in.edge, "TRIVET_TOKEN="+in.token("user_operator", nil))
			return err == nil && json.Unmarshal([]byte(out), &document) == nil
		}, 20*time.Second, 100*time.Millisecond)
		require.Equal(t, "user_exported", document.UserID)
		require.Len(t, document.Billing.UsageRecords, 2)
		require.Equal(t, "gpt-4o-mini", document.Billing.UsageRecords[0].Model)
		require.Positive(t, document.Billing.UsageRecords[0].CostNanoUSD)
	}, "TRIVET_OPERATORS=user_operator")
}
