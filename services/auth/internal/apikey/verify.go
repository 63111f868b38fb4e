package apikey

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/trivet-dev/trivet/platform/models"
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
	VerdictParent    Verdict = "parent_ended"
)

// Refusal says that a key is not valid.
type Refusal struct{ Verdict Verdict }

// Error returns the verdict.
func (r *Refusal) Error() string { return "API key refused: " + string(r.Verdict) }

// Manager makes, checks and revokes keys.
type Manager struct {
	store   Store
	hasher  *Hasher
	mode    Mode
	uses    *Uses
	models  *models.List
	maxLive int
	now     func() time.Time
}

// Options are a Manager's parts.
type Options struct {
	Store  Store
	Hasher *Hasher
	// Mode is the mode of the keys that it makes and accepts.
	Mode Mode
	// Uses notes when keys are used.
	Uses *Uses
	// Models are those that a key may be limited to.
	Models *models.List
	// MaxLive is how many live keys an account may have.
	MaxLive int
	Now     func() time.Time
}

// NewManager makes a Manager.
func NewManager(o Options) *Manager {
	return &Manager{
		store: o.Store, hasher: o.Hasher, mode: o.Mode, uses: o.Uses, models: o.Models, maxLive: o.MaxLive, now: o.Now,
	}
}

// Verified is a key that works, with the keys that it descends from, its parent first.
type Verified struct {
	Key
	Ancestors []Key
}

// End is when the first of them ends by itself; the zero time when none does.
func (v Verified) End() time.Time {
	end := v.Key.End()
	for _, ancestor := range v.Ancestors {
		if at := ancestor.End(); !at.IsZero() && (end.IsZero() || at.Before(end)) {
			end = at
		}
	}
	return end
}

// Verify returns the key that a secret belongs to. It always asks the store, so that a revocation counts at once. Errors:
// *Refusal, and the store's.
func (m *Manager) Verify(ctx context.Context, secret string) (Verified, error) {
	if v := check(secret, m.mode); v != "" {
		return Verified{}, &Refusal{Verdict: v}
	}
	key, use, err := m.find(ctx, secret)
	if err != nil {
		return Verified{}, err
	}
	switch {
	case !key.RevokeTime.IsZero():
		return Verified{}, &Refusal{Verdict: VerdictRevoked}
	case m.ended(key):
		return Verified{}, &Refusal{Verdict: VerdictExpired}
	}
	verified := Verified{Key: key}
	if verified.Ancestors, err = m.ancestors(ctx, key); err != nil {
		return Verified{}, err
	}
	m.uses.note(key, use)
	return verified, nil
}

func (m *Manager) ended(k Key) bool {
	end := k.End()
	return !end.IsZero() && !m.now().Before(end)
}

// ancestors refuses a key that descends from one that ended. A key that a person made has none, and costs no query.
func (m *Manager) ancestors(ctx context.Context, key Key) ([]Key, error) {
	if key.ParentID == "" {
		return nil, nil
	}
	above, err := m.store.Ancestors(ctx, key.ID)
	if err != nil {
		return nil, err
	}
	if len(above) == 0 || slices.ContainsFunc(above, m.over) {
		return nil, &Refusal{Verdict: VerdictParent}
	}
	return above, nil
}

// find looks under every server secret, newest first.
func (m *Manager) find(ctx context.Context, secret string) (Key, Use, error) {
	hashes := m.hasher.hashes(secret)
	for i, hash := range hashes {
		key, err := m.store.KeyByHash(ctx, hash)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		use := Use{At: m.now()}
		if i > 0 {
			use.Hash = hashes[0]
		}
		return key, use, err
	}
	return Key{}, Use{}, &Refusal{Verdict: VerdictUnknown}
}
