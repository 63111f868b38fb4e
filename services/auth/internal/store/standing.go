package store

import (
	"context"
	"database/sql"
	"strings"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
	"github.com/trivet-dev/trivet/services/auth/internal/revocation"
	"github.com/trivet-dev/trivet/services/auth/internal/store/db"
)

// Standing looks up a session's parts.
func (s *Store) Standing(ctx context.Context, userID, organizationID, sessionID string) (directory.Standing, error) {
	row, err := s.read.GetStanding(ctx, db.GetStandingParams{
		UserID: userID, OrganizationID: organizationID, SessionID: sessionID,
	})
	if err != nil {
		return directory.Standing{}, err
	}
	st := directory.Standing{
		User:         knowledge(row.UserSynced, row.UserDeleted),
		Organization: knowledge(row.OrganizationSynced, row.OrganizationDeleted),
		Member:       knowledge(sql.NullBool{Bool: true, Valid: row.Role.Valid}, row.MemberDeleted),
		Banned:       row.Banned.Bool, Deprovisioned: row.Deprovisioned.Bool, Verified: row.Verified.Bool, Email: row.PrimaryEmail.String,
		Role: row.Role.String, RoleTime: toTimeOrZero(row.MemberUpdated), MemberDeleted: toTimeOrZero(row.MemberDeleted),
		SessionRevoked: row.SessionRevoked,
	}
	if row.Role.Valid {
		st.Permissions, err = decode(row.Permissions)
	}
	return st, err
}

// locked reports whether a lock still holds.
func (s *Store) locked(locked bool, expire sql.NullInt64) bool {
	return locked && (!expire.Valid || s.now().Before(toTime(expire.Int64)))
}

func knowledge(synced sql.NullBool, deleted sql.NullInt64) directory.Knowledge {
	switch {
	case !synced.Valid:
		return directory.Unknown
	case deleted.Valid:
		return directory.Deleted
	case synced.Bool:
		return directory.Synced
	default:
		return directory.Introduced
	}
}

// Introduce adds what a token says and the store does not know.
func (s *Store) Introduce(ctx context.Context, in directory.Introduction) error {
	emails, err := encode(addresses(in.Email))
	if err != nil {
		return err
	}
	return s.database.Write(ctx, in.UserID, func(ctx context.Context, tx database.Tx) error {
		w := s.Within(tx)
		if err := w.introduceUser(ctx, in, emails); err != nil || in.OrganizationID == "" {
			return err
		}
		return w.introduceMember(ctx, in)
	})
}

func (w *Writing) introduceUser(ctx context.Context, in directory.Introduction, emails []byte) error {
	if err := w.holdMembership(ctx, in.OrganizationID, in.UserID); err != nil { // also without an organization: all transactions take locks in one order
		return err
	}
	err := w.q.IntroduceUser(ctx, db.IntroduceUserParams{
		ID: in.UserID, PrimaryEmail: in.Email, Emails: emails, FirstName: in.FirstName, LastName: in.LastName,
		PublicMetadata: emptyObject, CreateTime: micros(in.At), UpdateTime: micros(in.At),
	})
	if err != nil || in.Email == "" {
		return err
	}
	return introduceEmail(ctx, w.q, in)
}

// introduceMember does nothing when the user or the organization was deleted meanwhile. Another role than the stored one revokes the
// user's credentials: the event about it finds the role stored, and revokes nothing.
//
// A token from before a change of the role has the name and the permissions that the role had: those of the role are stored.
func (w *Writing) introduceMember(ctx context.Context, in directory.Introduction) error {
	err := w.q.IntroduceOrganization(ctx, db.IntroduceOrganizationParams{
		ID: in.OrganizationID, Slug: in.OrganizationSlug, PublicMetadata: emptyObject, CreateTime: micros(in.At), UpdateTime: micros(in.At),
	})
	if err != nil {
		return err
	}
	over, err := w.q.MembershipIsOver(ctx, db.MembershipIsOverParams{UserID: in.UserID, OrganizationID: in.OrganizationID})
	if err != nil || over.Bool {
		return err
	}
	role, permissions, err := w.current(ctx, directory.Membership{Role: in.Role, Permissions: in.Permissions, UpdateTime: in.At})
	if err != nil {
		return err
	}
	before, err := w.q.GetMembership(ctx, db.GetMembershipParams{OrganizationID: in.OrganizationID, UserID: in.UserID})
	if err := notFound(err, nil); err != nil {
		return err
	}
	rows, err := w.q.NoteMembership(ctx, db.NoteMembershipParams{
		OrganizationID: in.OrganizationID, UserID: in.UserID, Role: role, Permissions: permissions,
		CreateTime: micros(in.At), UpdateTime: micros(in.At),
	})
	if err != nil || rows == 0 || before.Role == "" || before.Role == role {
		return err
	}
	return w.revoke(ctx, revocation.Revocation{UserID: in.UserID})
}

// introduceEmail makes a new user findable. The addresses of a user who is synced come from Clerk.
func introduceEmail(ctx context.Context, q *db.Queries, in directory.Introduction) error {
	u, err := q.GetUser(ctx, in.UserID)
	if err != nil || u.Synced {
		return notFound(err, nil)
	}
	return q.AddEmail(ctx, db.AddEmailParams{Address: fold(in.Email), UserID: in.UserID})
}

// fold makes addresses comparable, whatever their case.
func fold(address string) string { return strings.ToLower(strings.TrimSpace(address)) }

func addresses(email string) []string {
	if email == "" {
		return nil
	}
	return []string{email}
}
