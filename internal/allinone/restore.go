package allinone

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/platform/datafolder"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/platform/smallfile"
)

// Restore puts the files of a backup in place of those of the data folder, which are kept beside them. Trivet must not run. A restore that
// is interrupted leaves a folder that no process opens, until the same command has finished.
func Restore(ctx context.Context, env settings.Env, folder string, now time.Time, out io.Writer) error {
	return restorer{rename: os.Rename}.restore(ctx, env, folder, now, out)
}

// restorer replaces databases.
type restorer struct {
	// rename is os.Rename; a test makes it fail.
	rename func(from, to string) error
}

func (r restorer) restore(ctx context.Context, env settings.Env, folder string, now time.Time, out io.Writer) (err error) {
	paths, err := storeFiles(env)
	if err != nil {
		return err
	}
	m, err := readManifest(folder)
	if err != nil {
		return err
	}
	if err := verify(ctx, folder, m, out); err != nil {
		return err
	}
	data := filepath.Dir(paths["billing"]) // all of them are in one folder
	release, err := datafolder.AcquireAnyhow(data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	copies := map[string]string{}
	for service, path := range paths {
		if name := service + ".db"; m.Files[name] != "" {
			copies[path] = path + ".restored"
			if err := copyFile(filepath.Join(folder, name), copies[path]); err != nil {
				return err
			}
		}
	}
	kept, err := begin(data, m.Time, now)
	if err != nil {
		return err
	}
	for _, path := range paths { // also those that the backup lacks: they are younger than the restored ones
		if err := r.replace(path, kept, copies[path]); err != nil {
			return err
		}
	}
	if err := errors.Join(syncFolder(data), os.Remove(datafolder.Restoring(data)), syncFolder(data)); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%d databases of %s are restored; the replaced files have .%s in their names\n", len(copies), m.Time.Format(time.RFC3339), kept)
	return err
}

// begin notes that a restore of a backup has begun, and returns what the names of the replaced files get. One that did not finish continues
// with the name that it had: the files that it has replaced are never overwritten. Another backup is refused, because a part of the first
// may be in place. Earlier versions noted the name alone, and then any backup is taken.
func begin(data string, backup, now time.Time) (kept string, err error) {
	path := datafolder.Restoring(data)
	raw, err := smallfile.Read(path, maxManifest)
	if err == nil && len(raw) > 0 {
		kept, of, _ := strings.Cut(string(raw), "\n")
		if of != "" && of != backup.Format(time.RFC3339Nano) {
			return "", fmt.Errorf("%s: the restore of the backup of %s did not finish: run `trivet restore` with that backup again: %w", data, of, datafolder.ErrRestoring)
		}
		return kept, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	kept, err = unused(data, now.UTC().Format("20060102T150405Z"))
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(path+".new", []byte(kept+"\n"+backup.Format(time.RFC3339Nano)), 0o600); err != nil {
		return "", err
	}
	return kept, errors.Join(os.Rename(path+".new", path), syncFolder(data))
}

// unused returns a name that no kept file has.
func unused(data, name string) (string, error) {
	for n, tried := 2, name; ; n++ {
		taken, err := filepath.Glob(filepath.Join(data, "*."+tried+"*"))
		if err != nil || len(taken) == 0 {
			return tried, err
		}
		tried = fmt.Sprintf("%s.%d", name, n)
	}
}

// replace keeps a database with its log, by names that still belong together, and puts the copy in its place; "" for none.
func (r restorer) replace(path, kept, copied string) error {
	for _, suffix := range []string{"-wal", "-shm", ""} {
		to := path + "." + kept + suffix
		if _, err := os.Lstat(to); err == nil {
			continue // the restore that did not finish has kept it
		}
		if err := r.rename(path+suffix, to); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if copied == "" {
		return nil
	}
	return r.rename(copied, path)
}

// syncFolder makes the names in a folder durable.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

func readManifest(folder string) (manifest, error) {
	var m manifest
	raw, err := smallfile.Read(filepath.Join(folder, manifestName), maxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return m, fmt.Errorf("%s is not a complete backup: it has no %s", folder, manifestName)
	}
	if err == nil {
		err = json.Unmarshal(raw, &m)
	}
	if err == nil && len(m.Files) == 0 {
		err = errors.New("it names no files")
	}
	if err != nil {
		return m, fmt.Errorf("%s of %s cannot be read: %w", manifestName, folder, err)
	}
	return m, nil
}
