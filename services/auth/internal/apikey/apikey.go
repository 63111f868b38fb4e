package apikey

import (
	"context"
	"errors"
	"time"

	"github.com/trivet-dev/trivet/platform/paging"
)

// Errors of the store and the manager.
var (
	// ErrNotFound says that the account has no such key.
	ErrNotFound = errors.New("apikey: not found")
	// ErrTooMany says that the account has as many live keys as it may.
	ErrTooMany = errors.New("apikey: too many live keys")
	// ErrParentEnded says that a key is to be made by one that is revoked or expired, or that descends from such a key.
	ErrParentEnded = errors.New("apikey: the key that makes the key no longer works")
	// ErrEnded says that a key can't be changed or taken over because it is revoked or expired.
	ErrEnded = errors.New("apikey: revoked or expired")
)

// Key describes a key. Its secret is not stored anywhere.
type Key struct {
	// ID is "key_…".
	ID string
	// Prefix is the visible beginning of the secret, such as "tvt_live_3fKb".
	Prefix string
	// Name is for people.
	Name string
	// AccountID is who pays; OrganizationID is empty for a personal account; UserID is who made the key or took it over.
	AccountID, OrganizationID, UserID string
	// ParentID is the API key that made this one; empty when a person did.
	ParentID string
	// Role is the maker's when the key was made.
	Role string
	// Scopes are what the key may do; Models those that it may use, all of the plan's when empty.
	Scopes, Models []string
	// SpendLimitNanoUSD is the most that the key may spend in a SpendPeriod, in nano-dollars; 0 means no limit of its own.
	SpendLimitNanoUSD int64
	// SpendPeriod is in whole seconds; 0 means the account's billing period.
	SpendPeriod time.Duration
	// Limits are its own rate limits; those of the keys that made it apply, too.
	Limits
	// CreateTime is set; the zero time stands for never in the others.
	CreateTime, ExpireTime, LastUseTime, RevokeTime time.Time
}

// End is when the key stopped working or will stop by itself; the zero time when it has no end. Descendants end with it.
func (k Key) End() time.Time {
	if !k.RevokeTime.IsZero() && (k.ExpireTime.IsZero() || k.RevokeTime.Before(k.ExpireTime)) {
		return k.RevokeTime
	}
	return k.ExpireTime
}

// Use is what is written lazily of a key that was used.
type Use struct {
	// At is the last time.
	At time.Time
	// Hash replaces an older server secret's; nil if it replaces none.
	Hash []byte
}

// Store keeps keys.
type Store interface {
	// AddKey stores a key with its hash, unless the account has maxLive live keys. Errors: ErrTooMany, ErrParentEnded, that of
	// Limits.Within.
	AddKey(ctx context.Context, k Key, hash []byte, maxLive int) error
	// AddKeyOnce is AddKey for a request with an idempotency key, which it stores in the same transaction. An earlier key that was
	// made under it is refused with the error of Once.CheckRepeated.
	AddKeyOnce(ctx context.Context, k Key, hash []byte, maxLive int, once Once) error
	// KeyByHash returns ErrNotFound for a hash that no key has; revoked and expired keys are found.
	KeyByHash(ctx context.Context, hash []byte) (Key, error)
	// KeyByID returns a key of the account.
	KeyByID(ctx context.Context, accountID, id string) (Key, error)
	// Keys pages through an account's keys, newest first, revoked ones included.
	Keys(ctx context.Context, accountID string, after paging.Cursor, limit int) ([]Key, error)
	// Ancestors are the keys that a key descends from, its parent first, revoked and expired ones included.
	Ancestors(ctx context.Context, id string) ([]Key, error)
	// RevokeKey revokes a key of the account and every key that descends from it; keys that are revoked keep their time.
	// Errors: ErrNotFound.
	RevokeKey(ctx context.Context, accountID, id string, at time.Time) error
	// TakeOverKey gives a key of the account, and every key that descends from it, another owner. Errors: ErrNotFound, and ErrEnded
	// when the key is revoked.
	TakeOverKey(ctx context.Context, accountID, id, userID, role string) (Key, error)
	// UpdateKey changes the name and the limits of a key of the account to those of the key that decide returns, and lowers higher
	// limits of the keys that descend from it. decide runs while no key of the account can change, and gets the key and the calling
	// key, each with the keys that it descends from; the second is empty when callerID is. Errors: ErrNotFound, those of decide.
	UpdateKey(ctx context.Context, accountID, id, callerID string, decide func(key, caller []Key) (Key, error)) (Key, error)
	// NoteUses writes last uses, by key id.
	NoteUses(ctx context.Context, uses map[string]Use) error
}
