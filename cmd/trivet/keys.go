package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/trivet-dev/trivet/platform/peer"
)

// installation is the set of secrets that the processes of split mode share.
type installation struct {
	passportKey, passportPublic, internalSecret, apiKeySecret string
}

func newInstallation() (installation, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return installation{}, fmt.Errorf("make a passport key: %w", err)
	}
	internal, apiKeys := make([]byte, peer.MinSecret), make([]byte, peer.MinSecret)
	for _, secret := range [][]byte{internal, apiKeys} {
		if _, err := rand.Read(secret); err != nil {
			return installation{}, fmt.Errorf("make a secret: %w", err)
		}
	}
	encode := base64.StdEncoding.EncodeToString
	return installation{
		passportKey: encode(private.Seed()), passportPublic: encode(public), internalSecret: encode(internal), apiKeySecret: encode(apiKeys),
	}, nil
}

// print writes the secrets as lines of an environment file.
func (i installation) print(w io.Writer) error {
	_, err := fmt.Fprintf(w, `# for auth alone: it signs passports, and hashes API keys (lose this one, and every API key is void)
TRIVET_PASSPORT_KEY=%s
TRIVET_API_KEY_SECRET=%s
# for every process: they verify passports, and prove to each other which service is calling
TRIVET_PASSPORT_PUBLIC_KEYS=%s
TRIVET_INTERNAL_SECRET=%s
`, i.passportKey, i.apiKeySecret, i.passportPublic, i.internalSecret)
	return err
}

// save writes the secrets as files under dir: private/ for auth alone, shared/ for every process. Where they all stand already it
// changes nothing; where some do, it refuses, because they would not fit together.
func (i installation) save(dir string) (made bool, err error) {
	files := []struct{ path, content string }{
		{filepath.Join(dir, "private", "passport.key"), i.passportKey},
		{filepath.Join(dir, "private", "apikey.secret"), i.apiKeySecret},
		{filepath.Join(dir, "shared", "passport.pub"), i.passportPublic},
		{filepath.Join(dir, "shared", "internal.secret"), i.internalSecret},
	}
	var there []string
	for _, f := range files {
		switch _, err := os.Stat(f.path); {
		case err == nil:
			there = append(there, f.path)
		case !errors.Is(err, fs.ErrNotExist):
			return false, err
		}
	}
	if len(there) == len(files) {
		return false, nil
	}
	if len(there) > 0 {
		return false, fmt.Errorf("%s is there and others of the set are not: remove it, or bring the others back", there[0])
	}
	for _, f := range files {
		if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
			return false, err
		}
		if err := os.WriteFile(f.path, []byte(f.content+"\n"), 0o600); err != nil {
			return false, err
		}
	}
	return true, nil
}
