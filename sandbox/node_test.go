package sandbox_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/skip"
	"github.com/trivet-dev/trivet/sandbox"
)

// TestNodeSDKs runs the providers' own packages for Node.js, unmodified and with their default API versions.
func TestNodeSDKs(t *testing.T) {
	folder := filepath.Join("..", "test", "sdk")
	for name, test := range map[string]struct{ packages, passed string }{
		"stripe.mjs": {"stripe", "11 steps passed"},
		"clerk.mjs":  {filepath.Join("@clerk", "backend"), "6 steps passed"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := os.Stat(filepath.Join(folder, "node_modules", test.packages))
			skip.Unless(t, "packages for Node.js", err, "run `make test/sdk/node_modules` (needs Node.js)")
			_, base := serve(t, sandbox.Config{})
			cmd := exec.CommandContext(t.Context(), "node", filepath.Join(folder, name), base)
			cmd.Env = append(os.Environ(), "CLERK_TELEMETRY_DISABLED=1")
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			require.Contains(t, string(out), test.passed)
		})
	}
}
