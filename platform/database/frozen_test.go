package database_test

import (
	"bufio"
	"context"
	"fmt"
	neturl "net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/settings"
)

// frozenURL is the variable that makes the test binary the process that is frozen.
const frozenURL = "DATABASE_TEST_FROZEN"

// lockBoth takes what a write of a service may hold: a row, and a lock that has a number.
func lockBoth(ctx context.Context, tx database.Tx, amount int) error {
	if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock(7)"); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "UPDATE wallet SET balance = balance + $1 WHERE id = 'locked'", amount)
	return err
}

// holdLocks says when it holds both locks, and completes its transaction when it gets a line.
func holdLocks(url string) int {
	ctx := context.Background()
	db, err := database.Open(ctx, database.Config{URL: settings.NewSecret(url), Schema: "wallet"})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	attempts := 0
	err = db.Write(ctx, "", func(ctx context.Context, tx database.Tx) error {
		if attempts++; attempts > 1 {
			return fmt.Errorf("attempt %d", attempts)
		}
		if err := lockBoth(ctx, tx, 1000); err != nil {
			return err
		}
		_, _ = fmt.Fprintln(os.Stdout, "locked")
		if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
			return err
		}
		return lockBoth(ctx, tx, 1000)
	})
	_, _ = fmt.Fprintln(os.Stdout, "ended:", err)
	return 0
}

// TestAFrozenProcessHoldsNoLock freezes a process in the middle of a transaction. PostgreSQL ends its session when the session has said nothing for
// idle_in_transaction_session_timeout, which TestPostgresSession compares with 3 s; then others get both locks, and what the process had done is undone,
// also after it continues.
func TestAFrozenProcessHoldsNoLock(t *testing.T) {
	url := databasetest.PostgresURL(t)
	db := databasetest.Open(t, database.Config{URL: settings.NewSecret(url), Schema: "wallet"}, wallet)
	require.NoError(t, db.Write(t.Context(), "", func(ctx context.Context, tx database.Tx) error { return put(ctx, tx, "locked", 5) }))
	process := exec.CommandContext(t.Context(), os.Args[0])
	// The session may be silent for longer than the 3 s, so that a slow test still finds the locks held.
	at, err := neturl.Parse(url)
	require.NoError(t, err)
	query := at.Query()
	query.Set("idle_in_transaction_session_timeout", "10000")
	at.RawQuery = query.Encode()
	process.Env = append(os.Environ(), frozenURL+"="+at.String())
	process.Stderr = t.Output()
	in, err := process.StdinPipe()
	require.NoError(t, err)
	out, err := process.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, process.Start())
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan())
	require.Equal(t, "locked", lines.Text())
	require.NoError(t, process.Process.Signal(syscall.SIGSTOP))

	take := func() error {
		return db.Write(t.Context(), "", func(ctx context.Context, tx database.Tx) error { return lockBoth(ctx, tx, 1) })
	}
	require.Error(t, take(), "the frozen process holds the locks for longer than a write waits for them")
	require.Eventually(t, func() bool { return take() == nil }, time.Minute, time.Millisecond)

	require.NoError(t, process.Process.Signal(syscall.SIGCONT))
	_, err = fmt.Fprintln(in)
	require.NoError(t, err)
	require.True(t, lines.Scan())
	require.True(t, strings.HasPrefix(lines.Text(), "ended:") && lines.Text() != "ended: <nil>", lines.Text())
	require.NoError(t, process.Wait())
	var balance int
	require.NoError(t, db.Read().QueryRowContext(t.Context(), "SELECT balance FROM wallet WHERE id = 'locked'").Scan(&balance))
	require.Equal(t, 6, balance)
}
