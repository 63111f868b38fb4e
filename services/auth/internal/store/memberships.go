package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/trivet-dev/trivet/services/auth/internal/directory"
	"github.com/trivet-dev/trivet/services/auth/internal/page"
	"github.com/trivet-dev/trivet/services/auth/internal/revocation"
	"github.com/trivet-dev/trivet/services/auth/internal/store/db"
)

// PutMembership stores what Clerk says of a membership, unless the store has newer news, or the person or the
// organization is gone. A changed role revokes what was handed out with the old one.
func (w *Writing) PutMembership(ctx context.Context, m directory.Membership) (bool, error) {
	return w.putMembership(ctx, m, func() (string, []byte, error) { return w.current(ctx, m) })
}

// PutListedMembership is PutMembership for one from Clerk's own list, which tells what the member may do now, however long
// ago the membership changed. Only a role that the store knows to have changed after listedAt may be newer.
func (w *Writing) PutListedMembership(ctx context.Context, m directory.Membership, listedAt time.Time) (bool, error) {
	return w.putMembership(ctx, m, func() (string, []byte, error) { return w.listed(ctx, m, listedAt) })
}

func (w *Writing) putMembership(ctx context.Context, m directory.Membership, told func() (string, []byte, error)) (bool, error) {
	if over, err := w.membershipIsOver(ctx, m.OrganizationID, m.UserID); err != nil || over {
		return false, err
	}
	role, permissions, err := told()
	if err != nil {
		return false, err
	}
	before, err := w.q.GetMembership(ctx, db.GetMembershipParams{OrganizationID: m.OrganizationID, UserID: m.UserID})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return false, err
	}
	rows, err := w.q.PutMembership(ctx, db.PutMembershipParams{
		OrganizationID: m.OrganizationID, UserID: m.UserID, Role: role, Permissions: permissions,
		CreateTime: m.CreateTime, UpdateTime: m.UpdateTime,
	})
	if err != nil || rows == 0 {
		return false, err
	}
	if before.Role != "" && before.Role != role {
		return true, w.revoke(ctx, revocation.Revocation{UserID: m.UserID})
	}
	return true, nil
}

// membershipIsOver tells whether one of the two is gone, and keeps both as they are until the commit.
func (w *Writing) membershipIsOver(ctx context.Context, organizationID, userID string) (bool, error) {
	if err := w.holdMembership(ctx, organizationID, userID); err != nil {
		return false, err
	}
	over, err := w.q.MembershipIsOver(ctx, db.MembershipIsOverParams{UserID: userID, OrganizationID: organizationID})
	return over.Bool, err
}

// listed is m as Clerk listed it, unless its role changed since. A role of the far future is none that did.
func (w *Writing) listed(ctx context.Context, m directory.Membership, listedAt time.Time) (role string, permissions []byte, err error) {
	r, err := w.q.GetRoleNamed(ctx, db.GetRoleNamedParams{Name: m.Role, At: listedAt})
	if err == nil && r.UpdateTime.After(listedAt) && r.UpdateTime.Before(w.store.now().Add(aheadAtMost)) {
		return r.Name, r.Permissions, nil
	}
	if err := notFound(err, nil); err != nil {
		return "", nil, err
	}
	permissions, err = encode(m.Permissions)
	return m.Role, permissions, err
}

// aheadAtMost is how far Clerk's clock may be ahead of ours.
const aheadAtMost = time.Minute

// DeleteMembership leaves a tombstone and revokes the member's credentials: those of other accounts are simply looked up
// again. The zero time stands for an end that does not say when: it ends the membership that is known, and keeps away one
// that is not, as its beginning may come late.
func (w *Writing) DeleteMembership(ctx context.Context, organizationID, userID string, at time.Time) (bool, error) {
	if at.IsZero() {
		row, err := w.q.GetMembershipRow(ctx, db.GetMembershipRowParams{OrganizationID: organizationID, UserID: userID})
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return false, err
		}
		if at = row.UpdateTime; err != nil {
			at = w.store.now().UTC().Truncate(time.Microsecond)
		}
	}
	rows, err := w.q.TombstoneMembership(ctx, db.TombstoneMembershipParams{
		OrganizationID: organizationID, UserID: userID, EmptyList: emptyList, At: at,
	})
	if err != nil {
		return false, err
	}
	if rows == 0 { // newer news, or over already: then perhaps for the second time
		return false, w.q.MoveEndOfMembership(ctx, db.MoveEndOfMembershipParams{
			OrganizationID: organizationID, UserID: userID, At: at,
		})
	}
	return true, w.revoke(ctx, revocation.Revocation{UserID: userID})
}

