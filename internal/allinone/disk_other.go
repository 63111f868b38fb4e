//go:build !unix

package allinone

import "errors"

func freeBytes(string) (uint64, error) { return 0, errors.ErrUnsupported }
