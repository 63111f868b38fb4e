package store

import (
	"context"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/services/auth/internal/store/db"
)

// Whoever writes a membership has looked at the organization, the person and the role first. Until the commit they must
// stay as they were seen, in other transactions too, and be they unknown yet: hence locks by name, not of rows. Writers of
// memberships share them.

func (w *Writing) postgres() bool { return w.store.database.Dialect() == database.Postgres }

func (w *Writing) holdMembership(ctx context.Context, organizationID, userID string) error {
	if !w.postgres() {
		return nil
	}
	return w.q.LockMembershipShared(ctx, db.LockMembershipSharedParams{OrganizationID: organizationID, UserID: userID})
}

// takeMembership is for whoever writes of one by Clerk's id: its end may come before its row, and without the two that it
// is of. It is the last of the locks by name.
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
