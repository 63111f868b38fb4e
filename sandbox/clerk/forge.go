package clerk

import (
	"cmp"
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // RS256, HS256 and PS256
	_ "crypto/sha512" // RS384 and RS512
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
)

// Forge corrupts a token. The zero value leaves it valid.
type Forge struct {
	// Claims replaces or adds claims of any type.
	Claims map[string]any
	// RemoveClaims leaves claims out.
	RemoveClaims []string
	// Payload replaces the whole payload, for what no JSON encoder writes, such as a duplicate claim.
	Payload []byte
	// Header replaces or adds header fields; a nil value removes one.
	Header map[string]any
	// Alg is "RS256" when empty, or "RS384", "RS512", "PS256", "none", or "HS256": signed with the PEM of the
	// public key as the secret, the classic confusion of algorithms.
	Alg string
	// KeyID replaces the kid of the header.
	KeyID string
	// Stranger signs with a key that the instance has never published, under the kid of the valid one.
	Stranger bool
	// BreakSignature changes one bit of the signature.
	BreakSignature bool
}

func (f *Fake) forge(ctx context.Context, key signingKey, c claims, how Forge) (string, error) {
	private := key.rsa
	if how.Stranger {
		var err error
		if private, err = f.keys.stranger(ctx); err != nil {
			return "", err
		}
	}
	alg := cmp.Or(how.Alg, "RS256")
	header := map[string]any{"alg": alg, "typ": "JWT", "kid": cmp.Or(how.KeyID, key.id), "cat": "cl_B7d4PD111AAA"}
	maps.Copy(header, how.Header)
	maps.DeleteFunc(header, func(_ string, v any) bool { return v == nil })
	maps.Copy(c, how.Claims)
	for _, name := range how.RemoveClaims {
		delete(c, name)
	}
	head, err := json.Marshal(header)
	if err != nil {
		return "", fmt.Errorf("forged header: %w", err)
	}
	payload := how.Payload
	if payload == nil {
		if payload, err = json.Marshal(c); err != nil {
			return "", fmt.Errorf("forged claims: %w", err)
		}
	}
	input := encode(head) + "." + encode(payload)
	signature, err := sign(alg, private, []byte(input))
	if err != nil {
		return "", err
	}
	if how.BreakSignature && len(signature) > 0 {
		signature[len(signature)/2] ^= 1
	}
	return input + "." + encode(signature), nil
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func sign(alg string, key *rsa.PrivateKey, input []byte) ([]byte, error) {
	hashes := map[string]crypto.Hash{"RS256": crypto.SHA256, "RS384": crypto.SHA384, "RS512": crypto.SHA512, "PS256": crypto.SHA256}
	switch alg {
	case "none":
		return nil, nil
	case "HS256":
		secret, err := publicPEM(&key.PublicKey)
		if err != nil {
			return nil, err
		}
		mac := hmac.New(crypto.SHA256.New, []byte(secret))
		mac.Write(input)
		return mac.Sum(nil), nil
	}
	hash, ok := hashes[alg]
	if !ok {
		return nil, fmt.Errorf("the sandbox cannot sign with algorithm %q", alg)
	}
	h := hash.New()
	h.Write(input)
	if alg == "PS256" {
		return rsa.SignPSS(rand.Reader, key, hash, h.Sum(nil), nil)
	}
	return rsa.SignPKCS1v15(nil, key, hash, h.Sum(nil))
}
