package store

import (
	"context"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/services/auth/internal/store/db"
)

// A transaction that writes a membership first reads the organization, the user and the role. Another transaction must not
// change these three before the commit, even if they have no rows yet. Locks of rows cannot do that, so these are locks by
// name (advisory locks). Writers of memberships share the locks; who deletes a user or an organization, or changes a role,
// takes them alone. SQLite has one writer and needs no locks.

func (w *Writing) postgres() bool { return w.store.database.Dialect() == database.Postgres }

func (w *Writing) holdMembership(ctx context.Context, organizationID, userID string) error {
	if !w.postgres() {
		return nil
	}
	return w.q.LockMembershipShared(ctx, db.LockMembershipSharedParams{OrganizationID: organizationID, UserID: userID})
}

// takeMembership locks a membership by Clerk's id: the event of its end may come before its row exists, and may not name the
// user and the organization. It is the last lock that a transaction takes, so that all take them in one order.
func (w *Writing) takeMembership(ctx context.Context, id string) error {
	if !w.postgres() || id == "" {
		return nil
	}
	return w.q.LockMembershipID(ctx, id)
}

func (w *Writing) takeUser(ctx context.Context, id string) error {
	if !w.postgres() {
		return nil
	}
	return w.q.LockUser(ctx, id)
}

func (w *Writing) takeOrganization(ctx context.Context, id string) error {
	if !w.postgres() {
		return nil
	}
	return w.q.LockOrganization(ctx, id)
}

func (w *Writing) takeRoles(ctx context.Context) error {
	if !w.postgres() {
		return nil
	}
	return w.q.LockRoles(ctx)
}
