package reconcile

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/trivet-dev/trivet/platform/paging"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
	"github.com/trivet-dev/trivet/services/auth/internal/session"
)

const kindMemberships = "memberships"

// memberships compares the members of each stored organization. The organizations have been compared before.
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
	if w.full() {
		if err := w.endLost(ctx, &counts); err != nil {
			return err
		}
	}
	w.enter(finished)
	return w.step(ctx, kindMemberships, counts, true)
}

// endLost ends memberships of organizations that no longer exist, which no list of members shows.
func (w *walk) endLost(ctx context.Context, counts *Counts) error {
	for after := (paging.Cursor{}); ; {
		lost, err := w.Store.LostMemberships(ctx, after, w.Begun.Add(-settled), byID)
		if err != nil || len(lost) == 0 {
			return err
		}
		last := lost[len(lost)-1]
		after = paging.Cursor{ID: last.OrganizationID, Second: last.UserID}
		for _, m := range lost {
			over, err := w.over(ctx, m, counts)
			if err != nil {
				return err
			}
			if !over {
				continue
			}
			if err := w.endMembers(ctx, []directory.Membership{m}, nil, counts); err != nil {
				return err
			}
		}
	}
}

// over reports whether the user or the organization of a membership is gone. Clerk is asked for an organization that was never known:
// the list of organizations may have missed it.
func (w *walk) over(ctx context.Context, m directory.Membership, counts *Counts) (bool, error) {
	st, err := w.Store.Standing(ctx, m.UserID, m.OrganizationID, "")
	if err != nil || st.User == directory.Deleted || st.Organization != directory.Unknown {
		return st.User == directory.Deleted || st.Organization == directory.Deleted, err
	}
	if m.OrganizationID == w.missing {
		return true, nil
	}
	o, err := ask(ctx, w, func() (directory.Organization, error) { return w.Source.Organization(ctx, m.OrganizationID) })
	switch {
	case errors.Is(err, directory.ErrNotFound):
		w.missing = m.OrganizationID
		return true, nil
	case errors.Is(err, directory.ErrNoOrganizations): // they may be turned on again
		return false, nil
	case err != nil:
		return false, err
	}
	if _, err := w.putOrganization(ctx, o); err != nil {
		return false, failed("organization", o.ID, err)
	}
	return false, w.members(ctx, o.ID, counts)
}

// members compares the members of one organization.
func (w *walk) members(ctx context.Context, organizationID string, counts *Counts) error {
	seen := map[string]bool{}
	for offset := 0; ; {
		listedAt := w.Now()
		list, err := w.listMembers(ctx, organizationID, nil, offset)
		if goneMeanwhile(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := w.compareMembers(ctx, list, listedAt, seen, counts); err != nil {
			return err
		}
		if offset += len(list); len(list) < pageSize {
			break
		}
	}
	if !w.full() {
		return nil
	}
	return w.removeMembers(ctx, organizationID, seen, counts)
}

// goneMeanwhile reports whether the organization was deleted since it was compared, or all were turned off. Its event or the next run removes
// the organization.
func goneMeanwhile(err error) bool {
	return errors.Is(err, directory.ErrNotFound) || errors.Is(err, directory.ErrNoOrganizations)
}

func (w *walk) listMembers(ctx context.Context, organizationID string, users []string, offset int) ([]directory.Membership, error) {
	return ask(ctx, w, func() ([]directory.Membership, error) {
		return w.Source.Memberships(ctx, organizationID, users, offset, pageSize)
	})
}

func (w *walk) compareMembers(
	ctx context.Context, list []directory.Membership, listedAt time.Time, seen map[string]bool, counts *Counts,
) error {
	for _, m := range list {
		seen[m.UserID] = true
		if m.UpdateTime.Before(w.Since) {
			continue
		}
		if err := w.holder.Keep(ctx); err != nil {
			return err
		}
		found, err := w.putMembership(ctx, m, listedAt.Add(-settled)) // lists may be somewhat behind
		if err != nil {
			return failed("membership", m.OrganizationID+":"+m.UserID, err)
		}
		counts.add(found)
	}
	return nil
}

// putMembership stores a membership as Clerk listed it. A stored state from a token or a deletion may seem newer and be wrong:
// once it is old enough to appear in Clerk's lists, the list wins.
func (w *walk) putMembership(ctx context.Context, m directory.Membership, listedAt time.Time) (repair, error) {
	was, err := w.Store.MembershipState(ctx, m.OrganizationID, m.UserID)
	unknown := errors.Is(err, directory.ErrNotFound)
	if err != nil && !unknown {
		return same, err
	}
	living := !unknown && was.DeleteTime.IsZero()
	if living && directory.SameMembership(was.Membership, m) && was.UpdateTime.Equal(m.UpdateTime) && was.ID == m.ID {
		return same, nil
	}
	changed, err := w.Store.PutListedMembership(ctx, m, listedAt)
	if err == nil && !changed && !unknown && w.stands(was.UpdateTime) {
		changed, err = w.Store.ReplaceMembership(ctx, m, was, listedAt)
	}
	switch {
	case err != nil || !changed:
		return same, err
	case !living:
		return created, nil
	}
	now, err := w.Store.MembershipState(ctx, m.OrganizationID, m.UserID) // not m: the role may have changed since
	if err != nil || directory.SameMembership(was.Membership, now.Membership) {
		return same, err
	}
	return repaired, nil
}

// removeMembers ends what Clerk does not list, after asking once more for those alone.
func (w *walk) removeMembers(ctx context.Context, organizationID string, seen map[string]bool, counts *Counts) error {
	after := paging.Cursor{}
	for {
		local, err := w.Store.Memberships(ctx, organizationID, "", after, byID)
		if err != nil || len(local) == 0 {
			return err
		}
		after = paging.Cursor{ID: organizationID, Second: local[len(local)-1].UserID}
		local = slices.DeleteFunc(local, func(m directory.Membership) bool { return seen[m.UserID] })
		if len(local) == 0 {
			continue
		}
		var users []string
		for _, m := range local {
			users = append(users, m.UserID)
		}
		listedAt := w.Now()
		there, err := w.listMembers(ctx, organizationID, users, 0)
		if goneMeanwhile(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := w.compareMembers(ctx, there, listedAt, seen, counts); err != nil {
			return err
		}
		if err := w.endMembers(ctx, local, seen, counts); err != nil {
			return err
		}
	}
}

// clockAhead is how far Clerk's clock, by which tokens are issued, may be ahead of this machine's.
const clockAhead = session.Leeway

// endMembers ends the memberships as they were read; later changes stay. Clerk has just said that it does not have them.
func (w *walk) endMembers(ctx context.Context, local []directory.Membership, seen map[string]bool, counts *Counts) error {
	heard := w.Now().Add(clockAhead)
	for _, m := range local {
		if seen[m.UserID] {
			continue
		}
		if err := w.holder.Keep(ctx); err != nil {
			return err
		}
		at := heard
		if !w.stands(m.UpdateTime) {
			at = time.Time{} // it may be too new for Clerk's lists
		}
		ended, err := w.Store.EndUnlistedMembership(ctx, m, at)
		if err != nil {
			return failed("membership", m.OrganizationID+":"+m.UserID, err)
		}
		if ended {
			counts.add(removed)
		}
	}
	return nil
}
