package reconcile

import (
	"context"
	"errors"

	"github.com/trivet-dev/trivet/services/auth/internal/directory"
)

// prove asks Clerk for those whom the store has, until it knows one. With a key of another instance it knows nobody; then
// all of ours would seem to be gone, and all of theirs be taken over, after which the next run would find somebody known.
// So it is asked before anything is written, in every run, as the key may be another one than in the last. Nobody known and
// everybody deleted look alike, and an erasure can't be undone: whoever truly lost all people at once, and every webhook
// about it, must say so.
func (w *walk) prove(ctx context.Context) error {
	for _, kind := range []struct {
		ids   func(ctx context.Context, after string, limit int) ([]string, error)
		knows func(ctx context.Context, ids []string) (bool, error)
	}{
		{w.Store.UserIDs, w.knowsUser},
		{w.Store.OrganizationIDs, w.knowsOrganization}, // for a store that has no people
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
