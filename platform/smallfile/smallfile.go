// Package smallfile reads files whose size is bounded, such as lists that people write. A wrong path, such as one of a device or of a
// database, then gives an error and does not fill the memory.
package smallfile

import (
	"fmt"
	"io"
	"os"
)

// Read returns the content of a file of at most limit bytes. The error is the one of os, or names the path and the limit.
func Read(path string, limit int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	switch {
	case err != nil:
		return nil, err
	case int64(len(data)) > limit:
		return nil, fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	return data, nil
}
