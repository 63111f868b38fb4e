// Package jwks keeps the public keys that Clerk signs session tokens with.
package jwks

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

// ErrUnknownKey says that Clerk has no key with that id.
var ErrUnknownKey = errors.New("jwks: Clerk has no signing key with this id")

// UnavailableError says that nobody could find out whether a key exists.
type UnavailableError struct {
	// RetryAfter is when the next attempt is due; more than 0.
	RetryAfter time.Duration
	// Cause is why the last attempt failed.
	Cause error
}

// Error returns what failed.
func (e *UnavailableError) Error() string {
	return fmt.Sprintf("jwks: the signing key could not be looked up: %v", e.Cause)
}

// Unwrap returns the cause.
func (e *UnavailableError) Unwrap() error { return e.Cause }

const (
	minBits = 2048
	maxBits = 8192 // a larger key would only make checking slow
	maxKeys = 32
)

// keySet is the public keys by key id. Clerk's key id names the instance, so a rotation may put two keys under one id.
type keySet map[string][]*rsa.PublicKey

// parseSet reads a JWKS document. A key that must not be used is left out and named in refused; the error says that no
// usable key is left.
func parseSet(document []byte) (keys keySet, refused []error, err error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(document, &set); err != nil {
		return nil, nil, errors.New("the response is not a JWKS document")
	}
	if len(set.Keys) > maxKeys {
		return nil, nil, fmt.Errorf("the JWKS document has %d keys, more than %d", len(set.Keys), maxKeys)
	}
	keys = make(keySet, len(set.Keys))
	for at, raw := range set.Keys {
		kid, key, err := parseKey(raw)
		if err != nil {
			refused = append(refused, fmt.Errorf("key %d: %w", at, err))
			continue
		}
		if !slices.ContainsFunc(keys[kid], func(known *rsa.PublicKey) bool { return known.Equal(key) }) {
			keys[kid] = append(keys[kid], key)
		}
	}
	if len(keys) == 0 {
		return nil, refused, fmt.Errorf("the JWKS document has no usable key: %w", errors.Join(refused...))
	}
	return keys, refused, nil
}

// equal compares keys by id, in their order.
func (s keySet) equal(other keySet) bool {
	return maps.EqualFunc(s, other, func(a, b []*rsa.PublicKey) bool {
		return slices.EqualFunc(a, b, func(x, y *rsa.PublicKey) bool { return x.Equal(y) })
	})
}

// parseKey never quotes the key: what should be public may hold a private part by mistake.
func parseKey(raw []byte) (kid string, key *rsa.PublicKey, err error) {
	var jwk jose.JSONWebKey
	if err := jwk.UnmarshalJSON(raw); err != nil {
		return "", nil, errors.New("cannot be read")
	}
	key, ok := jwk.Key.(*rsa.PublicKey)
	switch {
	case jwk.KeyID == "":
		return "", nil, errors.New("no kid")
	case !ok && !jwk.IsPublic():
		return "", nil, errors.New("has a private part")
	case !ok:
		return "", nil, errors.New("not an RSA key")
	case jwk.Use != "" && jwk.Use != "sig":
		return "", nil, errors.New("not for signatures")
	case jwk.Algorithm != "" && jwk.Algorithm != string(jose.RS256):
		return "", nil, errors.New("not for RS256")
	}
	return jwk.KeyID, key, strong(key)
}

// strong refuses RSA keys that are weak, or so large that checking a signature would be an attack.
func strong(key *rsa.PublicKey) error {
	switch bits := key.N.BitLen(); {
	case bits < minBits:
		return fmt.Errorf("has %d bits, fewer than %d", bits, minBits)
	case bits > maxBits:
		return fmt.Errorf("has %d bits, more than %d", bits, maxBits)
	case key.N.Bit(0) == 0:
		return errors.New("modulus is even")
	case key.E < 3 || key.E%2 == 0:
		return fmt.Errorf("exponent is %d", key.E)
	}
	return nil
}
