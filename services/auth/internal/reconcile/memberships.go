package reconcile

import (
	"context"
	"errors"
	"slices"

	"github.com/trivet-dev/trivet/services/auth/internal/directory"
	"github.com/trivet-dev/trivet/services/auth/internal/page"
)

const kindMemberships = "memberships"

// memberships walks through the organizations, which by now are Clerk's.
func (w *walk) memberships(ctx context.Context) error {
	w.enter(listMemberships)
	counts := w.Counts[kindMemberships]
	for w.Stage == listMemberships {
		ids, err := w.Store.OrganizationIDs(ctx, w.After, byID)
		if err != nil {
			return err
		}
		if len(ids) == 0 {
			break
		}
		for _, id := range ids {
			if err := w.members(ctx, id, &counts); err != nil {
				return err
			}
			w.After = id
			if err := w.step(ctx, kindMemberships, counts, false); err != nil {
				return err
			}
		}
	}
	w.enter(finished)
	return w.step(ctx, kindMemberships, counts, true)
}

// members compares one organization's.
func (w *walk) members(ctx context.Context, organizationID string, counts *Counts) error {
	seen := map[string]bool{}
	for offset := 0; ; {
		list, err := w.listMembers(ctx, organizationID, nil, offset)
		if errors.Is(err, directory.ErrNotFound) {
			return nil // the organization is gone since; its event or the next run removes it
		}
		if err != nil {
			return err
		}
		if err := w.compareMembers(ctx, list, seen, counts); err != nil {
			return err
		}
		if offset += len(list); len(list) < pageSize {
			break
		}
		if err := w.save(ctx); err != nil { // a large organization takes a while
			return err
		}
	}
	if !w.Since.IsZero() {
		return nil
	}
	return w.removeMembers(ctx, organizationID, seen, counts)
}

func (w *walk) listMembers(ctx context.Context, organizationID string, users []string, offset int) ([]directory.Membership, error) {
	return ask(ctx, w, func() ([]directory.Membership, error) {
		return w.Source.Memberships(ctx, organizationID, users, offset, pageSize)
	})
}

func (w *walk) compareMembers(ctx context.Context, list []directory.Membership, seen map[string]bool, counts *Counts) error {
	for _, m := range list {
		seen[m.UserID] = true
		if m.UpdateTime.Before(w.Since) {
			continue
		}
		found, err := w.putMembership(ctx, m)
		if err != nil {
			return failed("membership", m.OrganizationID+":"+m.UserID, err)
		}
		counts.add(found)
	}
	return nil
}

// putMembership writes Clerk's word. What the store has from a token or from a deletion may seem newer and be wrong; when
// it has stood long enough for Clerk's lists to know it, they win.
func (w *walk) putMembership(ctx context.Context, m directory.Membership) (repair, error) {
	was, err := w.Store.MembershipState(ctx, m.OrganizationID, m.UserID)
	unknown := errors.Is(err, directory.ErrNotFound)
	if err != nil && !unknown {
		return same, err
	}
	living := !unknown && was.DeleteTime.IsZero()
	if living && directory.SameMembership(was.Membership, m) && was.UpdateTime.Equal(m.UpdateTime) {
		return same, nil
	}
	changed, err := w.Store.PutMembership(ctx, m)
	if err == nil && !changed && !unknown && w.Now().Sub(was.UpdateTime) > settled {
		changed, err = w.Store.ReplaceMembership(ctx, m, was)
	}
	switch {
	case err != nil || !changed:
		return same, err
	case !living:
		return created, nil
	case directory.SameMembership(was.Membership, m):
		return same, nil
	default:
		return repaired, nil
	}
}

// removeMembers ends what Clerk does not list, after asking once more for those alone.
func (w *walk) removeMembers(ctx context.Context, organizationID string, seen map[string]bool, counts *Counts) error {
	after := page.Cursor{}
	for {
		local, err := w.Store.Memberships(ctx, organizationID, "", after, byID)
		if err != nil || len(local) == 0 {
			return err
		}
		after = page.Cursor{ID: organizationID, Second: local[len(local)-1].UserID}
		local = slices.DeleteFunc(local, func(m directory.Membership) bool { return seen[m.UserID] })
		if len(local) == 0 {
			continue
		}
		var users []string
		for _, m := range local {
			users = append(users, m.UserID)
		}
		there, err := w.listMembers(ctx, organizationID, users, 0)
		if err != nil {
			return err
		}
		if err := w.compareMembers(ctx, there, seen, counts); err != nil {
			return err
		}
		if err := w.endMembers(ctx, local, seen, counts); err != nil {
			return err
		}
	}
}

// endMembers ends each as it was read: what came since stays.
func (w *walk) endMembers(ctx context.Context, local []directory.Membership, seen map[string]bool, counts *Counts) error {
	for _, m := range local {
		if seen[m.UserID] {
			continue
		}
		ended, err := w.Store.DeleteMembership(ctx, m.OrganizationID, m.UserID, m.UpdateTime)
		if err != nil {
			return failed("membership", m.OrganizationID+":"+m.UserID, err)
		}
		if ended {
			counts.add(removed)
		}
	}
	return nil
}
