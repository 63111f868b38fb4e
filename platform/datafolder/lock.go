// Package datafolder keeps a second process out of a folder of data, such as the one that TRIVET_DATA_DIR names: on SQLite one
// process owns its files.
package datafolder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// lockName is the file in the folder that the owner holds a lock on. It stays when the owner ends; the lock does not.
const lockName = "trivet.lock"

// restoringName is the file that a restore leaves in the folder until all databases are in place.
const restoringName = "restore.unfinished"

// ErrRestoring says that a restore of the folder did not finish, so that some of its databases are missing or older than the others.
var ErrRestoring = errors.New("a restore of this data folder did not finish: run `trivet restore` with the same backup again")

// Restoring is the path of the file that says that a restore of the folder has begun and has not finished.
func Restoring(folder string) string { return filepath.Join(folder, restoringName) }

// Setting says in errors which settings name the folder.
const Setting = "set TRIVET_DATA_DIR, or the path in DATABASE_URL, to a folder that this process may write"

// OwnedError says that another process owns the folder.
type OwnedError struct {
	// Folder is the folder.
	Folder string
	// PID is the owner's process id; 0 when it is not known.
	PID int
}

// Error names the folder, the owner and what to do.
func (e *OwnedError) Error() string {
	owner := "another process"
	if e.PID != 0 {
		owner = "the process " + strconv.Itoa(e.PID)
	}
	return fmt.Sprintf("the data folder %s is in use by %s: stop it, or set TRIVET_DATA_DIR (or the path in DATABASE_URL) to another folder", e.Folder, owner)
}

// held are the folders that this process owns, by path. The parts of one process share a lock, because all of them open files
// in the folder.
var held = struct { //nolint:gochecknoglobals // a lock of the process
	sync.Mutex
	locks map[string]*lock
}{locks: map[string]*lock{}}

type lock struct {
	file  *os.File
	users int
}

// Acquire makes this process the owner of the folder, which is created if needed, until release is called as often as Acquire
// was. The error is an *OwnedError when another process owns the folder, and ErrRestoring when a restore of it did not finish.
func Acquire(folder string) (release func() error, err error) {
	release, err = AcquireAnyhow(folder)
	if err != nil {
		return nil, err
	}
	if err := Whole(folder); err != nil {
		return nil, errors.Join(err, release())
	}
	return release, nil
}

// Whole returns ErrRestoring when a restore of the folder did not finish.
func Whole(folder string) error {
	if _, err := os.Stat(Restoring(folder)); err == nil {
		return fmt.Errorf("%s: %w", folder, ErrRestoring)
	}
	return nil
}

// AcquireAnyhow is Acquire for a restore: it also accepts a folder whose last restore did not finish.
func AcquireAnyhow(folder string) (release func() error, err error) {
	path, err := create(folder)
	if err != nil {
		return nil, err
	}
	held.Lock()
	defer held.Unlock()
	l := held.locks[path]
	if l == nil {
		file, err := lockFile(path)
		if err != nil {
			return nil, err
		}
		l = &lock{file: file}
		held.locks[path] = l
	}
	l.users++
	var once sync.Once
	return func() (err error) {
		once.Do(func() { err = letGo(path) })
		return err
	}, nil
}

// create makes the folder and returns its one true path, so that two names of it are the same lock.
func create(folder string) (string, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", fmt.Errorf("the data folder cannot be created: %w; %s", err, Setting)
	}
	path, err := filepath.EvalSymlinks(folder)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return "", fmt.Errorf("the data folder cannot be found: %w; %s", err, Setting)
	}
	return path, nil
}

func lockFile(folder string) (*os.File, error) {
	path := filepath.Join(folder, lockName)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the data folder cannot be written: %w; %s", err, Setting)
	}
	if err := tryLock(file); err != nil {
		pid := owner(path)
		_ = file.Close()
		if errors.Is(err, errHeld) {
			return nil, &OwnedError{Folder: folder, PID: pid}
		}
		return nil, fmt.Errorf("the data folder cannot be locked: %w; %s", &fs.PathError{Op: "lock", Path: path, Err: err}, Setting)
	}
	// A full disk must not keep the process from starting: then the owner is not named.
	if err := file.Truncate(0); err == nil {
		_, _ = file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return file, nil
}

// owner reads the process id that the owner has written; 0 if none exists.
func owner(path string) int {
	raw, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil || pid < 0 {
		return 0
	}
	return pid
}

func letGo(path string) error {
	held.Lock()
	defer held.Unlock()
	l := held.locks[path]
	if l.users--; l.users > 0 {
		return nil
	}
	delete(held.locks, path)
	return l.file.Close()
}
