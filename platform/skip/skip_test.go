package skip_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/skip"
)

// recorder is a test that notes how it ends.
type recorder struct {
	testing.TB
	failed, skipped bool
}

func (r *recorder) Name() string          { return "TestX" }
func (r *recorder) Helper()               {}
func (r *recorder) Fatalf(string, ...any) { r.failed = true }
func (r *recorder) Skipf(string, ...any)  { r.skipped = true }

func TestUnless(t *testing.T) {
	list := filepath.Join(t.TempDir(), "list")
	t.Setenv("TRIVET_TEST_SKIPPED", list)
	t.Setenv("CI", "")
	t.Setenv("TRIVET_TEST_REQUIRE", "")
	r := &recorder{}
	skip.Unless(r, "PostgreSQL", nil, "install it")
	require.False(t, r.failed || r.skipped)
	require.NoFileExists(t, list)
	for range 2 {
		skip.Unless(r, "PostgreSQL", errors.New("no initdb"), "install it")
	}
	require.True(t, r.skipped)
	require.False(t, r.failed)
	raw, err := os.ReadFile(list)
	require.NoError(t, err)
	require.Equal(t, "PostgreSQL\tTestX\tno initdb; install it\nPostgreSQL\tTestX\tno initdb; install it\n", string(raw))

	// The report is one line that names each suite once, with how many tests did not run and why; CI fails on it.
	script := filepath.Join("..", "..", "scripts", "skipped")
	out, err := exec.Command(script, list).CombinedOutput()
	require.NoError(t, err)
	require.Equal(t, "NOT TESTED: PostgreSQL (2 tests): no initdb; install it\n", string(out))
	ci := exec.Command(script, list)
	ci.Env = append(os.Environ(), "CI=true")
	require.Error(t, ci.Run())
	out, err = exec.Command(script, filepath.Join(t.TempDir(), "none")).CombinedOutput()
	require.NoError(t, err)
	require.Equal(t, "Every suite ran.\n", string(out))

	t.Setenv("CI", "true")
	r = &recorder{}
	skip.Unless(r, "PostgreSQL", errors.New("no initdb"), "install it")
	require.True(t, r.failed)
}

// A test that skips by itself would look as if it had passed.
func TestEverySkipIsListed(t *testing.T) {
	bare := regexp.MustCompile(`\b[t]\.Skip(f|Now)?\(`)
	const properties = "services/billing/internal/ledger/property_" // rapid's t: it drops a drawn action, not a test
	root := filepath.Join("..", "..")
	require.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == "node_modules" || entry.Name() == ".git" || entry.Name() == "gen") {
			return filepath.SkipDir
		}
		name, _ := filepath.Rel(root, path)
		if !strings.HasSuffix(path, "_test.go") || strings.HasPrefix(filepath.ToSlash(name), properties) {
			return nil
		}
		raw, err := os.ReadFile(path)
		if bare.Match(raw) {
			t.Errorf("%s: use platform/skip, so that make test names what did not run", name)
		}
		return err
	}))
}
