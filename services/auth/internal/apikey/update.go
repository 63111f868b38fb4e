package apikey

import (
	"context"
	"fmt"
	"slices"
	"strings"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// Change is what is to change of a key; nil leaves a field as it is.
type Change struct {
	Name                              *string
	RequestsPerMinute, RequestsPerDay *int32
	TokensPerMinute                   *int32
	ConcurrentStreams                 *int32
}

// apply returns the key with the changes.
func (c Change) apply(k Key) Key {
	if c.Name != nil {
		k.Name = strings.TrimSpace(*c.Name)
	}
	set(&k.RequestsPerMinute, c.RequestsPerMinute)
	set(&k.RequestsPerDay, c.RequestsPerDay)
	set(&k.TokensPerMinute, c.TokensPerMinute)
	set(&k.ConcurrentStreams, c.ConcurrentStreams)
	return k
}

func set(into, value *int32) {
	if value != nil {
		*into = *value
	}
}

// Update changes the name and the limits of a key of the account. Limits of the keys that it made which are above its new ones are
// lowered. Errors: INVALID_ARGUMENT naming the fields, PERMISSION_DENIED, ErrNotFound, ErrEnded, the store's.
func (m *Manager) Update(ctx context.Context, by Maker, id string, change Change) (Key, error) {
	if by.ActorID != "" {
		return Key{}, errs.New(errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED,
			"An impersonated session cannot change API keys: the change would outlive it.")
	}
	var bad faults
	if change.Name != nil {
		validateName(*change.Name, &bad)
	}
	change.apply(Key{}).validate(&bad)
	if err := bad.invalid(); err != nil {
		return Key{}, err
	}
	return m.store.UpdateKey(ctx, by.AccountID, id, by.APIKeyID, func(key, caller []Key) (Key, error) {
		if slices.ContainsFunc(key, m.over) {
			return Key{}, ErrEnded
		}
		if slices.ContainsFunc(caller, m.over) {
			return Key{}, ErrParentEnded
		}
		next := change.apply(key[0])
		if err := next.changedWithin(key[0].Limits, key[1:]); err != nil {
			return Key{}, err
		}
		return next, mayGrant(key[0].Limits, next.Limits, caller)
	})
}

// over reports whether a key no longer works, also when it was revoked by a clock that is ahead.
func (m *Manager) over(k Key) bool { return !k.RevokeTime.IsZero() || m.ended(k) }

// mayGrant refuses limits above those that hold for the calling key, unless they stay as they are. So a key can neither raise its
// own limits nor those of the keys that bind it. No caller is a person, who may set any limit.
func mayGrant(current, next Limits, caller []Key) error {
	bound := tightest(caller)
	var bad faults
	for _, r := range rates() {
		most, n := *r.of(&bound), *r.of(&next)
		if most > 0 && n != *r.of(&current) && (n == 0 || n > most) {
			bad.add(r.field, fmt.Sprintf("must be 1 to %d: the limit that holds for the calling key", most))
		}
	}
	return bad.as(errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, "An API key cannot raise its own limits, or give another key a higher limit than its own.")
}