// ReplaceMembership stores m as Clerk listed it, however old its news, if the row is still as it was read and nobody of
// the two is gone.
func (w *Writing) ReplaceMembership(
	ctx context.Context, m directory.Membership, was directory.MembershipState, listedAt time.Time,
) (bool, error) {
	if over, err := w.membershipIsOver(ctx, m.OrganizationID, m.UserID); err != nil || over {
		return false, err
	}
	role, permissions, err := w.listed(ctx, m, listedAt)
	if err != nil {
		return false, err
	}
	rows, err := w.q.ReplaceMembership(ctx, db.ReplaceMembershipParams{
		OrganizationID: m.OrganizationID, UserID: m.UserID, Role: role, Permissions: permissions,
		CreateTime: m.CreateTime, UpdateTime: m.UpdateTime, Was: was.UpdateTime,
	})
	if err != nil || rows == 0 || was.Role == role {
		return rows > 0, err
	}
	return true, w.revoke(ctx, revocation.Revocation{UserID: m.UserID})
}

// LostMemberships are those whose organization or person is gone, or whose organization was never known although the
// membership is from before unknownBefore.
func (s *Store) LostMemberships(
	ctx context.Context, after page.Cursor, unknownBefore time.Time, limit int,
) ([]directory.Membership, error) {
	rows, err := s.read.ListLostMemberships(ctx, db.ListLostMembershipsParams{
		Before: unknownBefore, AfterOrganization: after.ID, AfterUser: after.Second, PageSize: int64(limit),
	})
	if err != nil {
		return nil, err
	}
	return each(rows, membership)
}

// MembershipState reads a membership with its tombstone, if there is one.
func (s *Store) MembershipState(ctx context.Context, organizationID, userID string) (directory.MembershipState, error) {
	row, err := s.read.GetMembershipRow(ctx, db.GetMembershipRowParams{OrganizationID: organizationID, UserID: userID})
	if err != nil {
		return directory.MembershipState{}, notFound(err, directory.ErrNotFound)
	}
	m, err := membership(row)
	return directory.MembershipState{Membership: m, DeleteTime: row.DeleteTime.Time}, err
}

// Memberships pages by organization and user.
func (s *Store) Memberships(
	ctx context.Context, organizationID, userID string, after page.Cursor, limit int,
) ([]directory.Membership, error) {
	rows, err := s.memberships(ctx, organizationID, userID, after, int64(limit))
	if err != nil {
		return nil, err
	}
	return each(rows, membership)
}

func (s *Store) memberships(
	ctx context.Context, organizationID, userID string, after page.Cursor, limit int64,
) ([]db.Membership, error) {
	switch {
	case organizationID != "" && userID != "":
		if after != (page.Cursor{}) {
			return nil, nil
		}
		row, err := s.read.GetMembership(ctx, db.GetMembershipParams{OrganizationID: organizationID, UserID: userID})
		if err != nil {
			return nil, notFound(err, nil)
		}
		return []db.Membership{row}, nil
	case organizationID != "":
		return s.read.ListMembershipsOfOrganization(ctx, db.ListMembershipsOfOrganizationParams{
			OrganizationID: organizationID, AfterUser: after.Second, PageSize: limit,
		})
	case userID != "":
		return s.read.ListMembershipsOfUser(ctx, db.ListMembershipsOfUserParams{
			UserID: userID, AfterOrganization: after.ID, PageSize: limit,
		})
	default:
		return s.read.ListMemberships(ctx, db.ListMembershipsParams{
			AfterOrganization: after.ID, AfterUser: after.Second, PageSize: limit,
		})
	}
}

func membership(row db.Membership) (directory.Membership, error) {
	permissions, err := decode(row.Permissions)
	return directory.Membership{
		OrganizationID: row.OrganizationID, UserID: row.UserID, Role: row.Role, Permissions: permissions,
		CreateTime: row.CreateTime, UpdateTime: row.UpdateTime,
	}, err
}
