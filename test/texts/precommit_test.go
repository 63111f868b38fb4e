package texts_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The example of a pre-commit hook refuses secrets, shows none of them, and leaves other commits alone.
func TestPreCommitHookRefusesSecrets(t *testing.T) {
	hook, err := filepath.Abs("../../deploy/git/pre-commit")
	require.NoError(t, err)
	letters := strings.Repeat("a1B2", 12)
	for name, c := range map[string]struct {
		file, content string
		refused       bool
	}{
		"a live key of Stripe":          {"a.go", "key := \"sk_live_" + letters + "\"", true},
		"a restricted key":              {"a.go", "rk_live_" + letters, true},
		"a key of OpenAI":               {"a.md", "export OPENAI_API_KEY=sk-proj-" + letters, true},
		"a secret of webhooks":          {"a.yaml", "secret: whsec_" + letters, true},
		"an API key":                    {"a.txt", "tvt_live_" + letters, true},
		"an address of Slack":           {"a.txt", "https://hooks.slack.com/services/T0/B0/x", true},
		"a private key":                 {"a.pem", "-----BEGIN RSA PRIVATE KEY-----", true},
		"an internal secret":            {"a.sh", "TRIVET_INTERNAL_SECRET=" + letters, true},
		"the settings of a developer":   {".dev.vars", "LOG_LEVEL=debug", true},
		"the settings of compose":       {"sub/.env", "LOG_LEVEL=debug", true},
		"an example of settings":        {".dev.vars.example", "OPENAI_API_KEY=sk-…", false},
		"a test key":                    {"a.go", "sk_test_" + letters, false},
		"a setting that names a file":   {"a.sh", "TRIVET_INTERNAL_SECRET_FILE=/run/secrets/internal", false},
		"the name of a secret's prefix": {"a.md", "begins with whsec_ or sk_live_", false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			git := func(args ...string) {
				command := exec.CommandContext(t.Context(), "git", args...)
				command.Dir = dir
				out, err := command.CombinedOutput()
				require.NoError(t, err, "%s", out)
			}
			git("init", "-q")
			path := filepath.Join(dir, c.file)
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
			require.NoError(t, os.WriteFile(path, []byte("nothing\n"+c.content+"\n"), 0o600))
			git("add", "-A", "-f")
			command := exec.CommandContext(t.Context(), "sh", hook)
			command.Dir = dir
			out, err := command.CombinedOutput()
			require.Equal(t, c.refused, err != nil, "%s", out)
			require.NotContains(t, string(out), letters)
		})
	}
}

// A secret that is added to a file under another name is refused as well.
func TestPreCommitHookReadsRenamedFiles(t *testing.T) {
	hook, err := filepath.Abs("../../deploy/git/pre-commit")
	require.NoError(t, err)
	dir := t.TempDir()
	run := func(name string, args ...string) error {
		command := exec.CommandContext(t.Context(), name, args...)
		command.Dir = dir
		return command.Run()
	}
	long := strings.Repeat("a line that stays\n", 50)
	require.NoError(t, run("git", "init", "-q"))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.txt"), []byte(long), 0o600))
	require.NoError(t, run("git", "add", "-A"))
	require.NoError(t, run("git", "-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-qm", "first"))
	require.NoError(t, run("git", "mv", "a.txt", "b.txt"))
	require.NoError(t, run("sh", hook), "nothing is added")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "b.txt"), []byte(long+"sk_live_"+strings.Repeat("a1B2", 12)+"\n"), 0o600))
	require.NoError(t, run("git", "add", "-A"))
	require.Error(t, run("sh", hook))
}
