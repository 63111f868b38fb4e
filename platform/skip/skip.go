// Package skip ends tests that cannot run on this machine, so that nobody takes them for tests that passed: `make test` ends
// with a line that names them, and CI fails.
package skip

import (
	"fmt"
	"os"
	"testing"
)

// listVariable names the file that gathers what did not run. `make test` sets it.
const listVariable = "TRIVET_TEST_SKIPPED"

// runVariable differs in each run of `make test`. Reading it keeps Go from answering for a skipped test out of its cache, which
// would leave the list empty.
const runVariable = "TRIVET_TEST_RUN"

// Unless lets a test continue when err is nil. Otherwise the test needs something that this machine lacks: it fails where
// everything must run (CI=true or TRIVET_TEST_REQUIRE=1), and is skipped and listed elsewhere. suite names what is not tested,
// such as "PostgreSQL"; fix says how to make it run.
func Unless(t testing.TB, suite string, err error, fix string) {
	t.Helper()
	if err == nil {
		return
	}
	if os.Getenv("CI") == "true" || os.Getenv("TRIVET_TEST_REQUIRE") == "1" {
		t.Fatalf("%s is required here: %v; %s", suite, err, fix)
	}
	_ = os.Getenv(runVariable)
	if path := os.Getenv(listVariable); path != "" {
		if err := note(path, fmt.Sprintf("%s\t%s\t%v; %s\n", suite, t.Name(), err, fix)); err != nil {
			t.Fatalf("%s: %v", listVariable, err)
		}
	}
	t.Skipf("NOT TESTED: %s: %v; %s", suite, err, fix)
}

// note appends a line. Test programs run at once: the system writes a short line in one piece.
func note(path, line string) error {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600) //nolint:gosec // whoever runs the tests names the file
	if err != nil {
		return err
	}
	_, err = file.WriteString(line)
	if closed := file.Close(); err == nil {
		err = closed
	}
	return err
}
