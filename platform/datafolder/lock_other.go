//go:build !unix

package datafolder

import (
	"errors"
	"os"
)

var errHeld = errors.New("held by another process")

// tryLock does nothing: Trivet's data folder is locked on Unix only.
func tryLock(*os.File) error { return nil }
