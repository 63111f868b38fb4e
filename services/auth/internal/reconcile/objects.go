package reconcile

import (
	"context"
	"errors"
	"hash/maphash"
	"slices"
	"time"

	"github.com/trivet-dev/trivet/services/auth/internal/directory"
)

// kind describes how one kind of object is compared.
type kind[T any] struct {
	name         string
	list, remove stage
	// page reads a page of Clerk's list, and put compares one object.
	page    func(ctx context.Context, offset int) ([]T, error)
	id      func(T) string
	changed func(T) time.Time
	put     func(context.Context, T) (repair, error)
	// local reads stored ids, and gone removes the objects that Clerk no longer has.
	local func(ctx context.Context, after string) ([]string, error)
	gone  func(ctx context.Context, ids []string, counts *Counts) error
}

func (w *walk) users(ctx context.Context) error {
	return objects(ctx, w, kind[directory.User]{
		name: "users", list: listUsers, remove: removeUsers,
		page: func(ctx context.Context, offset int) ([]directory.User, error) {
			return w.Source.Users(ctx, offset, pageSize)
		},
		id:      func(u directory.User) string { return u.ID },
		changed: func(u directory.User) time.Time { return u.UpdateTime },
		put:     w.putUser,
		local:   func(ctx context.Context, after string) ([]string, error) { return w.Store.UserIDs(ctx, after, byID) },
		gone:    w.removeUsers,
	})
}

func (w *walk) organizations(ctx context.Context) error {
	return objects(ctx, w, kind[directory.Organization]{
		name: "organizations", list: listOrganizations, remove: removeOrganizations,
		page: func(ctx context.Context, offset int) ([]directory.Organization, error) {
			return w.Source.Organizations(ctx, offset, pageSize)
		},
		id:      func(o directory.Organization) string { return o.ID },
		changed: func(o directory.Organization) time.Time { return o.UpdateTime },
		put:     w.putOrganization,
		local: func(ctx context.Context, after string) ([]string, error) {
			return w.Store.OrganizationIDs(ctx, after, byID)
		},
		gone: w.removeOrganizations,
	})
}

// objects goes through Clerk's list and then, in a full run, through the stored ids that Clerk did not list.
func objects[T any](ctx context.Context, w *walk, k kind[T]) error {
	w.enter(k.list)
	if w.Stage > k.remove {
		return nil
	}
	w.seen = map[uint64]struct{}{}
	seed := maphash.MakeSeed()
	counts := w.Counts[k.name]
	for w.Stage == k.list {
		list, err := ask(ctx, w, func() ([]T, error) { return k.page(ctx, w.Offset) })
		if errors.Is(err, directory.ErrNoOrganizations) { // organizations may be turned on again, so nothing is removed
			w.enter(k.remove + 1)
			return w.step(ctx, k.name, counts, true)
		}
		if err != nil {
			return err
		}
		if err := compare(ctx, w, k, list, seed, &counts); err != nil {
			return err
		}
		w.Offset += len(list)
		if len(list) < pageSize { // if this was not the end, the rest is asked for by id
			w.enter(k.remove)
		}
		if err := w.step(ctx, k.name, counts, false); err != nil {
			return err
		}
	}
	for w.full() && w.proven { // only a full list shows what Clerk no longer has
		ids, err := k.local(ctx, w.After)
		if err != nil {
			return err
		}
		if len(ids) == 0 {
			break
		}
		last := ids[len(ids)-1]
		ids = slices.DeleteFunc(ids, func(id string) bool { _, ok := w.seen[maphash.String(seed, id)]; return ok })
		if len(ids) > 0 {
			if err := k.gone(ctx, ids, &counts); err != nil {
				return err
			}
		}
		w.After = last
		if len(ids) == 0 {
			continue
		}
		if err := w.step(ctx, k.name, counts, false); err != nil {
			return err
		}
	}
	w.enter(k.remove + 1)
	return w.step(ctx, k.name, counts, true)
}

func compare[T any](ctx context.Context, w *walk, k kind[T], list []T, seed maphash.Seed, counts *Counts) error {
	for _, object := range list {
		w.seen[maphash.String(seed, k.id(object))] = struct{}{}
		if k.changed(object).Before(w.Since) {
			continue
		}
		if err := w.holder.Keep(ctx); err != nil {
			return err
		}
		found, err := k.put(ctx, object)
		if err != nil {
			return failed(k.name, k.id(object), err)
		}
		counts.add(found)
	}
	return nil
}

