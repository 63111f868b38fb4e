package allinone

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/settings"
)

func folderOf(dir string) settings.Env {
	return settings.Env{Get: func(name string) string { return map[string]string{"TRIVET_DATA_DIR": dir}[name] }}
}

var backupTime = time.Date(2026, 11, 29, 10, 0, 0, 0, time.UTC)

// A backup that is made while calls are billed has a sound ledger, and a Trivet that starts on it serves the same users.
func TestBackupUnderTrafficIsRestored(t *testing.T) {
	dir, folder := t.TempDir(), filepath.Join(t.TempDir(), "backup")
	t.Run("running", func(t *testing.T) {
		in := startDev(t, map[string]string{"TRIVET_DATA_DIR": dir})
		in.traffic(t)
		ctx, stop := context.WithCancel(t.Context())
		var calls sync.WaitGroup
		for range 3 {
			calls.Go(func() {
				for ctx.Err() == nil {
					in.call(t, http.MethodPost, in.edge+"/v1/chat/completions", in.token, `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}`)
				}
			})
		}
		var out bytes.Buffer
		err := Backup(t.Context(), folderOf(dir), folder, backupTime, &out)
		stop()
		calls.Wait()
		require.NoError(t, err)
		require.Contains(t, out.String(), "the ledger is sound\n")
		require.Contains(t, out.String(), "are backed up in "+folder)
	})
	elsewhere := t.TempDir()
	var out bytes.Buffer
	require.NoError(t, Restore(t.Context(), folderOf(elsewhere), folder, backupTime, &out))
	require.Contains(t, out.String(), "are restored")
	in := startDev(t, map[string]string{"TRIVET_DATA_DIR": elsewhere})
	status, body := in.call(t, http.MethodGet, in.edge+"/api/v1/billing/usage", in.token, "")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, "gpt-4o-mini", "what was billed before the backup is there")
}

// migrated makes the databases of a data folder.
func migrated(t *testing.T, dir string) {
	t.Helper()
	require.NoError(t, Migrate(t.Context(), folderOf(dir), io.Discard))
}

func TestRestoreRefusesWhatIsNotAWholeBackup(t *testing.T) {
	dir, folder := t.TempDir(), filepath.Join(t.TempDir(), "backup")
	migrated(t, dir)
	require.NoError(t, Backup(t.Context(), folderOf(dir), folder, backupTime, io.Discard))
	files, err := filepath.Glob(filepath.Join(folder, "*"))
	require.NoError(t, err)
	for _, file := range files {
		at, err := os.Stat(file)
		require.NoError(t, err)
		require.Zero(t, at.Mode().Perm()&0o077, "only the owner may read %s", file)
	}
	before, err := os.ReadFile(filepath.Join(dir, "billing.db"))
	require.NoError(t, err)
	for name, change := range map[string]func(t *testing.T, copied string){
		"is not a complete backup": func(t *testing.T, copied string) {
			require.NoError(t, os.Remove(filepath.Join(copied, manifestName)))
		},
		"cannot be read": func(t *testing.T, copied string) {
			require.NoError(t, os.WriteFile(filepath.Join(copied, manifestName), []byte("{"), 0o600))
		},
		"names no files": func(t *testing.T, copied string) {
			require.NoError(t, os.WriteFile(filepath.Join(copied, manifestName), []byte("{}"), 0o600))
		},
		"is not in the folder": func(t *testing.T, copied string) {
			require.NoError(t, os.WriteFile(filepath.Join(copied, manifestName), []byte(`{"files":{"../auth.db":"x"}}`), 0o600))
		},
		"has changed": func(t *testing.T, copied string) {
			file, err := os.OpenFile(filepath.Join(copied, "billing.db"), os.O_APPEND|os.O_WRONLY, 0)
			require.NoError(t, err)
			_, err = file.WriteString("x")
			require.NoError(t, err)
			require.NoError(t, file.Close())
		},
		"no such file": func(t *testing.T, copied string) { require.NoError(t, os.Remove(filepath.Join(copied, "auth.db"))) },
	} {
		t.Run(name, func(t *testing.T) {
			copied := filepath.Join(t.TempDir(), "copied")
			require.NoError(t, os.CopyFS(copied, os.DirFS(folder)))
			change(t, copied)
			require.ErrorContains(t, Restore(t.Context(), folderOf(dir), copied, backupTime, io.Discard), name)
			after, err := os.ReadFile(filepath.Join(dir, "billing.db"))
			require.NoError(t, err)
			require.Equal(t, before, after, "a refused restore changes nothing")
		})
	}
}

func TestBackupRefuses(t *testing.T) {
	dir := t.TempDir()
	migrated(t, dir)
	for _, c := range []struct{ name, dir, folder, says string }{
		{"an existing folder", dir, t.TempDir(), "already exists: name a folder that does not exist"},
		{"a folder without databases", t.TempDir(), filepath.Join(t.TempDir(), "b"), "holds no database"},
	} {
		require.ErrorContains(t, Backup(t.Context(), folderOf(c.dir), c.folder, backupTime, io.Discard), c.says, c.name)
	}
	postgres := settings.Env{Get: func(name string) string {
		return map[string]string{"DATABASE_URL": "postgres://trivet:hunter2@db.internal/trivet"}[name]
	}}
	folder := filepath.Join(t.TempDir(), "b")
	for _, err := range []error{
		Backup(t.Context(), postgres, folder, backupTime, io.Discard), Restore(t.Context(), postgres, folder, backupTime, io.Discard),
	} {
		require.ErrorContains(t, err, "pg_dump")
		require.NotContains(t, err.Error(), "hunter2")
	}
	require.NoDirExists(t, folder)
}

func TestBackupFindsADamagedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	require.NoError(t, os.WriteFile(path, []byte(strings.Repeat("not a database ", 100)), 0o600))
	require.Error(t, database.Inspect(t.Context(), path))
	require.Error(t, database.Copy(t.Context(), path, path+".copy"))
}
