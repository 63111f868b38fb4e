package session

import (
	"context"
	"crypto/rsa"
	"errors"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/trivet-dev/trivet/services/auth/internal/jwks"
)

// Keys finds the keys that Clerk signs with; jwks has them.
type Keys interface {
	// Find returns the keys that key id kid may name; more than one only where keys carry no id. Errors:
	// jwks.ErrUnknownKey, *jwks.UnavailableError, the context's.
	Find(ctx context.Context, kid string) ([]*rsa.PublicKey, error)
	// Renew asks for newer keys after a bad signature, at most as often as the keys allow; it reports whether they changed.
	Renew(ctx context.Context) bool
}

// TokenVerifier is the Verifier that checks every token in full.
type TokenVerifier struct {
	policy Policy
	keys   Keys
	now    func() time.Time
}

var _ Verifier = (*TokenVerifier)(nil)

// NewVerifier returns a verifier of tokens signed by one of keys. It refuses a policy without an issuer.
func NewVerifier(policy Policy, keys Keys, now func() time.Time) (*TokenVerifier, error) {
	if policy.Issuer == "" {
		return nil, errors.New("session: a verifier without an issuer would accept every Clerk instance's tokens")
	}
	return &TokenVerifier{policy: policy, keys: keys, now: now}, nil
}

// Verify checks form, claims and signature, in this order: what is hopeless without a key is refused without one.
func (v *TokenVerifier) Verify(ctx context.Context, token string) (*Session, error) {
	jws, err := parse(token)
	if err != nil {
		return nil, err
	}
	payload := jws.UnsafePayloadWithoutVerification()
	c, err := parseClaims(payload)
	if err != nil {
		return nil, err
	}
	s, err := v.policy.judge(c, v.now())
	if err != nil {
		return nil, err
	}
	if err := v.checkSignature(ctx, jws); err != nil {
		return nil, err
	}
	return s, nil
}

// parse reads a compact JWS whose algorithm is RS256 and nothing else.
func parse(token string) (*jose.JSONWebSignature, error) {
	if len(token) > MaxTokenBytes {
		return nil, refuse(VerdictTooLarge, "")
	}
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256})
	if unexpected := (*jose.ErrUnexpectedSignatureAlgorithm)(nil); errors.As(err, &unexpected) {
		return nil, refuse(VerdictAlgorithm, "")
	}
	if err != nil || len(jws.Signatures) != 1 {
		return nil, refuse(VerdictMalformed, "")
	}
	protected := jws.Signatures[0].Protected
	if _, ok := protected.ExtraHeaders["crit"]; ok {
		return nil, refuse(VerdictMalformed, "crit")
	}
	// Clerk signs other kinds of token with the same key, such as OAuth access tokens ("at+jwt").
	if typ, ok := protected.ExtraHeaders[jose.HeaderType]; ok {
		if name, isText := typ.(string); !isText || !strings.EqualFold(name, "JWT") {
			return nil, refuse(VerdictTokenType, "")
		}
	}
	return jws, nil
}

func (v *TokenVerifier) checkSignature(ctx context.Context, jws *jose.JSONWebSignature) error {
	kid := jws.Signatures[0].Protected.KeyID
	keys, err := v.keys.Find(ctx, kid)
	if errors.Is(err, jwks.ErrUnknownKey) {
		return refuse(VerdictUnknownKey, "")
	}
	if err != nil {
		return err
	}
	if signedByOne(jws, keys) {
		return nil
	}
	// Clerk's key id is the instance's, so that a rotation may change the key and keep the id.
	if v.keys.Renew(ctx) {
		if keys, err = v.keys.Find(ctx, kid); err == nil && signedByOne(jws, keys) {
			return nil
		}
	}
	return refuse(VerdictSignature, "")
}

func signedByOne(jws *jose.JSONWebSignature, keys []*rsa.PublicKey) bool {
	for _, key := range keys {
		if _, err := jws.Verify(key); err == nil {
			return true
		}
	}
	return false
}
