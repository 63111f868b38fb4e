package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/skip"
)

// web/example under its own development server, beside the product: sign-in, chat, checkout, and what it shows in an outage.
func TestExampleInChromium(t *testing.T) {
	folder, chromium := browserFolder(t)
	example, err := filepath.Abs(filepath.Join("..", "..", "web", "example"))
	require.NoError(t, err)
	vite := filepath.Join(example, "node_modules", "vite", "bin", "vite.js")
	_, err = os.Stat(vite)
	skip.Unless(t, "the example in Chromium", err, "run `make web/example/node_modules` (needs Node.js)")
	runNode(t, example, "node", filepath.Join(example, "node_modules", "typescript", "bin", "tsc"), "--noEmit")

	in := allInOne(t, "STRIPE_PROBE_INTERVAL=1s")
	address := ports(t, 1)[0]
	host, port, _ := strings.Cut(address, ":")
	server := exec.Command("node", vite, "--host", host, "--port", port, "--strictPort")
	server.Dir, server.Env = example, append(os.Environ(), "TRIVET_URL="+in.edge)
	var log bytes.Buffer
	server.Stdout, server.Stderr = &log, &log
	require.NoError(t, server.Start())
	defer func() {
		_ = server.Process.Signal(syscall.SIGTERM)
		_ = server.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	}()
	in.await("http://" + address)
	require.Contains(t, inBrowser(t, filepath.Join(folder, "example.mjs"), "http://"+address, in.sandbox, chromium), "8 steps passed")
}
