package smallfile_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/smallfile"
)

func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	require.NoError(t, os.WriteFile(path, []byte("12345"), 0o600))

	data, err := smallfile.Read(path, 5)
	require.NoError(t, err)
	require.Equal(t, "12345", string(data))

	_, err = smallfile.Read(path, 4)
	require.EqualError(t, err, path+" is larger than 4 bytes")
}

func TestReadOfWhatIsNotAFile(t *testing.T) {
	folder := t.TempDir()
	_, err := smallfile.Read(folder, 5)
	require.ErrorContains(t, err, "is a directory")
	_, err = smallfile.Read(filepath.Join(folder, "missing"), 5)
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = smallfile.Read("/dev/zero", 5)
	require.EqualError(t, err, "/dev/zero is larger than 5 bytes")
}
