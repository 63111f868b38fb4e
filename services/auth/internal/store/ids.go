package store

import (
	"context"

	"github.com/trivet-dev/trivet/services/auth/internal/reconcile"
	"github.com/trivet-dev/trivet/services/auth/internal/store/db"
)

var _ reconcile.Store = (*Store)(nil)

// UserIDs returns the ids of users that are not deleted, in order.
func (s *Store) UserIDs(ctx context.Context, after string, limit int) ([]string, error) {
	return s.read.ListUserIDs(ctx, db.ListUserIDsParams{After: after, PageSize: int64(limit)})
}

// OrganizationIDs returns the ids of organizations that are not deleted, in order.
func (s *Store) OrganizationIDs(ctx context.Context, after string, limit int) ([]string, error) {
	return s.read.ListOrganizationIDs(ctx, db.ListOrganizationIDsParams{After: after, PageSize: int64(limit)})
}
