package reconcile

import (
	"context"
	"errors"
	"log/slog"
	"maps"

	"github.com/trivet-dev/trivet/services/auth/internal/directory"
)

const kindRoles = "roles"

// roles are compared before memberships, because a late event about a member takes the permissions from the role.
func (w *walk) roles(ctx context.Context) error {
	w.enter(listRoles)
	if w.Stage > listRoles {
		return nil
	}
	var counts Counts
	listed, offered, err := w.listRoles(ctx)
	if err != nil {
		return err
	}
	if offered {
		if err := w.compareRoles(ctx, listed, &counts); err != nil {
			return err
		}
	}
	w.enter(listMemberships)
	return w.step(ctx, kindRoles, counts, true)
}

// listRoles reads all roles. An instance that does not list its roles is compared without them; the memberships carry the
// permissions.
func (w *walk) listRoles(ctx context.Context) (roles []directory.Role, offered bool, err error) {
	for {
		list, err := ask(ctx, w, func() ([]directory.Role, error) { return w.Source.Roles(ctx, len(roles), pageSize) })
		if errors.Is(err, directory.ErrNoOrganizations) {
			return nil, false, nil
		}
		if errors.Is(err, directory.ErrKeyRefused) || errors.Is(err, directory.ErrNotFound) {
			w.Logger.WarnContext(ctx, "Clerk does not list this instance's roles, so they are not compared", slog.Any("error", err))
			return nil, false, nil
		}
		if err != nil {
			return nil, false, err
		}
		if roles = append(roles, list...); len(list) < pageSize {
			return roles, true, nil
		}
	}
}

func (w *walk) compareRoles(ctx context.Context, listed []directory.Role, counts *Counts) error {
	local, err := w.Store.Roles(ctx)
	if err != nil {
		return err
	}
	rest := map[string]directory.Role{}
	for _, r := range local {
		rest[r.ID] = r
	}
	for _, r := range listed {
		was, known := rest[r.ID]
		delete(rest, r.ID)
		if r.UpdateTime.Before(w.Since) {
			continue
		}
		found, err := w.putRole(ctx, r, was, known)
		if err != nil {
			return failed("role", r.ID, err)
		}
		counts.add(found)
	}
	maps.DeleteFunc(rest, func(_ string, r directory.Role) bool { return !w.stands(r.UpdateTime) }) // made while the list was read
	if !w.full() || !w.proven || len(rest) == 0 {
		return nil
	}
	return w.removeRoles(ctx, rest, counts)
}

// removeRoles asks Clerk once more for its roles before it removes any, because a role that was removed stays removed.
func (w *walk) removeRoles(ctx context.Context, rest map[string]directory.Role, counts *Counts) error {
	again, offered, err := w.listRoles(ctx)
	if err != nil || !offered {
		return err
	}
	for _, r := range again {
		delete(rest, r.ID)
	}
	for id := range rest {
		if err := w.holder.Keep(ctx); err != nil {
			return err
		}
		if _, err := w.Store.DeleteRole(ctx, id, w.Now()); err != nil {
			return failed("role", id, err)
		}
		counts.add(removed)
	}
	return nil
}

func (w *walk) putRole(ctx context.Context, r, was directory.Role, known bool) (repair, error) {
	if known && directory.SameRole(was, r) && was.UpdateTime.Equal(r.UpdateTime) {
		return same, nil
	}
	var lookup error
	if !known {
		lookup = directory.ErrNotFound
	}
	return verdict(lookup, func() bool { return directory.SameRole(was, r) }, func() (bool, error) {
		changed, err := w.Store.PutRole(ctx, r)
		if err == nil && !changed && known && w.stands(was.UpdateTime) {
			return w.Store.ReplaceRole(ctx, r, was)
		}
		return changed, err
	})
}
