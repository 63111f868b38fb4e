package allinone

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/datafolder"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/billing"
)

// mark writes a row into auth's database of a folder and leaves it in the log, as a process does that dies.
func mark(t *testing.T, dir, value string) {
	t.Helper()
	path := filepath.Join(dir, "auth.db")
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	db.SetMaxOpenConns(1)
	_, err = db.ExecContext(t.Context(), "PRAGMA journal_mode=WAL") // a restored file has no log yet
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), "CREATE TABLE IF NOT EXISTS mark (value TEXT)")
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), "PRAGMA wal_checkpoint(TRUNCATE)")
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), "INSERT INTO mark VALUES (?)", value)
	require.NoError(t, err)
	main, err := os.ReadFile(path)
	require.NoError(t, err)
	log, err := os.ReadFile(path + "-wal")
	require.NoError(t, err)
	require.NotEmpty(t, log)
	require.NoError(t, db.Close()) // which empties the log
	require.NoError(t, os.WriteFile(path, main, 0o600))
	require.NoError(t, os.WriteFile(path+"-wal", log, 0o600))
}

// marks reads the rows of mark.
func marks(t *testing.T, path string) []string {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	rows, err := db.QueryContext(t.Context(), "SELECT value FROM mark ORDER BY rowid")
	require.NoError(t, err)
	defer rows.Close()
	var found []string
	for rows.Next() {
		var value string
		require.NoError(t, rows.Scan(&value))
		found = append(found, value)
	}
	require.NoError(t, rows.Err())
	return found
}

// A restore that dies at any of its renames leaves a folder that nothing opens, and the same command completes it. Whatever was replaced
// is kept with its log.
func TestInterruptedRestore(t *testing.T) {
	source, folder := t.TempDir(), filepath.Join(t.TempDir(), "backup")
	migrated(t, source)
	mark(t, source, "old")
	require.NoError(t, Backup(t.Context(), folderOf(source), folder, backupTime, io.Discard))
	mark(t, source, "new")
	later := backupTime.AddDate(0, 0, 1)
	other := filepath.Join(t.TempDir(), "other")
	require.NoError(t, Backup(t.Context(), folderOf(source), other, later, io.Discard))
	for fails := 0; ; fails++ {
		dir := filepath.Join(t.TempDir(), fmt.Sprint(fails))
		require.NoError(t, os.CopyFS(dir, os.DirFS(source)))
		power, done := errors.New("the power fails"), 0
		err := restorer{rename: func(from, to string) error {
			if done++; done > fails {
				return power
			}
			return os.Rename(from, to)
		}}.restore(t.Context(), folderOf(dir), folder, backupTime, io.Discard)
		if err == nil {
			require.Greater(t, fails, 6)
			break
		}
		require.ErrorIs(t, err, power)
		require.ErrorIs(t, Migrate(t.Context(), folderOf(dir), io.Discard), datafolder.ErrRestoring)
		require.ErrorIs(t, Backup(t.Context(), folderOf(dir), filepath.Join(t.TempDir(), "mixed"), later, io.Discard), datafolder.ErrRestoring)
		require.ErrorIs(t, Restore(t.Context(), folderOf(dir), other, later, io.Discard), datafolder.ErrRestoring, "parts of the first may be in place")
		require.NoError(t, Restore(t.Context(), folderOf(dir), folder, later, io.Discard))
		migrated(t, dir)
		require.Equal(t, []string{"old"}, marks(t, filepath.Join(dir, "auth.db")))
		require.Equal(t, []string{"old", "new"}, marks(t, filepath.Join(dir, "auth.db.20261129T100000Z")))
	}
}

// Earlier versions noted only the name that the replaced files get, and not the backup.
func TestRestoreInterruptedByAnEarlierVersion(t *testing.T) {
	dir, folder := t.TempDir(), filepath.Join(t.TempDir(), "backup")
	migrated(t, dir)
	mark(t, dir, "1")
	require.NoError(t, Backup(t.Context(), folderOf(dir), folder, backupTime, io.Discard))
	mark(t, dir, "2")
	require.NoError(t, os.WriteFile(datafolder.Restoring(dir), []byte("20260101T000000Z"), 0o600))
	require.NoError(t, Restore(t.Context(), folderOf(dir), folder, backupTime, io.Discard))
	require.NoFileExists(t, datafolder.Restoring(dir))
	require.Equal(t, []string{"1"}, marks(t, filepath.Join(dir, "auth.db")))
	require.Equal(t, []string{"1", "2"}, marks(t, filepath.Join(dir, "auth.db.20260101T000000Z")))
	migrated(t, dir)
}

