package passport

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// ErrEnded says that a passport would have no life left: the caller's credential ended while it was looked up.
var ErrEnded = errors.New("passport: would have expired already")

// Issuer signs passports. Only auth has one. It is safe for concurrent use.
type Issuer struct {
	key atomic.Pointer[signingKey]
	now func() time.Time
}

// signingKey is a private key, ready to sign.
type signingKey struct {
	signer jose.Signer
	public ed25519.PublicKey
}

// NewIssuer makes an issuer of a signing key.
func NewIssuer(key ed25519.PrivateKey, now func() time.Time) (*Issuer, error) {
	i := &Issuer{now: now}
	if err := i.Replace(key); err != nil {
		return nil, err
	}
	return i, nil
}

// Replace signs with another key from now on. After an error the present key stays.
func (i *Issuer) Replace(key ed25519.PrivateKey) error {
	if len(key) != ed25519.PrivateKeySize {
		return fmt.Errorf("passport key: want an Ed25519 private key of %d bytes", ed25519.PrivateKeySize)
	}
	public, _ := key.Public().(ed25519.PublicKey)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: key, KeyID: keyID(public)}}, nil)
	if err != nil {
		return fmt.Errorf("passport signer: %w", err)
	}
	i.key.Store(&signingKey{signer: signer, public: public})
	return nil
}

// PublicKey is the key that verifies what this issuer signs.
func (i *Issuer) PublicKey() ed25519.PublicKey { return i.key.Load().public }

// Issue signs a passport for one service. It never lives longer than MaxLife, whatever expire says. The error is ErrEnded
// when expire has come.
func (i *Issuer) Issue(c Claims, audience string, expire time.Time) (string, error) {
	if c.UserID == "" || c.AccountID == "" || audience == "" {
		return "", fmt.Errorf("passport: user, account and audience are required")
	}
	now := i.now()
	if latest := now.Add(MaxLife); expire.After(latest) {
		expire = latest
	}
	if !expire.After(now) {
		return "", ErrEnded
	}
	standard := jwt.Claims{
		Issuer:   issuer,
		Audience: jwt.Audience{audience},
		IssuedAt: jwt.NewNumericDate(now),
		Expiry:   jwt.NewNumericDate(expire),
	}
	token, err := jwt.Signed(i.key.Load().signer).Claims(standard).Claims(c).Serialize()
	if err != nil {
		return "", fmt.Errorf("sign passport: %w", err)
	}
	if len(token) > maxToken {
		return "", fmt.Errorf("passport: %d bytes, but a service reads at most %d", len(token), maxToken)
	}
	return token, nil
}
