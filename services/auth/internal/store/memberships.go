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

// PutMembership stores what Clerk says of a membership, unless the store has newer news. A changed role revokes what was
// handed out with the old one.
func (s *Store) PutMembership(ctx context.Context, m directory.Membership) (bool, error) {
	permissions, err := encode(m.Permissions)
	if err != nil {
		return false, err
	}
	var changed, revoked bool
	err = s.write(ctx, m.UserID, func(ctx context.Context, q *db.Queries) error {
		changed, revoked = false, false
		before, err := q.GetMembership(ctx, db.GetMembershipParams{OrganizationID: m.OrganizationID, UserID: m.UserID})
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		rows, err := q.PutMembership(ctx, db.PutMembershipParams{
			OrganizationID: m.OrganizationID, UserID: m.UserID, Role: m.Role, Permissions: permissions,
			CreateTime: m.CreateTime, UpdateTime: m.UpdateTime,
		})
		if err != nil || rows == 0 {
			return err
		}
		changed = true
		if revoked = before.Role != "" && before.Role != m.Role; revoked {
			return s.addRevocation(ctx, q, revocation.Revocation{UserID: m.UserID}, s.now())
		}
		return nil
	})
	return s.done(changed, revoked, err)
}

// DeleteMembership leaves a tombstone and revokes the member's credentials: those of other accounts are simply looked up
// again.
func (s *Store) DeleteMembership(ctx context.Context, organizationID, userID string, at time.Time) (bool, error) {
	var changed bool
	err := s.write(ctx, userID, func(ctx context.Context, q *db.Queries) error {
		changed = false
		rows, err := q.TombstoneMembership(ctx, db.TombstoneMembershipParams{
			OrganizationID: organizationID, UserID: userID, EmptyList: emptyList, At: at,
		})
		if err != nil || rows == 0 {
			return err
		}
		changed = true
		return s.addRevocation(ctx, q, revocation.Revocation{UserID: userID}, s.now())
	})
	return s.done(changed, changed, err)
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
