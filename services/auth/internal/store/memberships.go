package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/trivet-dev/trivet/platform/paging"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
	"github.com/trivet-dev/trivet/services/auth/internal/revocation"
	"github.com/trivet-dev/trivet/services/auth/internal/store/db"
)

// endedFor is how long the id of an ended membership is remembered: longer than the inbox may keep an event.
const endedFor = 366 * 24 * time.Hour

// PutMembership stores a membership as an event describes it, unless the store has a newer state, or the user or the
// organization was deleted. A changed role revokes the user's credentials. If the end of this membership has already arrived,
// the late event only tells which user and organization it belonged to.
func (w *Writing) PutMembership(ctx context.Context, m directory.Membership) (bool, error) {
	if over, err := w.membershipIsOver(ctx, m.OrganizationID, m.UserID, m.ID); err != nil || over {
		return false, err
	}
	ended, is, err := w.ended(ctx, m.ID)
	if err != nil {
		return false, err
	}
	if is {
		at := m.UpdateTime
		if ended.EndTime.Valid {
			at = toTime(ended.EndTime.Int64)
		}
		return w.endRow(ctx, directory.MembershipDeleted{
			ID: m.ID, OrganizationID: m.OrganizationID, UserID: m.UserID, CreateTime: m.CreateTime, At: at,
		})
	}
	role, permissions, err := w.current(ctx, m)
	if err != nil {
		return false, err
	}
	return w.putMembership(ctx, m, role, permissions)
}

// PutListedMembership is PutMembership for a membership from Clerk's list. The list tells what the member may do at listedAt,
// however long ago the membership changed. Only a role that changed after listedAt is newer.
func (w *Writing) PutListedMembership(ctx context.Context, m directory.Membership, listedAt time.Time) (bool, error) {
	if over, err := w.listedIsOver(ctx, m, listedAt); err != nil || over {
		return false, err
	}
	role, permissions, err := w.listed(ctx, m, listedAt)
	if err != nil {
		return false, err
	}
	return w.putMembership(ctx, m, role, permissions)
}

func (w *Writing) putMembership(ctx context.Context, m directory.Membership, role string, permissions []byte) (bool, error) {
	before, err := w.q.GetMembership(ctx, db.GetMembershipParams{OrganizationID: m.OrganizationID, UserID: m.UserID})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return false, err
	}
	rows, err := w.q.PutMembership(ctx, db.PutMembershipParams{
		OrganizationID: m.OrganizationID, UserID: m.UserID, ClerkID: m.ID, Role: role, Permissions: permissions,
		CreateTime: micros(m.CreateTime), UpdateTime: micros(m.UpdateTime), EventTime: eventMicros(m.EventTime),
	})
	if err != nil || rows == 0 && m.ID == "" {
		return false, err
	}
	if rows == 0 {
		return false, w.q.IdentifyMembership(ctx, db.IdentifyMembershipParams{
			OrganizationID: m.OrganizationID, UserID: m.UserID, ClerkID: m.ID, CreateTime: micros(m.CreateTime),
		})
	}
	if before.Role != "" && before.Role != role {
		return true, w.revoke(ctx, revocation.Revocation{UserID: m.UserID})
	}
	return true, nil
}

// ended reads the end of the membership with an id, if it is known.
func (w *Writing) ended(ctx context.Context, id string) (db.EndedMembership, bool, error) {
	if id == "" {
		return db.EndedMembership{}, false, nil
	}
	row, err := w.q.GetEndedMembership(ctx, id)
	return row, err == nil, notFound(err, nil)
}

// listedIsOver is membershipIsOver for a membership that Clerk listed. An end that was noted before the listing is wrong, because
// Clerk still has the membership: it is forgotten.
func (w *Writing) listedIsOver(ctx context.Context, m directory.Membership, listedAt time.Time) (bool, error) {
	if over, err := w.membershipIsOver(ctx, m.OrganizationID, m.UserID, m.ID); err != nil || over {
		return over, err
	}
	ended, is, err := w.ended(ctx, m.ID)
	if err != nil || !is {
		return false, err
	}
	if !toTime(ended.NoteTime).Before(listedAt) {
		return true, nil
	}
	return false, w.q.ForgetEndedMembership(ctx, m.ID)
}

// membershipIsOver reports whether the user or the organization was deleted. It locks both, and the membership, until the
// commit.
func (w *Writing) membershipIsOver(ctx context.Context, organizationID, userID, id string) (bool, error) {
	if err := w.holdMembership(ctx, organizationID, userID); err != nil {
		return false, err
	}
	if err := w.takeMembership(ctx, id); err != nil {
		return false, err
	}
	over, err := w.q.MembershipIsOver(ctx, db.MembershipIsOverParams{UserID: userID, OrganizationID: organizationID})
	return over.Bool, err
}