func TestRestoreKeepsWhatItReplaces(t *testing.T) {
	dir, folder := t.TempDir(), filepath.Join(t.TempDir(), "backup")
	migrated(t, dir)
	mark(t, dir, "1")
	require.NoError(t, Backup(t.Context(), folderOf(dir), folder, backupTime, io.Discard))
	mark(t, dir, "2")
	require.NoError(t, Restore(t.Context(), folderOf(dir), folder, backupTime, io.Discard))
	mark(t, dir, "3")
	require.NoError(t, Restore(t.Context(), folderOf(dir), folder, backupTime, io.Discard))
	for name, want := range map[string][]string{
		"auth.db": {"1"}, "auth.db.20261129T100000Z": {"1", "2"}, "auth.db.20261129T100000Z.2": {"1", "3"},
	} {
		require.Equal(t, want, marks(t, filepath.Join(dir, name)), name)
	}
	migrated(t, dir) // the restored files are whole
}

// A database that the backup lacks is younger than the others, and does not stay among them.
func TestRestoreSetsAsideWhatTheBackupLacks(t *testing.T) {
	dir, folder := t.TempDir(), filepath.Join(t.TempDir(), "backup")
	migrated(t, dir)
	ai, err := os.ReadFile(filepath.Join(dir, "ai.db"))
	require.NoError(t, err)
	require.NoError(t, os.Remove(filepath.Join(dir, "ai.db")))
	require.NoError(t, Backup(t.Context(), folderOf(dir), folder, backupTime, io.Discard))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ai.db"), ai, 0o600))
	var out bytes.Buffer
	require.NoError(t, Restore(t.Context(), folderOf(dir), folder, backupTime, &out))
	require.Contains(t, out.String(), "2 databases of 2026-11-29T10:00:00Z are restored")
	require.NoFileExists(t, filepath.Join(dir, "ai.db"))
	require.FileExists(t, filepath.Join(dir, "ai.db.20261129T100000Z"))
}

// withoutLast are billing's migrations of the version before.
func withoutLast(t *testing.T) (before []database.Migrations) {
	t.Helper()
	for _, m := range billing.Migrations() {
		files, last := fstest.MapFS{}, ""
		require.NoError(t, fs.WalkDir(m.FS, ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			raw, err := fs.ReadFile(m.FS, path)
			files[path], last = &fstest.MapFile{Data: raw}, max(last, filepath.Base(path))
			return err
		}))
		if m.Service == "billing" {
			maps.DeleteFunc(files, func(path string, _ *fstest.MapFile) bool { return filepath.Base(path) == last })
		}
		before = append(before, database.Migrations{Service: m.Service, FS: files})
	}
	return before
}

// A backup of an earlier version is verified and restored by this one, which migrates it at its next start.
func TestBackupOfAnEarlierVersion(t *testing.T) {
	dir, folder := t.TempDir(), filepath.Join(t.TempDir(), "backup")
	config := database.For("billing", settings.NewSecret("sqlite://"+dir))
	db, err := database.Open(t.Context(), config)
	require.NoError(t, err)
	require.NoError(t, database.MigrateAll(t.Context(), db, withoutLast(t)...))
	require.NoError(t, db.Close(t.Context()))
	require.NoError(t, Backup(t.Context(), folderOf(dir), folder, backupTime, io.Discard))
	require.NoError(t, Restore(t.Context(), folderOf(dir), folder, backupTime, io.Discard))
	db, err = database.Open(t.Context(), config)
	require.NoError(t, err)
	var missing int
	for _, m := range billing.Migrations() {
		pending, err := database.Pending(t.Context(), db, m)
		require.NoError(t, err)
		missing += len(pending)
	}
	require.Equal(t, 1, missing, "verification migrates only its own copy")
	require.NoError(t, db.Close(t.Context()))
	migrated(t, dir)
}
