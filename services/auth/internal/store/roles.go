package store

import (
	"context"
	"time"

	"github.com/trivet-dev/trivet/services/auth/internal/directory"
	"github.com/trivet-dev/trivet/services/auth/internal/store/db"
)

// PutRole stores what Clerk says of a role and gives its permissions to the members, unless the store has newer news.
// Tokens and passports carry the old permissions for a minute at most, so nothing is revoked.
func (w *Writing) PutRole(ctx context.Context, r directory.Role) (bool, error) {
	permissions, err := encode(r.Permissions)
	if err != nil {
		return false, err
	}
	rows, err := w.q.PutRole(ctx, db.PutRoleParams{ID: r.ID, Name: r.Name, Permissions: permissions, UpdateTime: r.UpdateTime})
	if err != nil || rows == 0 {
		return false, err
	}
	return true, w.q.SetPermissionsOfRole(ctx, db.SetPermissionsOfRoleParams{Role: r.Name, Permissions: permissions})
}

// DeleteRole leaves a tombstone. Clerk lets no role go that somebody has.
func (w *Writing) DeleteRole(ctx context.Context, id string, at time.Time) (bool, error) {
	rows, err := w.q.TombstoneRole(ctx, db.TombstoneRoleParams{ID: id, EmptyList: emptyList, At: at})
	return rows > 0, err
}
