//go:build unix

package datafolder

import (
	"errors"
	"os"
	"syscall"
)

// errHeld says that another process holds the lock.
var errHeld = syscall.EWOULDBLOCK

// tryLock locks the file until it is closed, also when the process is killed.
func tryLock(file *os.File) error {
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