// listed returns role and permissions as Clerk listed them, or those of the role if it changed after the listing. A role from
// the far future does not count as changed: its time is wrong.
func (w *Writing) listed(ctx context.Context, m directory.Membership, listedAt time.Time) (role string, permissions []byte, err error) {
	r, err := w.q.GetRoleNamed(ctx, db.GetRoleNamedParams{Name: m.Role, At: micros(listedAt)})
	if err == nil && toTime(r.UpdateTime).After(listedAt) && toTime(r.UpdateTime).Before(w.store.now().Add(aheadAtMost)) {
		return r.Name, r.Permissions, nil
	}
	if err := notFound(err, nil); err != nil {
		return "", nil, err
	}
	permissions, err = encode(m.Permissions)
	return m.Role, permissions, err
}

// aheadAtMost is how far Clerk's clock may be ahead of ours.
const aheadAtMost = time.Minute

// DeleteMembership leaves a tombstone and revokes the member's credentials; credentials for other accounts are simply looked
// up again. The zero time means that the time of the end is not known: it ends the membership that is stored. If none is
// stored, the tombstone keeps a late event from creating it.
func (w *Writing) DeleteMembership(ctx context.Context, organizationID, userID string, at time.Time) (bool, error) {
	return w.endRow(ctx, directory.MembershipDeleted{OrganizationID: organizationID, UserID: userID, At: at})
}

// EndMembership ends the membership with an id, and remembers the id: a late event does not bring the membership back, and its
// end does not end another membership of the same user. When the event has only the id and no row has this id, the event of
// its beginning may come later.
func (w *Writing) EndMembership(ctx context.Context, end directory.MembershipDeleted) (bool, error) {
	if err := w.takeMembership(ctx, end.ID); err != nil {
		return false, err
	}
	err := w.q.AddEndedMembership(ctx, db.AddEndedMembershipParams{
		ClerkID: end.ID, EndTime: nullMicros(end.At), NoteTime: micros(w.store.now()),
	})
	if err != nil {
		return false, err
	}
	if end.OrganizationID == "" || end.UserID == "" {
		row, err := w.q.FindMembership(ctx, end.ID)
		if err != nil {
			return false, notFound(err, nil)
		}
		end.OrganizationID, end.UserID = row.OrganizationID, row.UserID
	}
	return w.endRow(ctx, end)
}

// EndUnlistedMembership ends a membership that Clerk did not have at heard, if it is still as it was read. A token from before heard does
// not bring it back, and neither does a late event with its id. The zero time says that Clerk's lists may not have the membership yet:
// then each later token and event brings it back.
func (w *Writing) EndUnlistedMembership(ctx context.Context, m directory.Membership, heard time.Time) (bool, error) {
	if err := w.takeMembership(ctx, m.ID); err != nil {
		return false, err
	}
	ended, err := w.tombstone(ctx, directory.MembershipDeleted{OrganizationID: m.OrganizationID, UserID: m.UserID}, m.UpdateTime)
	if err != nil || !ended {
		return false, err
	}
	if !heard.IsZero() {
		if err := w.fixEnd(ctx, m, heard); err != nil {
			return false, err
		}
	}
	return true, w.revoke(ctx, revocation.Revocation{UserID: m.UserID})
}

func (w *Writing) fixEnd(ctx context.Context, m directory.Membership, at time.Time) error {
	if m.ID != "" {
		err := w.q.AddEndedMembership(ctx, db.AddEndedMembershipParams{ClerkID: m.ID, EndTime: nullMicros(at), NoteTime: micros(w.store.now())})
		if err != nil {
			return err
		}
	}
	return w.q.MoveEndOfMembership(ctx, db.MoveEndOfMembershipParams{
		OrganizationID: m.OrganizationID, UserID: m.UserID, ClerkID: m.ID, At: micros(at),
	})
}

// endRow ends the stored membership of a user in an organization, if it is the one that ended.
func (w *Writing) endRow(ctx context.Context, end directory.MembershipDeleted) (bool, error) {
	at := end.At
	if at.IsZero() {
		row, err := w.q.GetMembershipRow(ctx, db.GetMembershipRowParams{OrganizationID: end.OrganizationID, UserID: end.UserID})
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return false, err
		}
		if at = toTime(row.UpdateTime); err != nil {
			at = w.store.now().UTC().Truncate(time.Microsecond)
		}
	}
	if ended, err := w.tombstone(ctx, end, at); err != nil {
		return false, err
	} else if ended {
		return true, w.revoke(ctx, revocation.Revocation{UserID: end.UserID})
	}
	// The stored state is newer, or the membership has ended already, perhaps for the second time.
	err := w.q.MoveEndOfMembership(ctx, db.MoveEndOfMembershipParams{
		OrganizationID: end.OrganizationID, UserID: end.UserID, ClerkID: end.ID, At: micros(at),
	})
	if err != nil || end.ID == "" {
		return false, err
	}
	return false, w.q.DisownMembership(ctx, db.DisownMembershipParams{
		OrganizationID: end.OrganizationID, UserID: end.UserID, ClerkID: end.ID,
	})
}

