package reconcile

import (
	"context"
	"errors"

	"github.com/trivet-dev/trivet/services/auth/internal/directory"
)

// prove checks that Clerk knows at least one stored user or organization before the run writes anything.
//
// CLERK_SECRET_KEY may belong to another instance, which knows none of the stored objects. Without this check the run would
// delete all of them and import those of the other instance, and the next run would find everything in order. Erasures
// cannot be undone. The key may have changed since the last run, so every run checks.
//
// An instance whose users have all been deleted looks the same. An operator who has lost every user and every webhook about
// them must confirm that.
func (w *walk) prove(ctx context.Context) error {
	for _, kind := range []struct {
		ids   func(ctx context.Context, after string, limit int) ([]string, error)
		knows func(ctx context.Context, ids []string) (bool, error)
	}{
		{w.Store.UserIDs, w.knowsUser},
		{w.Store.OrganizationIDs, w.knowsOrganization}, // for a store without users
	} {
		missed := false
		for after := ""; ; {
			ids, err := kind.ids(ctx, after, byID)
			if err != nil {
				return err
			}
			if len(ids) == 0 {
				break
			}
			if w.proven, err = kind.knows(ctx, ids); err != nil || w.proven {
				return err
			}
			missed, after = true, ids[len(ids)-1]
		}
		if missed {
			return ErrStranger
		}
	}
	return nil // an empty store, of which nothing is removed in this run
}

func (w *walk) knowsUser(ctx context.Context, ids []string) (bool, error) {
	there, err := ask(ctx, w, func() ([]directory.User, error) { return w.Source.UsersByID(ctx, ids) })
	return len(there) > 0, err
}

func (w *walk) knowsOrganization(ctx context.Context, ids []string) (bool, error) {
	for _, id := range ids {
		_, err := ask(ctx, w, func() (directory.Organization, error) { return w.Source.Organization(ctx, id) })
		if !errors.Is(err, directory.ErrNotFound) {
			return err == nil, err
		}
	}
	return false, nil
}
