package e2e

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/skip"
)

// clientFolder is the TypeScript client, built.
func clientFolder(t *testing.T) string {
	t.Helper()
	folder, err := filepath.Abs(filepath.Join("..", "..", "clients", "typescript"))
	require.NoError(t, err)
	_, err = os.Stat(filepath.Join(folder, "node_modules", "typescript"))
	skip.Unless(t, "the TypeScript client", err, "run `make clients/typescript/node_modules` (needs Node.js)")
	runNode(t, folder, "npm", "run", "--silent", "build")
	return folder
}

func runNode(t *testing.T, folder string, command ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = folder
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

func TestTypeScriptClient(t *testing.T) {
	folder := clientFolder(t)
	out := runNode(t, folder, "node", "--test", "test/")
	require.Contains(t, out, "# fail 0")
	require.NotContains(t, out, "# pass 0\n")
}

// The README promises the client's size.
func TestTypeScriptClientIsSmall(t *testing.T) {
	folder := clientFolder(t)
	var all bytes.Buffer
	zip, err := gzip.NewWriterLevel(&all, gzip.BestCompression)
	require.NoError(t, err)
	for _, pattern := range []string{"dist/*.js", "dist/gen/*.js"} {
		files, err := filepath.Glob(filepath.Join(folder, pattern))
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, file := range files {
			source, err := os.Open(file)
			require.NoError(t, err)
			_, err = io.Copy(zip, source)
			require.NoError(t, err)
			require.NoError(t, source.Close())
		}
	}
	require.NoError(t, zip.Close())
	require.Less(t, all.Len(), 5<<10)
}

// Each example of the client's README runs as it stands, against the product.
func TestTypeScriptClientExamples(t *testing.T) {
	folder := clientFolder(t)
	in := allInOne(t)
	text, err := os.ReadFile(filepath.Join(folder, "README.md"))
	require.NoError(t, err)
	examples := strings.Split(string(text), "```js\n")[1:]
	require.Len(t, examples, 3)

	modules := filepath.Join(t.TempDir(), "node_modules", "@trivet")
	require.NoError(t, os.MkdirAll(modules, 0o750))
	require.NoError(t, os.Symlink(folder, filepath.Join(modules, "client")))
	work := filepath.Dir(filepath.Dir(modules))
	t.Setenv("TRIVET_URL", in.edge)
	t.Setenv("TRIVET_TOKEN", in.token("user_typescript", nil))
	for i, want := range [][]string{{"tokens, $0.0"}, {"finished: stop", "stopped: enough"}, {"gpt-4o-mini ", "not found: "}} {
		source, _, _ := strings.Cut(examples[i], "```")
		file := filepath.Join(work, "example.mjs")
		require.NoError(t, os.WriteFile(file, []byte(source), 0o600))
		out := runNode(t, work, "node", file)
		for _, text := range want {
			require.Contains(t, out, text, "example %d", i+1)
		}
	}
}

// The same tasks with the generated Go client, and with curl.
func TestGoAndCurlExamples(t *testing.T) {
	in := allInOne(t)
	folder, err := filepath.Abs(filepath.Join("..", "..", "clients"))
	require.NoError(t, err)
	address, ok := strings.CutPrefix(in.grpc[0], "TRIVET_GRPC_ADDR=")
	require.True(t, ok)
	t.Setenv("TRIVET_URL", in.edge)
	t.Setenv("TRIVET_GRPC", address)
	for name, example := range map[string]struct {
		command []string
		wants   []string
	}{
		"go":   {[]string{"go", "run", "./go"}, []string{"tokens, $0.0000", "finished: stop", "stopped: context canceled", "gpt-4o-mini ", "not found: "}},
		"curl": {[]string{"./curl/examples.sh"}, []string{`"costNanoUsd":"`, `"finishReason":"stop"`, "stopped", `"rows":[{"day":"`, `"code":"MODEL_NOT_FOUND"`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TRIVET_TOKEN", in.token("user_"+name, nil))
			out := runNode(t, folder, example.command...)
			for _, want := range example.wants {
				require.Contains(t, out, want)
			}
		})
	}
}
