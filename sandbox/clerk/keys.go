package clerk

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/trivet-dev/trivet/sandbox/internal/ident"
)

// keyBits is the size of Clerk's own signing keys.
const keyBits = 2048

// maxPublished bounds the keys in the JWKS of an instance that rotates often.
const maxPublished = 4

const keyFile = "clerk-keys.json"

// signingKey is an RSA key with its key id, which is the id of the instance.
type signingKey struct {
	id  string
	rsa *rsa.PrivateKey
}

// keyring holds the keys of an instance, newest first. The first signs; all are published.
type keyring struct {
	path  string // of the file; empty keeps the keys in memory
	first string // id of the first key

	// lock is a mutex whose waiters can give up while a key is generated: sending acquires it.
	lock    chan struct{}
	made    int
	keys    []signingKey
	foreign *rsa.PrivateKey
}

func openKeyring(dir, first string) (*keyring, error) {
	k := &keyring{lock: make(chan struct{}, 1), first: first}
	if dir == "" {
		return k, nil
	}
	k.path = filepath.Join(dir, keyFile)
	raw, err := os.ReadFile(k.path)
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the sandbox's Clerk keys: %w", err)
	}
	if err := k.decode(raw); err != nil {
		return nil, fmt.Errorf("the sandbox's Clerk keys in %s are damaged (delete the file to get new ones): %w", k.path, err)
	}
	return k, nil
}

// storedKey is one key in the file.
type storedKey struct {
	ID  string `json:"kid"`
	PEM string `json:"private_key_pem"`
}

func (k *keyring) decode(raw []byte) error {
	var stored []storedKey
	if err := json.Unmarshal(raw, &stored); err != nil {
		return err
	}
	for _, s := range stored {
		block, _ := pem.Decode([]byte(s.PEM))
		if block == nil {
			return fmt.Errorf("key %s is not PEM", s.ID)
		}
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return fmt.Errorf("key %s: %w", s.ID, err)
		}
		private, ok := parsed.(*rsa.PrivateKey)
		if !ok {
			return fmt.Errorf("key %s is not an RSA key", s.ID)
		}
		k.keys = append(k.keys, signingKey{s.ID, private})
	}
	return nil
}

// acquire takes the lock, or returns the error of ctx.
func (k *keyring) acquire(ctx context.Context) error {
	select {
	case k.lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (k *keyring) release() { <-k.lock }

// save replaces the file atomically.
func (k *keyring) save(keys []signingKey) error {
	if k.path == "" {
		return nil
	}
	var stored []storedKey
	for _, key := range keys {
		der, err := x509.MarshalPKCS8PrivateKey(key.rsa)
		if err != nil {
			return err
		}
		stored = append(stored, storedKey{key.id, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))})
	}
	raw, err := json.MarshalIndent(stored, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(k.path), 0o700); err != nil {
		return err
	}
	temp := k.path + ".tmp"
	if err := os.WriteFile(temp, raw, 0o600); err != nil {
		return err
	}
	return os.Rename(temp, k.path)
}

// all returns the published keys, newest first; the newest signs. It generates the first key on demand, while concurrent
// callers wait.
func (k *keyring) all(ctx context.Context) ([]signingKey, error) {
	if err := k.acquire(ctx); err != nil {
		return nil, err
	}
	defer k.release()
	if len(k.keys) == 0 {
		if err := k.add(k.first, false); err != nil {
			return nil, err
		}
	}
	return slices.Clone(k.keys), nil
}

// current returns the key that signs.
func (k *keyring) current(ctx context.Context) (signingKey, error) {
	keys, err := k.all(ctx)
	if err != nil {
		return signingKey{}, err
	}
	return keys[0], nil
}

// add puts a new key first, under the id given or a new one. The caller holds the lock.
func (k *keyring) add(id string, keepOld bool) error {
	private, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return fmt.Errorf("make the sandbox's Clerk key: %w", err)
	}
	if id == "" {
		id = k.newID()
	}
	var old []signingKey
	if keepOld {
		old = k.keys[:min(len(k.keys), maxPublished-1)]
	}
	keys := append([]signingKey{{id, private}}, old...)
	if err := k.save(keys); err != nil {
		return fmt.Errorf("keep the sandbox's Clerk key in %s: %w", k.path, err)
	}
	k.keys = keys
	return nil
}

// newID is the same on every run in memory, and never repeats when keys are kept.
func (k *keyring) newID() string {
	k.made++
	seed := strconv.Itoa(k.made + 1)
	if k.path != "" {
		seed = rand.Text()
	}
	return "ins_" + ident.Derive(27, "instance", seed)
}

// stranger returns a key that the instance has never published, for forged tokens.
func (k *keyring) stranger(ctx context.Context) (*rsa.PrivateKey, error) {
	if err := k.acquire(ctx); err != nil {
		return nil, err
	}
	defer k.release()
	if k.foreign == nil {
		private, err := rsa.GenerateKey(rand.Reader, keyBits)
		if err != nil {
			return nil, fmt.Errorf("make a foreign key: %w", err)
		}
		k.foreign = private
	}
	return k.foreign, nil
}

// Rotation says how [Fake.RotateKey] changes the keys.
type Rotation struct {
	// KeepID gives the new key the old one's id, as Clerk does: its key id is the instance's id. The old key is
	// then no longer published, whatever KeepOld says, because an id names one key.
	KeepID bool
	// KeepOld keeps publishing the old key, so that its tokens stay valid.
	KeepOld bool
}

// RotateKey makes a new signing key and returns its id.
func (f *Fake) RotateKey(ctx context.Context, r Rotation) (string, error) {
	old, err := f.keys.current(ctx)
	if err != nil {
		return "", err
	}
	if err := f.keys.acquire(ctx); err != nil {
		return "", err
	}
	defer f.keys.release()
	id := ""
	if r.KeepID {
		id, r.KeepOld = old.id, false
	}
	if err := f.keys.add(id, r.KeepOld); err != nil {
		return "", err
	}
	return f.keys.keys[0].id, nil
}

// KeyID returns the id of the key that signs now.
func (f *Fake) KeyID(ctx context.Context) (string, error) {
	key, err := f.keys.current(ctx)
	return key.id, err
}

// PublicKeyPEM returns the public key that checks today's tokens, as Clerk's dashboard shows it.
func (f *Fake) PublicKeyPEM(ctx context.Context) (string, error) {
	key, err := f.keys.current(ctx)
	if err != nil {
		return "", err
	}
	return publicPEM(&key.rsa.PublicKey)
}

func publicPEM(key *rsa.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), nil
}

// jwk is one public key of the JWKS.
type jwk struct {
	Use string `json:"use"`
	Kty string `json:"kty"`
	Kid string `json:"kid"`
	Alg string `json:"alg"`
	N   string `json:"n"`
	E   string `json:"e"`
}

func (f *Fake) getJWKS(r *http.Request) (any, error) {
	keys, err := f.keys.all(r.Context())
	if err != nil {
		return nil, err
	}
	set := struct {
		Keys []jwk `json:"keys"`
	}{}
	for _, key := range keys {
		set.Keys = append(set.Keys, jwk{
			Use: "sig", Kty: "RSA", Kid: key.id, Alg: "RS256",
			N: base64.RawURLEncoding.EncodeToString(key.rsa.N.Bytes()),
			E: base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.rsa.E)).Bytes()),
		})
	}
	return set, nil
}
