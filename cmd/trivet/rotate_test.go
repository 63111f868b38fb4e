package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/passport"
)

// keyFiles makes a folder of keys.
func keyFiles(t *testing.T) (dir string, list func(name string) []string) {
	t.Helper()
	dir = t.TempDir()
	made, err := newInstallation()
	require.NoError(t, err)
	_, err = made.save(dir)
	require.NoError(t, err)
	return dir, func(name string) []string {
		values, err := readList(filepath.Join(dir, name))
		require.NoError(t, err)
		info, err := os.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
		return values
	}
}

func TestRotateTheInternalSecret(t *testing.T) {
	dir, list := keyFiles(t)
	r := rotations(dir)["internal"]
	const file = "shared/internal.secret"
	old := list(file)
	require.ErrorIs(t, r.use(), errNotBegun)
	require.ErrorIs(t, r.drop(), errNotBegun)
	require.Equal(t, old, list(file))

	require.NoError(t, r.add())
	both := list(file)
	require.Len(t, both, 2)
	require.Equal(t, old[0], both[0], "the old one is used until all processes know the new one")
	require.ErrorIs(t, r.add(), errUnderWay)
	require.NoError(t, r.use())
	require.Equal(t, []string{both[1], both[0]}, list(file))
	require.NoError(t, r.drop())
	require.Equal(t, both[1:], list(file))
}

func TestRotateThePassportKey(t *testing.T) {
	dir, list := keyFiles(t)
	r := rotations(dir)["passport"]
	const private, public = "private/passport.key", "shared/passport.pub"
	// verified reports whether the passports of the current key are accepted.
	verified := func() bool {
		current, err := publicOf(filepath.Join(dir, private))
		require.NoError(t, err)
		_, err = passport.ParsePublicKeys(list(public))
		require.NoError(t, err)
		for _, key := range list(public) {
			if key == current {
				return true
			}
		}
		return false
	}
	old, key := list(public), list(private)
	require.ErrorIs(t, r.use(), errNotBegun)
	require.ErrorIs(t, r.drop(), errNotBegun)

	require.NoError(t, r.add())
	require.ErrorIs(t, r.add(), errUnderWay)
	require.Len(t, list(public), 2)
	require.Equal(t, old[0], list(public)[0])
	require.Equal(t, key, list(private), "the old key signs until all processes know the new one")
	require.ErrorContains(t, r.drop(), "not used yet")
	require.True(t, verified())

	require.NoError(t, r.use())
	require.NotEqual(t, key, list(private))
	require.True(t, verified())
	require.Len(t, list(public), 2, "passports of the old key live for a minute")
	require.NoError(t, r.drop())
	require.True(t, verified())
	require.NotContains(t, list(public), old[0])
	require.Len(t, list(public), 1)
	require.ErrorIs(t, r.drop(), errNotBegun)
}

// An add that ended between its two writes is repeated: the public key that it left has no private key.
func TestAddOfAPassportKeyIsRepeated(t *testing.T) {
	dir := t.TempDir()
	p := passportKeys{current: filepath.Join(dir, "key"), next: filepath.Join(dir, "next"), public: filepath.Join(dir, "public")}
	public, private, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	require.NoError(t, replaceFile(p.current, []string{base64.StdEncoding.EncodeToString(private.Seed())}))
	require.NoError(t, replaceFile(p.public, []string{base64.StdEncoding.EncodeToString(public)}))
	require.NoError(t, p.add())
	first, err := readList(p.public)
	require.NoError(t, err)
	require.NoError(t, os.Remove(p.next)) // as if the second write had not been made
	require.NoError(t, p.add())
	again, err := readList(p.public)
	require.NoError(t, err)
	require.Len(t, again, 2)
	require.Equal(t, first[0], again[0])
	require.NotEqual(t, first[1], again[1])
	made, err := publicOf(p.next)
	require.NoError(t, err)
	require.Equal(t, made, again[1])
	require.NoError(t, p.use())
	require.ErrorIs(t, p.add(), errUnderWay, "the rotation is not ended by drop")
	require.NoError(t, p.drop())
}

func TestRotateNeedsTheFiles(t *testing.T) {
	for name, r := range rotations(t.TempDir()) {
		require.ErrorIs(t, r.add(), os.ErrNotExist, name)
		require.Error(t, r.use(), name)
		require.Error(t, r.drop(), name)
	}
}
