package allinone

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/datafolder"
	"github.com/trivet-dev/trivet/platform/serve"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/billing"
)

// manifestName is the file that makes a folder a complete backup.
const manifestName = "backup.json"

// maxManifest bounds the manifest and the note of a restore, in bytes.
const maxManifest = 1 << 20

// manifest describes a backup.
type manifest struct {
	Version string    `json:"version"`
	Time    time.Time `json:"time"`
	// Files are the SHA-256 sums of the files, by name.
	Files map[string]string `json:"files"`
}

// errPostgres says how to back up what is not a file.
var errPostgres = settings.Invalid("DATABASE_URL", "is PostgreSQL, which its own tools back up", "use pg_dump and pg_restore, as docs/operations.md shows")

// storing are the services that may have a store.
var storing = []string{"auth", "ai", "billing"}

// storeFiles returns the path of each service's SQLite file, which may not exist.
func storeFiles(env settings.Env) (map[string]string, error) {
	var c struct{ Store serve.Store }
	if err := settings.Load(withDatabase(env.Get), &c); err != nil {
		return nil, err
	}
	paths := map[string]string{}
	for _, service := range storing {
		path, err := database.File(database.For(service, c.Store.DatabaseURL).URL)
		if err != nil {
			return nil, errPostgres
		}
		paths[service] = path
	}
	return paths, nil
}

// Backup copies the SQLite files into a new folder while Trivet may run, and verifies the copies.
func Backup(ctx context.Context, env settings.Env, folder string, now time.Time, out io.Writer) (err error) {
	paths, err := storeFiles(env)
	if err != nil {
		return err
	}
	if err := whole(paths); err != nil {
		return err
	}
	if err := os.Mkdir(folder, 0o700); errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s already exists: name a folder that does not exist", folder)
	} else if err != nil {
		return fmt.Errorf("make the folder of the backup: %w", err)
	}
	done := manifest{Version: serve.Version(), Time: now.UTC(), Files: map[string]string{}}
	for _, service := range storing { // auth first: an erasure that ends meanwhile is still asked for in its copy
		path, has := paths[service]
		if !has {
			continue
		}
		name := service + ".db"
		err := database.Copy(ctx, path, filepath.Join(folder, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // the service has no store, or has never run
		}
		if err != nil {
			return err
		}
		if done.Files[name], err = sum(filepath.Join(folder, name)); err != nil {
			return err
		}
	}
	if len(done.Files) == 0 {
		return errors.Join(settings.Invalid("TRIVET_DATA_DIR", "holds no database", "name the folder that Trivet uses"), os.Remove(folder))
	}
	if err := errors.Join(whole(paths), verify(ctx, folder, done, out)); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(done, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, manifestName), append(raw, '\n'), 0o600); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%d databases are backed up in %s\n", len(done.Files), folder)
	return err
}

// whole refuses folders in which a restore has begun and has not finished: their databases are of different times.
func whole(paths map[string]string) error {
	for _, path := range paths {
		if err := datafolder.Whole(filepath.Dir(path)); err != nil {
			return err
		}
	}
	return nil
}

// verify reads the files of a backup: each is whole, has the sum of the manifest, and the ledger in it is sound.
func verify(ctx context.Context, folder string, m manifest, out io.Writer) error {
	for name, want := range m.Files {
		if !filepath.IsLocal(name) || filepath.Dir(name) != "." {
			return fmt.Errorf("%s names the file %q, which is not in the folder", manifestName, name)
		}
		path := filepath.Join(folder, name)
		got, err := sum(path)
		if err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("%s has changed since the backup was made: its SHA-256 is %s, and should be %s", path, got, want)
		}
		if err := database.Inspect(ctx, path); err != nil {
			return err
		}
	}
	if _, ok := m.Files["billing.db"]; !ok {
		return nil
	}
	return verifyCopy(ctx, filepath.Join(folder, "billing.db"), out)
}

// verifyCopy checks the ledger of a copy of a copy, because opening a database leaves files beside it. A backup of an earlier version
// is migrated there first: the rules of the ledger are those of this version.
func verifyCopy(ctx context.Context, path string, out io.Writer) (err error) {
	scratch, err := os.MkdirTemp("", "trivet-verify-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	if err := copyFile(path, filepath.Join(scratch, "billing.db")); err != nil {
		return err
	}
	config := database.For("billing", settings.NewSecret("sqlite://"+scratch))
	if err := migrateCopy(ctx, config); err != nil {
		return fmt.Errorf("migrate a copy of %s in order to verify it: %w", path, err)
	}
	return billing.VerifyLedger(ctx, config, out)
}

func migrateCopy(ctx context.Context, config database.Config) (err error) {
	db, err := database.Open(ctx, config)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
		defer cancel()
		err = errors.Join(err, db.Close(closing))
	}()
	return database.MigrateAll(ctx, db, billing.Migrations()...)
}

func sum(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	_, err = io.Copy(hash, file)
	return hex.EncodeToString(hash.Sum(nil)), errors.Join(err, file.Close())
}

// copyFile makes a durable copy that only this user may read.
func copyFile(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	target, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return errors.Join(err, source.Close())
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Sync(), target.Close(), source.Close())
}
