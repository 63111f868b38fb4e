package store

import (
	"context"
	"time"

	"github.com/trivet-dev/trivet/platform/paging"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
	"github.com/trivet-dev/trivet/services/auth/internal/revocation"
	"github.com/trivet-dev/trivet/services/auth/internal/store/db"
)

// PutOrganization stores an organization, unless the store has a newer state or a tombstone.
func (w *Writing) PutOrganization(ctx context.Context, o directory.Organization) (bool, error) {
	rows, err := w.q.PutOrganization(ctx, db.PutOrganizationParams{
		ID: o.ID, Name: o.Name, Slug: o.Slug, ImageURL: o.ImageURL, PublicMetadata: object(o.PublicMetadata),
		CreateTime: micros(o.CreateTime), UpdateTime: micros(o.UpdateTime), EventTime: eventMicros(o.EventTime),
	})
	return rows > 0, err
}

// ReplaceOrganization stores o, however old its time, if the row is still as it was read. A tombstone stays.
func (w *Writing) ReplaceOrganization(ctx context.Context, o, was directory.Organization) (bool, error) {
	rows, err := w.q.ReplaceOrganization(ctx, db.ReplaceOrganizationParams{
		ID: o.ID, Name: o.Name, Slug: o.Slug, ImageURL: o.ImageURL, PublicMetadata: object(o.PublicMetadata),
		CreateTime: micros(o.CreateTime), UpdateTime: micros(o.UpdateTime), EventTime: eventMicros(o.EventTime), Was: micros(was.UpdateTime),
	})
	return rows > 0, err
}

// DeleteOrganization leaves a tombstone and ends the memberships. From then on sessions and keys of the organization are
// refused; the revocations empty the caches that would still accept them.
func (w *Writing) DeleteOrganization(ctx context.Context, id string, at time.Time) (bool, error) {
	if err := w.takeOrganization(ctx, id); err != nil {
		return false, err
	}
	rows, err := w.q.TombstoneOrganization(ctx, db.TombstoneOrganizationParams{ID: id, EmptyObject: emptyObject, At: micros(at)})
	if err != nil || rows == 0 {
		return false, err
	}
	members, err := w.q.ListMemberIDs(ctx, id)
	if err != nil {
		return false, err
	}
	err = w.q.TombstoneMembershipsOfOrganization(ctx, db.TombstoneMembershipsOfOrganizationParams{
		OrganizationID: id, EmptyList: emptyList, At: micros(at),
	})
	if err != nil {
		return false, err
	}
	for _, userID := range members {
		if err := w.revoke(ctx, revocation.Revocation{UserID: userID}); err != nil {
			return false, err
		}
	}
	return true, w.q.NoteDeletedOrganization(ctx, id)
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
func (s *Store) Organizations(ctx context.Context, after paging.Cursor, limit int) ([]directory.Organization, error) {
	at, id := newest(after)
	rows, err := s.read.ListOrganizations(ctx, db.ListOrganizationsParams{BeforeTime: micros(at), BeforeID: id, PageSize: int64(limit)})
	if err != nil {
		return nil, err
	}
	return each(rows, organization)
}

func organization(row db.Organization) (directory.Organization, error) {
	return directory.Organization{
		ID: row.ID, Synced: row.Synced, Name: row.Name, Slug: row.Slug, ImageURL: row.ImageURL,
		PublicMetadata: row.PublicMetadata, CreateTime: toTime(row.CreateTime), UpdateTime: toTime(row.UpdateTime), EventTime: toEventTime(row.EventTime),
	}, nil
}