// tombstone ends the stored membership and revokes nothing.
func (w *Writing) tombstone(ctx context.Context, end directory.MembershipDeleted, at time.Time) (ended bool, err error) {
	created, joined := end.CreateTime, end.CreateTime
	if created.IsZero() {
		created, joined = at, time.Unix(0, 0).UTC() // it began before every other
	}
	rows, err := w.q.TombstoneMembership(ctx, db.TombstoneMembershipParams{
		OrganizationID: end.OrganizationID, UserID: end.UserID, ClerkID: end.ID, EmptyList: emptyList,
		CreateTime: micros(created), At: micros(at), Joined: micros(joined),
	})
	return rows > 0, err
}

// ReplaceMembership stores m as Clerk listed it, however old its time, if the row is still as it was read and neither the user
// nor the organization was deleted.
func (w *Writing) ReplaceMembership(
	ctx context.Context, m directory.Membership, was directory.MembershipState, listedAt time.Time,
) (bool, error) {
	if over, err := w.listedIsOver(ctx, m, listedAt); err != nil || over {
		return false, err
	}
	role, permissions, err := w.listed(ctx, m, listedAt)
	if err != nil {
		return false, err
	}
	rows, err := w.q.ReplaceMembership(ctx, db.ReplaceMembershipParams{
		OrganizationID: m.OrganizationID, UserID: m.UserID, ClerkID: m.ID, Role: role, Permissions: permissions,
		CreateTime: micros(m.CreateTime), UpdateTime: micros(m.UpdateTime), EventTime: eventMicros(m.EventTime), Was: micros(was.UpdateTime),
	})
	if err != nil || rows == 0 || was.Role == role {
		return rows > 0, err
	}
	return true, w.revoke(ctx, revocation.Revocation{UserID: m.UserID})
}

// LostMemberships returns memberships whose organization or user was deleted, or whose organization was never known although
// the membership is older than unknownBefore.
func (s *Store) LostMemberships(
	ctx context.Context, after paging.Cursor, unknownBefore time.Time, limit int,
) ([]directory.Membership, error) {
	rows, err := s.read.ListLostMemberships(ctx, db.ListLostMembershipsParams{
		Before: micros(unknownBefore), AfterOrganization: after.ID, AfterUser: after.Second, PageSize: int64(limit),
	})
	if err != nil {
		return nil, err
	}
	return each(rows, membership)
}

// MembershipState reads a membership with its tombstone, if there is one.
func (s *Store) MembershipState(ctx context.Context, organizationID, userID string) (directory.MembershipState, error) {
	row, err := s.read.GetMembershipRow(ctx, db.GetMembershipRowParams{OrganizationID: organizationID, UserID: userID})
	if err != nil {
		return directory.MembershipState{}, notFound(err, directory.ErrNotFound)
	}
	m, err := membership(row)
	return directory.MembershipState{Membership: m, DeleteTime: toTimeOrZero(row.DeleteTime)}, err
}

// Memberships pages by organization and user.
func (s *Store) Memberships(
	ctx context.Context, organizationID, userID string, after paging.Cursor, limit int,
) ([]directory.Membership, error) {
	rows, err := s.memberships(ctx, organizationID, userID, after, int64(limit))
	if err != nil {
		return nil, err
	}
	return each(rows, membership)
}

func (s *Store) memberships(
	ctx context.Context, organizationID, userID string, after paging.Cursor, limit int64,
) ([]db.Membership, error) {
	switch {
	case organizationID != "" && userID != "":
		if after != (paging.Cursor{}) {
			return nil, nil
		}
		row, err := s.read.GetMembership(ctx, db.GetMembershipParams{OrganizationID: organizationID, UserID: userID})
		if err != nil {
			return nil, notFound(err, nil)
		}
		return []db.Membership{row}, nil
	case organizationID != "":
		return s.read.ListMembershipsOfOrganization(ctx, db.ListMembershipsOfOrganizationParams{
			OrganizationID: organizationID, AfterUser: after.Second, PageSize: limit,
		})
	case userID != "":
		return s.read.ListMembershipsOfUser(ctx, db.ListMembershipsOfUserParams{
			UserID: userID, AfterOrganization: after.ID, PageSize: limit,
		})
	default:
		return s.read.ListMemberships(ctx, db.ListMembershipsParams{
			AfterOrganization: after.ID, AfterUser: after.Second, PageSize: limit,
		})
	}
}

func membership(row db.Membership) (directory.Membership, error) {
	permissions, err := decode(row.Permissions)
	return directory.Membership{
		ID: row.ClerkID, OrganizationID: row.OrganizationID, UserID: row.UserID, Role: row.Role, Permissions: permissions,
		CreateTime: toTime(row.CreateTime), UpdateTime: toTime(row.UpdateTime), EventTime: toEventTime(row.EventTime),
	}, err
}
