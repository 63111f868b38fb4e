package jwks

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
)

// Static is a set of keys without ids, for verification without the network. Only Replace changes it.
type Static struct {
	keys atomic.Pointer[[]*rsa.PublicKey]
}

// ParsePEM reads one or more public keys in PEM, one after another; "\n" written out in an environment variable counts as
// a line break. Every key counts, so that a new one may stand beside the old one during a rotation.
func ParsePEM(text string) (*Static, error) {
	s := &Static{}
	if _, err := s.Replace(text); err != nil {
		return nil, err
	}
	return s, nil
}

// Replace uses other keys, in the form that ParsePEM reads, and reports whether they differ from the present ones. After an error the present ones are in use.
func (s *Static) Replace(text string) (changed bool, err error) {
	keys, err := parseKeys(text)
	if err != nil {
		return false, err
	}
	before := s.keys.Swap(&keys)
	return before == nil || !slices.EqualFunc(*before, keys, func(a, b *rsa.PublicKey) bool { return a.Equal(b) }), nil
}

func parseKeys(text string) ([]*rsa.PublicKey, error) {
	rest := []byte(strings.ReplaceAll(text, `\n`, "\n"))
	var keys []*rsa.PublicKey
	for len(strings.TrimSpace(string(rest))) > 0 {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, fmt.Errorf("PEM block %d cannot be read", len(keys)+1)
		}
		key, err := parseBlock(block)
		if err != nil {
			return nil, fmt.Errorf("PEM block %d: %w", len(keys)+1, err)
		}
		keys = append(keys, key)
	}
	switch {
	case len(keys) == 0:
		return nil, errors.New("no PEM block found")
	case len(keys) > maxKeys:
		return nil, fmt.Errorf("there are %d keys, more than %d", len(keys), maxKeys)
	}
	return keys, nil
}

func parseBlock(block *pem.Block) (*rsa.PublicKey, error) {
	if strings.Contains(block.Type, "PRIVATE") {
		return nil, errors.New("is a private key; Clerk's dashboard shows the public one as \"JWT public key\"")
	}
	if block.Type == "RSA PUBLIC KEY" {
		key, err := x509.ParsePKCS1PublicKey(block.Bytes)
		if err != nil {
			return nil, errors.New("not an RSA public key")
		}
		return key, strong(key)
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, errors.New("not a public key")
	}
	key, ok := parsed.(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("not an RSA key")
	}
	return key, strong(key)
}

// Find returns every key, whatever the id: Clerk's PEM carries none.
func (s *Static) Find(context.Context, string) ([]*rsa.PublicKey, error) { return *s.keys.Load(), nil }

// Renew reports false: there is nothing to ask for other keys.
func (s *Static) Renew(context.Context) bool { return false }