// putUser stores a user as Clerk listed it, also over a stored state that seems newer but is old enough to be in Clerk's list.
func (w *walk) putUser(ctx context.Context, u directory.User) (repair, error) {
	local, err := w.Store.User(ctx, u.ID)
	if err == nil && directory.SameUser(local, u) && local.UpdateTime.Equal(u.UpdateTime) {
		return same, nil
	}
	return verdict(err, func() bool { return directory.SameUser(local, u) }, func() (bool, error) {
		changed, failure := w.Store.PutUser(ctx, u)
		if failure == nil && !changed && err == nil && w.stands(local.UpdateTime) {
			return w.Store.ReplaceUser(ctx, u, local)
		}
		return changed, failure
	})
}

func (w *walk) putOrganization(ctx context.Context, o directory.Organization) (repair, error) {
	local, err := w.Store.Organization(ctx, o.ID)
	if err == nil && directory.SameOrganization(local, o) && local.UpdateTime.Equal(o.UpdateTime) {
		return same, nil
	}
	return verdict(err, func() bool { return directory.SameOrganization(local, o) }, func() (bool, error) {
		changed, failure := w.Store.PutOrganization(ctx, o)
		if failure == nil && !changed && err == nil && w.stands(local.UpdateTime) {
			return w.Store.ReplaceOrganization(ctx, o, local)
		}
		return changed, failure
	})
}

// verdict stores an object and returns what that repaired. Objects that differ in their time only are stored, so that an older
// event cannot overwrite them, and count as the same. When the store refuses, it has a newer state or a tombstone.
func verdict(lookup error, equal func() bool, put func() (bool, error)) (repair, error) {
	unknown := errors.Is(lookup, directory.ErrNotFound)
	if lookup != nil && !unknown {
		return same, lookup
	}
	changed, err := put()
	switch {
	case err != nil || !changed:
		return same, err
	case unknown:
		return created, nil
	case equal():
		return same, nil
	default:
		return repaired, nil
	}
}

// removeUsers asks Clerk twice before it removes a user, for all at once and then for each, because erasing cannot be undone.
func (w *walk) removeUsers(ctx context.Context, ids []string, counts *Counts) error {
	there, err := ask(ctx, w, func() ([]directory.User, error) { return w.Source.UsersByID(ctx, ids) })
	if err != nil {
		return err
	}
	for _, u := range there { // created while the list was read, or moved within it
		if err := compare(ctx, w, kind[directory.User]{
			name: "users", id: func(u directory.User) string { return u.ID }, changed: func(u directory.User) time.Time { return u.UpdateTime },
			put: w.putUser,
		}, []directory.User{u}, maphash.MakeSeed(), counts); err != nil {
			return err
		}
	}
	for _, id := range ids {
		if slices.ContainsFunc(there, func(u directory.User) bool { return u.ID == id }) {
			continue
		}
		_, err := ask(ctx, w, func() (directory.User, error) { return w.Source.User(ctx, id) })
		if !errors.Is(err, directory.ErrNotFound) {
			if err != nil {
				return err
			}
			continue
		}
		if err := w.Remove(ctx, id); err != nil {
			return failed("user", id, err)
		}
		counts.add(removed)
	}
	return nil
}

func (w *walk) removeOrganizations(ctx context.Context, ids []string, counts *Counts) error {
	for _, id := range ids {
		o, err := ask(ctx, w, func() (directory.Organization, error) { return w.Source.Organization(ctx, id) })
		found := removed
		switch {
		case err == nil:
			found, err = w.putOrganization(ctx, o)
		case errors.Is(err, directory.ErrNotFound):
			_, err = w.Store.DeleteOrganization(ctx, id, w.Now())
		}
		if err != nil {
			return failed("organization", id, err)
		}
		counts.add(found)
	}
	return nil
}

// deletions has billing know each deleted organization: versions before the one that reports deletions told it of none. It needs no answer of Clerk.
func (w *walk) deletions(ctx context.Context) error {
	for after := ""; w.full(); {
		if err := w.holder.Keep(ctx); err != nil {
			return err
		}
		noted, err := w.Store.NoteDeletions(ctx, after, byID)
		if err != nil || len(noted) < byID {
			return err
		}
		after = noted[len(noted)-1]
	}
	return nil
}
