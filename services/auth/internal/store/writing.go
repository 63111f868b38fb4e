package store

import (
	"cmp"
	"context"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
	"github.com/trivet-dev/trivet/services/auth/internal/revocation"
	"github.com/trivet-dev/trivet/services/auth/internal/store/db"
)

// Writing writes the directory within a transaction that its caller begins and commits.
type Writing struct {
	store *Store
	tx    database.Tx
	q     *db.Queries
}

var _ directory.Writer = (*Writing)(nil)

// Within returns the writes for a transaction.
func (s *Store) Within(tx database.Tx) *Writing { return &Writing{store: s, tx: tx, q: db.New(tx)} }

// revoke comes last in its transaction: see addRevocation.
func (w *Writing) revoke(ctx context.Context, r revocation.Revocation) error {
	w.tx.AfterCommit(w.store.revoked)
	return w.store.addRevocation(ctx, w.q, r, w.store.now())
}

// RevokeSession makes every cache refuse the session's tokens.
func (w *Writing) RevokeSession(ctx context.Context, id string) error {
	return w.revoke(ctx, revocation.Revocation{SessionID: id})
}

// change runs fn in a transaction of its own; key names what it contends for.
func (s *Store) change(ctx context.Context, key string, fn func(context.Context, *Writing) (bool, error)) (changed bool, err error) {
	err = s.database.Write(ctx, key, func(ctx context.Context, tx database.Tx) (err error) {
		changed, err = fn(ctx, s.Within(tx))
		return err
	})
	return changed && err == nil, err
}

// PutUser runs Writing.PutUser in a transaction of its own.
func (s *Store) PutUser(ctx context.Context, u directory.User) (bool, error) {
	return s.change(ctx, u.ID, func(ctx context.Context, w *Writing) (bool, error) { return w.PutUser(ctx, u) })
}

// DeleteUser runs Writing.DeleteUser in a transaction of its own.
func (s *Store) DeleteUser(ctx context.Context, id string, at time.Time) (bool, error) {
	return s.change(ctx, id, func(ctx context.Context, w *Writing) (bool, error) { return w.DeleteUser(ctx, id, at) })
}

// PutOrganization runs Writing.PutOrganization in a transaction of its own.
func (s *Store) PutOrganization(ctx context.Context, o directory.Organization) (bool, error) {
	return s.change(ctx, o.ID, func(ctx context.Context, w *Writing) (bool, error) { return w.PutOrganization(ctx, o) })
}

// DeleteOrganization runs Writing.DeleteOrganization in a transaction of its own.
func (s *Store) DeleteOrganization(ctx context.Context, id string, at time.Time) (bool, error) {
	return s.change(ctx, id, func(ctx context.Context, w *Writing) (bool, error) { return w.DeleteOrganization(ctx, id, at) })
}

// PutMembership runs Writing.PutMembership in a transaction of its own.
func (s *Store) PutMembership(ctx context.Context, m directory.Membership) (bool, error) {
	return s.change(ctx, m.UserID, func(ctx context.Context, w *Writing) (bool, error) { return w.PutMembership(ctx, m) })
}

// DeleteMembership runs Writing.DeleteMembership in a transaction of its own.
func (s *Store) DeleteMembership(ctx context.Context, organizationID, userID string, at time.Time) (bool, error) {
	return s.change(ctx, userID, func(ctx context.Context, w *Writing) (bool, error) {
		return w.DeleteMembership(ctx, organizationID, userID, at)
	})
}

// EndMembership runs Writing.EndMembership in a transaction of its own.
func (s *Store) EndMembership(ctx context.Context, end directory.MembershipDeleted) (bool, error) {
	return s.change(ctx, cmp.Or(end.UserID, end.ID), func(ctx context.Context, w *Writing) (bool, error) {
		return w.EndMembership(ctx, end)
	})
}

// EndUnlistedMembership runs Writing.EndUnlistedMembership in a transaction of its own.
func (s *Store) EndUnlistedMembership(ctx context.Context, m directory.Membership, heard time.Time) (bool, error) {
	return s.change(ctx, m.UserID, func(ctx context.Context, w *Writing) (bool, error) { return w.EndUnlistedMembership(ctx, m, heard) })
}

// PutListedMembership runs Writing.PutListedMembership in a transaction of its own.
func (s *Store) PutListedMembership(ctx context.Context, m directory.Membership, listedAt time.Time) (bool, error) {
	return s.change(ctx, m.UserID, func(ctx context.Context, w *Writing) (bool, error) {
		return w.PutListedMembership(ctx, m, listedAt)
	})
}

// ReplaceMembership runs Writing.ReplaceMembership in a transaction of its own.
func (s *Store) ReplaceMembership(
	ctx context.Context, m directory.Membership, was directory.MembershipState, listedAt time.Time,
) (bool, error) {
	return s.change(ctx, m.UserID, func(ctx context.Context, w *Writing) (bool, error) {
		return w.ReplaceMembership(ctx, m, was, listedAt)
	})
}

// ReplaceUser runs Writing.ReplaceUser in a transaction of its own.
func (s *Store) ReplaceUser(ctx context.Context, u, was directory.User) (bool, error) {
	return s.change(ctx, u.ID, func(ctx context.Context, w *Writing) (bool, error) { return w.ReplaceUser(ctx, u, was) })
}

// ReplaceOrganization runs Writing.ReplaceOrganization in a transaction of its own.
func (s *Store) ReplaceOrganization(ctx context.Context, o, was directory.Organization) (bool, error) {
	return s.change(ctx, o.ID, func(ctx context.Context, w *Writing) (bool, error) { return w.ReplaceOrganization(ctx, o, was) })
}

// ReplaceRole runs Writing.ReplaceRole in a transaction of its own.
func (s *Store) ReplaceRole(ctx context.Context, r, was directory.Role) (bool, error) {
	return s.change(ctx, r.ID, func(ctx context.Context, w *Writing) (bool, error) { return w.ReplaceRole(ctx, r, was) })
}

// PutRole runs Writing.PutRole in a transaction of its own.
func (s *Store) PutRole(ctx context.Context, r directory.Role) (bool, error) {
	return s.change(ctx, r.ID, func(ctx context.Context, w *Writing) (bool, error) { return w.PutRole(ctx, r) })
}

// DeleteRole runs Writing.DeleteRole in a transaction of its own.
func (s *Store) DeleteRole(ctx context.Context, id string, at time.Time) (bool, error) {
	return s.change(ctx, id, func(ctx context.Context, w *Writing) (bool, error) { return w.DeleteRole(ctx, id, at) })
}

// RevokeSession runs Writing.RevokeSession in a transaction of its own.
func (s *Store) RevokeSession(ctx context.Context, id string) error {
	return s.Revoke(ctx, revocation.Revocation{SessionID: id}, s.now())
}
