//go:build unix

package allinone

import (
	"os"
	"syscall"
)

func freeBytes(folder string) (uint64, error) {
	var at syscall.Statfs_t
	if err := syscall.Statfs(folder, &at); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: folder, Err: err}
	}
	return at.Bavail * uint64(at.Bsize), nil //nolint:unconvert // the type depends on the system
}
