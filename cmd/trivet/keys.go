package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
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
	clerkWebhook, stripeWebhook                               string // of the sandbox
}

func newInstallation() (installation, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return installation{}, fmt.Errorf("make a passport key: %w", err)
	}
	internal, apiKeys := make([]byte, peer.MinSecret), make([]byte, peer.MinSecret)
	clerk, stripe := make([]byte, webhookSecret), make([]byte, webhookSecret)
	for _, secret := range [][]byte{internal, apiKeys, clerk, stripe} {
		if _, err := rand.Read(secret); err != nil {
			return installation{}, fmt.Errorf("make a secret: %w", err)
		}
	}
	encode := base64.StdEncoding.EncodeToString
	return installation{
		passportKey:    encode(private.Seed()),
		passportPublic: encode(public),
		internalSecret: encode(internal),
		apiKeySecret:   encode(apiKeys),
		clerkWebhook:   "whsec_" + encode(clerk),
		stripeWebhook:  "whsec_" + hex.EncodeToString(stripe),
	}, nil
}

// webhookSecret is the size of Svix's webhook secrets in bytes.
const webhookSecret = 24

// print writes the secrets as lines of an environment file.
func (i installation) print(w io.Writer) error {
	_, err := fmt.Fprintf(w, `# for auth alone: the key that signs passports, and the secret that hashes API keys (without it every API key is void)
TRIVET_PASSPORT_KEY=%s
TRIVET_API_KEY_SECRET=%s
# for every process: to verify passports, and to prove which service is calling
TRIVET_PASSPORT_PUBLIC_KEYS=%s
TRIVET_INTERNAL_SECRET=%s
`, i.passportKey, i.apiKeySecret, i.passportPublic, i.internalSecret)
	return err
}

// save writes the secrets as files under dir: private/ for auth alone, shared/ for every process, sandbox/ for the sandbox and the
// services that receive its webhooks. It keeps an existing set and refuses an incomplete one, because new files would not match.
func (i installation) save(dir string) (made bool, err error) {
	trust := []file{
		{filepath.Join(dir, "private", "passport.key"), i.passportKey},
		{filepath.Join(dir, "private", "apikey.secret"), i.apiKeySecret},
		{filepath.Join(dir, "shared", "passport.pub"), i.passportPublic},
		{filepath.Join(dir, "shared", "internal.secret"), i.internalSecret},
	}
	webhooks := []file{
		{filepath.Join(dir, "sandbox", "clerk-webhook.secret"), i.clerkWebhook},
		{filepath.Join(dir, "sandbox", "stripe-webhook.secret"), i.stripeWebhook},
	}
	made, err = saveSet(trust)
	if err != nil {
		return false, err
	}
	// The webhook secrets are a separate set, because older installations have only the others.
	more, err := saveSet(webhooks)
	return made || more, err
}

// file is a secret and its path.
type file struct{ path, content string }

// saveSet writes files that belong together. It reports false when all of them exist, and an error when some do.
func saveSet(files []file) (made bool, err error) {
	var existing []string
	for _, f := range files {
		switch _, err := os.Stat(f.path); {
		case err == nil:
			existing = append(existing, f.path)
		case !errors.Is(err, fs.ErrNotExist):
			return false, err
		}
	}
	if len(existing) == len(files) {
		return false, nil
	}
	if len(existing) > 0 {
		return false, fmt.Errorf("%s exists, but other files of the same set do not: restore them, or remove this one to generate a new set", existing[0])
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
