package passport

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

const cacheSize = 8192

// keyring is a set of keys, with the passports that they verified. The keys never change.
type keyring struct {
	keys  map[string]verificationKey
	cache *lru.Cache[[sha256.Size]byte, *Claims]
}

// verificationKey is a key, and when it was removed from the settings; zero while it is there.
type verificationKey struct {
	public  ed25519.PublicKey
	retired time.Time
}

// accepts reports whether a passport of that time may be signed with the key. Passports end within a minute, and so does the use of a
// removed key.
func (k verificationKey) accepts(issued time.Time) bool {
	return k.retired.IsZero() || !issued.After(k.retired.Add(beginLeeway))
}

func newKeyring(keys []ed25519.PublicKey) (*keyring, error) {
	if len(keys) == 0 {
		return nil, fmt.Errorf("no passport verification key: set TRIVET_PASSPORT_PUBLIC_KEYS to what `trivet keys` prints")
	}
	cache, err := lru.New[[sha256.Size]byte, *Claims](cacheSize)
	if err != nil {
		return nil, fmt.Errorf("passport cache: %w", err)
	}
	r := &keyring{keys: make(map[string]verificationKey, len(keys)), cache: cache}
	for _, key := range keys {
		if len(key) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("passport verification key: want %d bytes, got %d", ed25519.PublicKeySize, len(key))
		}
		r.keys[keyID(key)] = verificationKey{public: key}
	}
	return r, nil
}

// retire keeps the removed keys of an earlier ring while passports of theirs may live.
func (r *keyring) retire(earlier *keyring, now time.Time) {
	for id, key := range earlier.keys {
		if _, kept := r.keys[id]; kept {
			continue
		}
		if key.retired.IsZero() {
			key.retired = now
		}
		if now.Sub(key.retired) <= MaxLife+beginLeeway+endLeeway {
			r.keys[id] = key
		}
	}
}
