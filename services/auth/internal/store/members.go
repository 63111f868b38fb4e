package store

import (
	"context"

	"github.com/trivet-dev/trivet/services/auth/internal/members"
	"github.com/trivet-dev/trivet/services/auth/internal/store/db"
)

var _ members.Store = (*Store)(nil)

// changesAtOnce bounds the changes that one report covers. Those beyond it lead to another report.
const changesAtOnce = 1000

// ChangedOrganizations lists organizations after one, in order, whose changes billing does not know.
func (s *Store) ChangedOrganizations(ctx context.Context, after string, limit int) ([]string, error) {
	return s.read.ListChangedOrganizations(ctx, db.ListChangedOrganizationsParams{After: after, PageSize: int64(limit)})
}

// ReportMembers counts the members of an organization. The order counts: a change that commits after its changes were read is not among them, and leads
// to another report; and whoever takes a later number counts later.
func (s *Store) ReportMembers(ctx context.Context, organizationID string) (r members.Report, err error) {
	r.OrganizationID = organizationID
	if r.Changes, err = s.read.ListMemberChanges(ctx, db.ListMemberChangesParams{OrganizationID: organizationID, PageSize: changesAtOnce}); err != nil {
		return r, err
	}
	err = s.write(ctx, organizationID, func(ctx context.Context, q *db.Queries) (err error) {
		r.Sequence, err = q.NextMemberReport(ctx, organizationID)
		return err
	})
	if err != nil {
		return r, err
	}
	if r.Members, err = s.read.CountMembers(ctx, organizationID); err != nil {
		return r, err
	}
	deleted, err := s.read.CountDeletedOrganizations(ctx, organizationID)
	r.Deleted = deleted > 0
	return r, err
}

// EndReport forgets the changes that a report covers, and notes whether billing knows that the organization was deleted.
func (s *Store) EndReport(ctx context.Context, r members.Report) error {
	return s.write(ctx, r.OrganizationID, func(ctx context.Context, q *db.Queries) error {
		err := q.EndMemberReport(ctx, db.EndMemberReportParams{OrganizationID: r.OrganizationID, Sequence: r.Sequence, Deleted: r.Deleted})
		if err != nil {
			return err
		}
		for _, id := range r.Changes {
			if err := q.DropMemberChange(ctx, db.DropMemberChangeParams{OrganizationID: r.OrganizationID, ChangeID: id}); err != nil {
				return err
			}
		}
		return nil
	})
}

// NoteDeletions has the deletions of at most limit organizations reported that billing does not know, after one, in order. It returns them.
func (s *Store) NoteDeletions(ctx context.Context, after string, limit int) ([]string, error) {
	ids, err := s.read.ListUnreportedDeletions(ctx, db.ListUnreportedDeletionsParams{After: after, PageSize: int64(limit)})
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	return ids, s.write(ctx, ids[0], func(ctx context.Context, q *db.Queries) error {
		for _, id := range ids {
			if err := q.NoteDeletedOrganization(ctx, id); err != nil {
				return err
			}
		}
		return nil
	})
}
