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
	over, err := w.q.MembershipIsOver(ctx, db.MembershipIsOverParams{UserID: m.UserID, OrganizationID: m.OrganizationID})
	if err != nil || over.Bool {
		return false, err
	}
	permissions, err := w.permissions(ctx, m)
	if err != nil {
		return false, err
	}
	before, err := w.q.GetMembership(ctx, db.GetMembershipParams{OrganizationID: m.OrganizationID, UserID: m.UserID})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return false, err
	}
	rows, err := w.q.PutMembership(ctx, db.PutMembershipParams{
		OrganizationID: m.OrganizationID, UserID: m.UserID, Role: m.Role, Permissions: permissions,
		CreateTime: m.CreateTime, UpdateTime: m.UpdateTime,
	})
	if err != nil || rows == 0 {
		return false, err
	}
	if before.Role != "" && before.Role != m.Role {
		return true, w.revoke(ctx, revocation.Revocation{UserID: m.UserID})
	}
	return true, nil
}

// permissions are the membership's own, or those of its role when the role changed since.
func (w *Writing) permissions(ctx context.Context, m directory.Membership) ([]byte, error) {
	role, err := w.q.GetRoleByName(ctx, m.Role)
	if err == nil && role.UpdateTime.After(m.UpdateTime) {
		return role.Permissions, nil
	}
	if err := notFound(err, nil); err != nil {
		return nil, err
	}
	return encode(m.Permissions)
}

// DeleteMembership leaves a tombstone and revokes the member's credentials: those of other accounts are simply looked up
// again.
func (w *Writing) DeleteMembership(ctx context.Context, organizationID, userID string, at time.Time) (bool, error) {
	rows, err := w.q.TombstoneMembership(ctx, db.TombstoneMembershipParams{
		OrganizationID: organizationID, UserID: userID, EmptyList: emptyList, At: at,
	})
	if err != nil || rows == 0 {
		return false, err
	}
	return true, w.revoke(ctx, revocation.Revocation{UserID: userID})
}

// ReplaceMembership stores m, however old its news, if the row is still as it was read and nobody of the two is gone.
func (w *Writing) ReplaceMembership(ctx context.Context, m directory.Membership, was directory.MembershipState) (bool, error) {
	over, err := w.q.MembershipIsOver(ctx, db.MembershipIsOverParams{UserID: m.UserID, OrganizationID: m.OrganizationID})
	if err != nil || over.Bool {
		return false, err
	}
	permissions, err := encode(m.Permissions)
	if err != nil {
		return false, err
	}
	rows, err := w.q.ReplaceMembership(ctx, db.ReplaceMembershipParams{
		OrganizationID: m.OrganizationID, UserID: m.UserID, Role: m.Role, Permissions: permissions,
		CreateTime: m.CreateTime, UpdateTime: m.UpdateTime, Was: was.UpdateTime,
	})
	if err != nil || rows == 0 || was.Role == m.Role {
		return rows > 0, err
	}
	return true, w.revoke(ctx, revocation.Revocation{UserID: m.UserID})
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
