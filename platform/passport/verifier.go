package passport

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// maxToken has room for the most that a key's own lists hold, and for a role with hundreds of permissions: a session token packs
// them into far less.
const maxToken = 32 << 10

// The clocks of two processes may differ. A passport is used for at most a minute and renewed before its end, so its end
// needs little leeway. A beginning that lies ahead does no harm, as auth signed the passport already; and no renewal would
// help a process whose clock is behind auth's.
const (
	beginLeeway = 15 * time.Second
	endLeeway   = 5 * time.Second
)

// Verifier checks passports. It is safe for concurrent use.
type Verifier struct {
	ring atomic.Pointer[keyring]
	now  func() time.Time

	replacing sync.Mutex
}

// NewVerifier makes a verifier of one key or, while keys rotate, of several.
// It fails without a key: a service must not start that can't tell who calls.
func NewVerifier(keys []ed25519.PublicKey, now func() time.Time) (*Verifier, error) {
	v := &Verifier{now: now}
	if err := v.Replace(keys); err != nil {
		return nil, err
	}
	return v, nil
}

// Replace uses other keys from now on. Passports that a removed key signed before are accepted until their end. After an error the
// present keys stay.
func (v *Verifier) Replace(keys []ed25519.PublicKey) error {
	v.replacing.Lock()
	defer v.replacing.Unlock()
	next, err := newKeyring(keys)
	if err != nil {
		return err
	}
	if present := v.ring.Load(); present != nil {
		next.retire(present, v.now())
	}
	v.ring.Store(next)
	return nil
}

// Verify returns what the passport says when its signature, its issuer, its
// life and its audience are right. Every error wraps ErrInvalid. It is ErrClock
// when all is right but the time. The claims are shared with other callers: do
// not change them.
func (v *Verifier) Verify(token, audience string) (*Claims, error) {
	if token == "" || len(token) > maxToken {
		return nil, fmt.Errorf("%w: %d bytes long", ErrInvalid, len(token))
	}
	var buffer [1024]byte // usual tokens fit
	sum := sha256.Sum256(append(buffer[:0], token...))
	ring := v.ring.Load()
	claims, ok := ring.cache.Get(sum)
	if !ok {
		var err error
		if claims, err = v.parse(ring, token); err != nil {
			return nil, err
		}
		ring.cache.Add(sum, claims)
	}
	if claims.Audience != audience {
		return nil, fmt.Errorf("%w: it is for %q, not for %q", ErrInvalid, claims.Audience, audience)
	}
	if v.Ended(claims) {
		ring.cache.Remove(sum)
		return nil, fmt.Errorf("%w: it ended at %s, and it is %s here", ErrClock, stamp(claims.ExpireTime), stamp(v.now()))
	}
	return claims, nil
}

// Ended reports whether a passport has expired since it was verified.
func (v *Verifier) Ended(claims *Claims) bool {
	return !v.now().Before(claims.ExpireTime.Add(endLeeway))
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func (v *Verifier) parse(ring *keyring, token string) (*Claims, error) {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	key, ok := ring.keys[parsed.Headers[0].KeyID]
	if !ok {
		return nil, fmt.Errorf("%w: signed with an unknown key", ErrInvalid)
	}
	var standard jwt.Claims
	var claims Claims
	if err := parsed.Claims(key.public, &standard, &claims); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if err := v.check(&standard, &claims); err != nil {
		return nil, err
	}
	if !key.accepts(standard.IssuedAt.Time()) {
		return nil, fmt.Errorf("%w: signed with a key that was removed before", ErrInvalid)
	}
	claims.Audience = standard.Audience[0]
	claims.ExpireTime = standard.Expiry.Time()
	return &claims, nil
}

func (v *Verifier) check(standard *jwt.Claims, claims *Claims) error {
	switch {
	case standard.Issuer != issuer:
		return fmt.Errorf("%w: issued by %q", ErrInvalid, standard.Issuer)
	case len(standard.Audience) != 1 || standard.Audience[0] == "":
		return fmt.Errorf("%w: it must name exactly one audience", ErrInvalid)
	case standard.Expiry == nil || standard.IssuedAt == nil:
		return fmt.Errorf("%w: it has no beginning or no end", ErrInvalid)
	case claims.UserID == "" || claims.AccountID == "":
		return fmt.Errorf("%w: it names no user or no account", ErrInvalid)
	case standard.Expiry.Time().Sub(standard.IssuedAt.Time()) > MaxLife+time.Second:
		return fmt.Errorf("%w: it lives longer than %s", ErrInvalid, MaxLife)
	case standard.IssuedAt.Time().After(v.now().Add(beginLeeway)):
		return fmt.Errorf("%w: it was issued at %s, and it is %s here", ErrClock, stamp(standard.IssuedAt.Time()), stamp(v.now()))
	}
	return nil
}
