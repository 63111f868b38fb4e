package serve_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/serve"
	"github.com/trivet-dev/trivet/platform/settings"
)

// startsSlowly makes this test program a process that has begun to start, waits for its standard input to end, and then follows a file.
const startsSlowly = "TRIVET_TEST_STARTS_SLOWLY"

// follows is a struct of settings with a secret.
type follows struct {
	Key settings.Secret `env:"OPENAI_API_KEY"`
}

func startSlowly(t *testing.T) {
	ctx, stop := context.WithCancel(serve.WithHangups(t.Context()))
	defer stop()
	var s struct {
		Settings serve.Settings
		Own      follows
	}
	files, err := serve.ReadFileStates(os.Getenv, &s)
	require.NoError(t, err)
	require.NoError(t, settings.Load(os.Getenv, &s))
	host, err := serve.NewHost("test", s.Settings, io.Discard)
	require.NoError(t, err)
	part, err := serve.SecretsOf(host, files, nil, func() []string { return nil }, func(f follows) error {
		fmt.Println("\nuses", f.Key.Reveal()) //nolint:forbidigo // the parent reads it
		stop()
		return nil
	})
	require.NoError(t, err)
	fmt.Println("\nuses", s.Own.Key.Reveal()) //nolint:forbidigo // the parent reads it
	_, err = io.Copy(io.Discard, os.Stdin)
	require.NoError(t, err)
	require.NoError(t, part.Run(ctx))
}

// A secret that changes while the process starts is used, and a SIGHUP that comes before anything follows the files neither ends the process
// nor is lost.
func TestChangesDuringTheStart(t *testing.T) {
	if os.Getenv(startsSlowly) != "" {
		startSlowly(t)
		return
	}
	for name, c := range map[string]struct {
		interval string
		signal   bool
	}{"a changed file": {"10ms", false}, "SIGHUP": {"0s", true}} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "key")
			require.NoError(t, os.WriteFile(path, []byte("first"), 0o600))
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			child := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestChangesDuringTheStart$")
			child.Env = append(os.Environ(), startsSlowly+"=1", "OPENAI_API_KEY_FILE="+path, "TRIVET_SECRET_RELOAD_INTERVAL="+c.interval)
			stdin, err := child.StdinPipe()
			require.NoError(t, err)
			stdout, err := child.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, child.Start())
			lines := bufio.NewScanner(stdout)
			used := func() string {
				for lines.Scan() {
					if value, ok := strings.CutPrefix(lines.Text(), "uses "); ok {
						return value
					}
				}
				return "nothing: the process ended"
			}
			require.Equal(t, "first", used())
			require.NoError(t, os.WriteFile(path, []byte("second"), 0o600))
			if c.signal {
				require.NoError(t, child.Process.Signal(syscall.SIGHUP))
			}
			require.NoError(t, stdin.Close())
			require.Equal(t, "second", used())
			require.NoError(t, child.Wait())
		})
	}
}

// Secrets that no struct has are noted when they are read, and those that were never noted count as changed.
func TestFileStates(t *testing.T) {
	dir := t.TempDir()
	write := func(name, value string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(value), 0o600))
	}
	get := func(name string) string {
		if key, ok := strings.CutSuffix(name, "_FILE"); ok {
			return filepath.Join(dir, key)
		}
		return ""
	}
	write("OPENAI_API_KEY", "a")
	write("OTHER_KEY", "b")
	files, err := serve.ReadFileStates(get, follows{})
	require.NoError(t, err)
	names := []string{"OPENAI_API_KEY", "OTHER_KEY", "UNKNOWN_KEY"}
	require.Equal(t, settings.FileStates(get, names[:1]), serve.StatesOf(files, names))
	secrets, err := files.Secrets("OTHER_KEY")
	require.NoError(t, err)
	require.Equal(t, []string{"b"}, secrets.Reveal())
	before := settings.FileStates(get, names[:2])
	write("OTHER_KEY", "c")
	require.Equal(t, before, serve.StatesOf(files, names))
	_, err = serve.ReadFileStates(get, 1)
	require.Error(t, err)
}
