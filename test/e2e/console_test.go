package e2e

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/skip"
)

// browserFolder is the folder of the browser tests, and the browser that they drive.
func browserFolder(t *testing.T) (folder, chromium string) {
	t.Helper()
	folder = sdkFolder(t)
	chromium, err := exec.LookPath("chromium")
	_, missing := os.Stat(filepath.Join(folder, "node_modules", "axe-core"))
	skip.Unless(t, "the console in Chromium", errors.Join(err, missing), "run `make deps test/sdk/node_modules`")
	return folder, chromium
}

// inBrowser runs a program that drives a browser, which takes minutes on a busy machine.
func inBrowser(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*testTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, "node", args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

// localhost is an address as people open it.
func localhost(url string) string { return strings.Replace(url, "127.0.0.1", "localhost", 1) }

// The console, served by the binary, in Chromium: sign-in, money, keys, events and outages, and whether it is accessible.
func TestConsoleInChromium(t *testing.T) {
	folder, chromium := browserFolder(t)
	in := allInOne(t, "TRIVET_INBOX_MAX_ATTEMPTS=1", "PLANS_FILE="+withSeats(t))
	require.Contains(t, inBrowser(t, filepath.Join(folder, "console.mjs"), localhost(in.edge), in.sandbox, chromium), "31 steps passed")
	require.NotContains(t, in.log.String(), "__clerk_db_jwt", "the log has no browser's token")
}

// withSeats is a file of the default plans and one that is sold by seat.
func withSeats(t *testing.T) string {
	t.Helper()
	plans, err := os.ReadFile(filepath.Join("..", "..", "services", "billing", "internal", "plans", "plans.yaml"))
	require.NoError(t, err)
	studio := "\n  - {id: studio, name: Studio, price: \"10.00\", included_credit: \"12.00\", seats: {min: 2, max: 10}}\n"
	all := strings.Replace(string(plans), "\npacks:", studio+"\npacks:", 1)
	require.Contains(t, all, studio)
	file := filepath.Join(t.TempDir(), "plans.yaml")
	require.NoError(t, os.WriteFile(file, []byte(all), 0o600))
	return file
}

// The console's own functions: amounts, reports, CSV, snippets, and what a model may not do by what it writes.
func TestConsoleFunctions(t *testing.T) {
	folder, err := filepath.Abs(filepath.Join("..", "..", "web", "console"))
	require.NoError(t, err)
	_, err = os.Stat(filepath.Join(folder, "node_modules", "vitest"))
	skip.Unless(t, "the console's functions", err, "run `make web/console/node_modules` (needs Node.js)")
	require.Regexp(t, `Tests .*[1-9]\d* passed`, runNode(t, folder, "npm", "test", "--silent", "--", "--no-color"))
}
