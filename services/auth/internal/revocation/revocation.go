// Package revocation tells every replica, within a moment, whose credentials stopped being good.
package revocation

import (
	"context"
	"time"
)

// Revocation names credentials; exactly one of the ids is set.
type Revocation struct {
	// Revision orders revocations as they were committed.
	Revision int64
	// UserID means every credential of the user.
	UserID string
	// SessionID means every token of the session.
	SessionID string
	// APIKeyID means this key.
	APIKeyID string
}

// Store keeps revocations for as long as a credential may outlive one.
type Store interface {
	// Revision is that of the last revocation; 0 before the first.
	Revision(ctx context.Context) (int64, error)
	// Since returns at most limit revocations after a revision, in their order.
	Since(ctx context.Context, revision int64, limit int) ([]Revocation, error)
	// Revoke adds one; its Revision is ignored.
	Revoke(ctx context.Context, r Revocation, at time.Time) error
	// Prune forgets those from before a time.
	Prune(ctx context.Context, before time.Time) error
}
