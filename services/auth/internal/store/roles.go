package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/trivet-dev/trivet/services/auth/internal/directory"
	"github.com/trivet-dev/trivet/services/auth/internal/store/db"
)

// PutRole stores a role and gives its name and permissions to the members, unless the store has a newer state. From an older
// event it keeps the name that the role had then, because late events about members use it. Tokens and passports carry the old
// permissions for at most a minute, so nothing is revoked.
func (w *Writing) PutRole(ctx context.Context, r directory.Role) (bool, error) {
	permissions, err := encode(r.Permissions)
	if err != nil {
		return false, err
	}
	if err := w.takeRoles(ctx); err != nil {
		return false, err
	}
	rows, err := w.q.PutRole(ctx, db.PutRoleParams{
		ID: r.ID, Name: r.Name, Permissions: permissions, UpdateTime: micros(r.UpdateTime), EventTime: eventMicros(r.EventTime),
	})
	if err != nil {
		return false, err
	}
	return rows > 0, w.giveRole(ctx, r)
}

// ReplaceRole stores r, however old its time, if the row is still as it was read.
func (w *Writing) ReplaceRole(ctx context.Context, r, was directory.Role) (bool, error) {
	permissions, err := encode(r.Permissions)
	if err != nil {
		return false, err
	}
	if err := w.takeRoles(ctx); err != nil {
		return false, err
	}
	rows, err := w.q.ReplaceRole(ctx, db.ReplaceRoleParams{
		ID: r.ID, Name: r.Name, Permissions: permissions, UpdateTime: micros(r.UpdateTime), EventTime: eventMicros(r.EventTime),
		Was: micros(was.UpdateTime),
	})
	if err != nil || rows == 0 {
		return false, err
	}
	if err := w.giveRole(ctx, r); err != nil {
		return false, err
	}
	return true, w.q.ForgetLaterRoleNames(ctx, db.ForgetLaterRoleNamesParams{RoleID: r.ID, After: micros(r.UpdateTime)})
}

// giveRole notes the name of r and gives the members the stored state of the role, which may be newer than r.
func (w *Writing) giveRole(ctx context.Context, r directory.Role) error {
	now, err := w.q.GetRole(ctx, r.ID)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // deleted: Clerk deletes only roles without members
	}
	if err != nil {
		return err
	}
	if err := w.q.AddRoleName(ctx, db.AddRoleNameParams{RoleID: r.ID, SinceTime: micros(r.UpdateTime), Name: r.Name}); err != nil {
		return err
	}
	return w.q.GiveRoleToMembers(ctx, db.GiveRoleToMembersParams{
		ID: r.ID, Name: now.Name, Permissions: now.Permissions, UpdateTime: now.UpdateTime,
	})
}

// current returns the present name and encoded permissions of a membership's role. The membership's own permissions count only
// if they are newer than the role; if both have the same time, they agree or the role changed last.
func (w *Writing) current(ctx context.Context, m directory.Membership) (role string, permissions []byte, err error) {
	r, err := w.q.GetRoleNamed(ctx, db.GetRoleNamedParams{Name: m.Role, At: micros(m.UpdateTime)})
	if err == nil && !toTime(r.UpdateTime).Before(m.UpdateTime) {
		return r.Name, r.Permissions, nil
	}
	if err := notFound(err, nil); err != nil {
		return "", nil, err
	}
	permissions, err = encode(m.Permissions)
	return m.Role, permissions, err
}

// DeleteRole leaves a tombstone. Clerk deletes only roles without members.
func (w *Writing) DeleteRole(ctx context.Context, id string, at time.Time) (bool, error) {
	if err := w.takeRoles(ctx); err != nil {
		return false, err
	}
	rows, err := w.q.TombstoneRole(ctx, db.TombstoneRoleParams{ID: id, EmptyList: emptyList, At: micros(at)})
	return rows > 0, err
}

// Roles returns all roles that are not deleted; an instance has few.
func (s *Store) Roles(ctx context.Context) ([]directory.Role, error) {
	rows, err := s.read.ListRoles(ctx)
	if err != nil {
		return nil, err
	}
	return each(rows, func(row db.Role) (directory.Role, error) {
		permissions, err := decode(row.Permissions)
		return directory.Role{
			ID: row.ID, Name: row.Name, Permissions: permissions, UpdateTime: toTime(row.UpdateTime), EventTime: toEventTime(row.EventTime),
		}, err
	})
}
