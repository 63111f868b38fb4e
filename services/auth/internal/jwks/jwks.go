// Package jwks keeps the public keys that Clerk signs session tokens with.
package jwks

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

// ErrUnknownKey says that Clerk has no key of that id.
var ErrUnknownKey = errors.New("jwks: Clerk has no signing key of this id")

// UnavailableError says that it could not be found out whether a key exists.
type UnavailableError struct {
	// RetryAfter is when the next attempt is due; more than 0.
	RetryAfter time.Duration
	// Cause is why the last attempt failed.
	Cause error
}

// Error returns what failed.
func (e *UnavailableError) Error() string {
	return fmt.Sprintf("jwks: Clerk's signing keys could not be fetched: %v", e.Cause)
}

// Unwrap returns the cause.
func (e *UnavailableError) Unwrap() error { return e.Cause }

const (
	minBits = 2048
	maxBits = 8192 // a larger key would only make checking slow
	maxKeys = 32
)

// parseSet reads a JWKS document. A key that must not be used is left out and named in refused; the error says that no
// usable key is left.
func parseSet(document []byte) (keys map[string]*rsa.PublicKey, refused []error, err error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(document, &set); err != nil {
		return nil, nil, errors.New("the answer is no JWKS document")
	}
	if len(set.Keys) > maxKeys {
		return nil, nil, fmt.Errorf("the JWKS document has %d keys, more than %d", len(set.Keys), maxKeys)
	}
	keys = make(map[string]*rsa.PublicKey, len(set.Keys))
	for at, raw := range set.Keys {
		kid, key, err := parseKey(raw)
		if err == nil && keys[kid] != nil {
			err = errors.New("its kid stands twice")
		}
		if err != nil {
			refused = append(refused, fmt.Errorf("key %d: %w", at, err))
			continue
		}
		keys[kid] = key
	}
	if len(keys) == 0 {
		return nil, refused, fmt.Errorf("the JWKS document has no usable key: %w", errors.Join(refused...))
	}
	return keys, refused, nil
}

// parseKey never quotes the key: what should be public may hold a private part by mistake.
func parseKey(raw []byte) (kid string, key *rsa.PublicKey, err error) {
	var jwk jose.JSONWebKey
	if err := jwk.UnmarshalJSON(raw); err != nil {
		return "", nil, errors.New("it can't be read")
	}
	key, ok := jwk.Key.(*rsa.PublicKey)
	switch {
	case jwk.KeyID == "":
		return "", nil, errors.New("it has no kid")
	case !ok && !jwk.IsPublic():
		return "", nil, errors.New("it has a private part")
	case !ok:
		return "", nil, errors.New("it is no RSA key")
	case jwk.Use != "" && jwk.Use != "sig":
		return "", nil, errors.New("it is not for signatures")
	case jwk.Algorithm != "" && jwk.Algorithm != string(jose.RS256):
		return "", nil, errors.New("it is not for RS256")
	}
	return jwk.KeyID, key, strong(key)
}

// strong refuses RSA keys that are weak, or so large that checking a signature would be an attack.
func strong(key *rsa.PublicKey) error {
	switch bits := key.N.BitLen(); {
	case bits < minBits:
		return fmt.Errorf("it has %d bits, fewer than %d", bits, minBits)
	case bits > maxBits:
		return fmt.Errorf("it has %d bits, more than %d", bits, maxBits)
	case key.N.Bit(0) == 0:
		return errors.New("its modulus is even")
	case key.E < 3 || key.E%2 == 0:
		return fmt.Errorf("its exponent is %d", key.E)
	}
	return nil
}
