package database_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/settings"
)

// outsiderPath makes the test's program one that asks whether anybody has that SQLite file open: only another process can.
const outsiderPath = "DATABASE_TEST_OUTSIDER"

// The bytes on which whoever has the database open holds a shared lock.
const (
	sharedFirst = 0x40000002
	sharedSize  = 510
)

func outsider(path string) int {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	lock := syscall.Flock_t{Type: syscall.F_WRLCK, Start: sharedFirst, Len: sharedSize}
	if err := syscall.FcntlFlock(file.Fd(), syscall.F_GETLK, &lock); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if lock.Type == syscall.F_UNLCK {
		_, _ = fmt.Fprintln(os.Stdout, "nobody")
	} else {
		_, _ = fmt.Fprintln(os.Stdout, lock.Pid)
	}
	return 0
}

// TestWeKeepOurLocks: whatever is opened and closed beside, the process stays known as one that has the database open.
// Otherwise an operator's sqlite3 that opens and closes it takes itself for the last one, and deletes the log that this
// process keeps writing to: what is committed from then on would be lost.
func TestWeKeepOurLocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	db := databasetest.Open(t, database.Config{URL: settings.NewSecret("sqlite://" + path)}, wallet)
	require.NoError(t, db.Write(t.Context(), "", func(ctx context.Context, tx database.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO wallet (id, balance) VALUES ('a', 1)")
		return err
	}))
	require.NoError(t, database.Migrate(t.Context(), db, wallet), "opens and closes connections of its own")
	other, err := database.Open(t.Context(), database.Config{URL: settings.NewSecret("sqlite://" + path)})
	require.NoError(t, err)
	require.NoError(t, other.Close(t.Context()))

	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), outsiderPath+"="+path)
	out, err := cmd.Output()
	require.NoError(t, err)
	require.Equal(t, fmt.Sprint(os.Getpid()), strings.TrimSpace(string(out)), "who has the database open")
}
