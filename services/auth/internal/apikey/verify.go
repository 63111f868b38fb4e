package apikey

import (
	"context"
	"errors"
	"time"
)

// Verdict is why a key was refused, for logs and metrics.
type Verdict string

// The verdicts on an API key.
const (
	VerdictMalformed Verdict = "malformed"
	VerdictChecksum  Verdict = "checksum"
	VerdictMode      Verdict = "mode"
	VerdictUnknown   Verdict = "unknown_key"
	VerdictRevoked   Verdict = "revoked"
	VerdictExpired   Verdict = "expired"
)

// Refusal says that a key is no good.
type Refusal struct{ Verdict Verdict }

// Error returns the verdict.
func (r *Refusal) Error() string { return "API key refused: " + string(r.Verdict) }

// Keeper makes, checks and revokes keys.
type Keeper struct {
	store  Store
	hasher *Hasher
	mode   Mode
	uses   *Uses
	now    func() time.Time
}

// NewKeeper makes keys of a mode; uses gets told of the good ones.
func NewKeeper(store Store, hasher *Hasher, mode Mode, uses *Uses, now func() time.Time) *Keeper {
	return &Keeper{store: store, hasher: hasher, mode: mode, uses: uses, now: now}
}

// Verify returns the key that a secret belongs to. It always asks the store, so that a revocation counts at once. Errors:
// *Refusal, and the store's.
func (k *Keeper) Verify(ctx context.Context, secret string) (Key, error) {
	if v := check(secret, k.mode); v != "" {
		return Key{}, &Refusal{Verdict: v}
	}
	key, use, err := k.find(ctx, secret)
	if err != nil {
		return Key{}, err
	}
	switch {
	case !key.RevokeTime.IsZero():
		return Key{}, &Refusal{Verdict: VerdictRevoked}
	case !key.ExpireTime.IsZero() && !k.now().Before(key.ExpireTime):
		return Key{}, &Refusal{Verdict: VerdictExpired}
	}
	k.uses.note(key, use)
	return key, nil
}

// find looks under every server secret, newest first.
func (k *Keeper) find(ctx context.Context, secret string) (Key, Use, error) {
	hashes := k.hasher.hashes(secret)
	for i, hash := range hashes {
		key, err := k.store.KeyByHash(ctx, hash)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		use := Use{At: k.now()}
		if i > 0 {
			use.Hash = hashes[0]
		}
		return key, use, err
	}
	return Key{}, Use{}, &Refusal{Verdict: VerdictUnknown}
}
