package store

import (
	"context"
	"time"

	"github.com/trivet-dev/trivet/services/auth/internal/directory"
	"github.com/trivet-dev/trivet/services/auth/internal/page"
	"github.com/trivet-dev/trivet/services/auth/internal/revocation"
	"github.com/trivet-dev/trivet/services/auth/internal/store/db"
)

// PutOrganization stores what Clerk says of an organization, unless the store has newer news or a tombstone.
func (s *Store) PutOrganization(ctx context.Context, o directory.Organization) (bool, error) {
	var rows int64
	err := s.write(ctx, o.ID, func(ctx context.Context, q *db.Queries) (err error) {
		rows, err = q.PutOrganization(ctx, db.PutOrganizationParams{
			ID: o.ID, Name: o.Name, Slug: o.Slug, ImageUrl: o.ImageURL, PublicMetadata: object(o.PublicMetadata),
			CreateTime: o.CreateTime, UpdateTime: o.UpdateTime,
		})
		return err
	})
	return s.done(rows > 0, false, err)
}

// DeleteOrganization leaves a tombstone and ends the memberships. Sessions and keys of the organization are refused from
// then on, because their standing is looked up; the revocations empty the caches.
func (s *Store) DeleteOrganization(ctx context.Context, id string, at time.Time) (bool, error) {
	var changed bool
	err := s.write(ctx, id, func(ctx context.Context, q *db.Queries) error {
		changed = false
		rows, err := q.TombstoneOrganization(ctx, db.TombstoneOrganizationParams{ID: id, EmptyObject: emptyObject, At: at})
		if err != nil || rows == 0 {
			return err
		}
		changed = true
		return s.endMemberships(ctx, q, id, at)
	})
	return s.done(changed, changed, err)
}

func (s *Store) endMemberships(ctx context.Context, q *db.Queries, organizationID string, at time.Time) error {
	members, err := q.ListMemberIDs(ctx, organizationID)
	if err != nil {
		return err
	}
	for _, userID := range members {
		if err := s.addRevocation(ctx, q, revocation.Revocation{UserID: userID}, s.now()); err != nil {
			return err
		}
	}
	return q.TombstoneMembershipsOfOrganization(ctx, db.TombstoneMembershipsOfOrganizationParams{
		OrganizationID: organizationID, EmptyList: emptyList, At: at,
	})
}

// Organization returns one organization.
func (s *Store) Organization(ctx context.Context, id string) (directory.Organization, error) {
	row, err := s.read.GetOrganization(ctx, id)
	if err != nil {
		return directory.Organization{}, notFound(err, directory.ErrNotFound)
	}
	return organization(row)
}

// Organizations pages through the organizations, newest first.
func (s *Store) Organizations(ctx context.Context, after page.Cursor, limit int) ([]directory.Organization, error) {
	at, id := newest(after)
	rows, err := s.read.ListOrganizations(ctx, db.ListOrganizationsParams{BeforeTime: at, BeforeID: id, PageSize: int64(limit)})
	if err != nil {
		return nil, err
	}
	return each(rows, organization)
}

func organization(row db.Organization) (directory.Organization, error) {
	return directory.Organization{
		ID: row.ID, Synced: row.Synced, Name: row.Name, Slug: row.Slug, ImageURL: row.ImageUrl,
		PublicMetadata: row.PublicMetadata, CreateTime: row.CreateTime, UpdateTime: row.UpdateTime,
	}, nil
}
