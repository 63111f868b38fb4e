package authn

import (
	"context"
	"errors"
	"fmt"
	"time"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/services/auth/internal/apikey"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
	"github.com/trivet-dev/trivet/services/auth/internal/jwks"
	"github.com/trivet-dev/trivet/services/auth/internal/session"
)

// session decides about a Clerk session token: first what it proves, then what happened since it was issued.
func (a *Authenticator) session(ctx context.Context, token string) (*Grant, string, error) {
	s, err := a.Sessions.Verify(ctx, token)
	if err != nil {
		verdict, err := refused(err)
		return nil, verdict, err
	}
	org := s.Organization
	if org == nil {
		org = &session.Organization{}
	}
	st, err := a.Directory.Standing(ctx, s.UserID, org.ID, s.ID)
	if err != nil {
		return nil, verdictUnavailable, fmt.Errorf("standing of a session: %w", err)
	}
	if verdict := userVerdict(st); verdict != verdictAccepted {
		return nil, verdict, disabled(verdict)
	}
	if verdict := sessionVerdict(s, org, st); verdict != verdictAccepted {
		return nil, verdict, invalid(refusal(verdict))
	}
	a.learn(ctx, s, org, st)
	return &Grant{Identity: a.identity(s, org, st), ExpireTime: grantExpiry(s.ExpireTime, a.Now())}, verdictAccepted, nil
}

// refused splits "no good" from "could not be found out".
func refused(err error) (verdict string, shown error) {
	if r, ok := errors.AsType[*session.Refusal](err); ok {
		return string(r.Verdict), invalid(err)
	}
	if u, ok := errors.AsType[*jwks.UnavailableError](err); ok {
		return verdictUnavailable, errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE,
			"Sign-in can't be checked right now. Please try again.").After(u.RetryAfter).Cause(err)
	}
	return verdictUnavailable, err
}

// sessionVerdict compares a token with what happened since it was issued. A token made after a change knows of it.
func sessionVerdict(s *session.Session, org *session.Organization, st directory.Standing) string {
	switch {
	case st.SessionRevoked:
		return verdictRevoked
	case org.ID == "":
		return verdictAccepted
	case st.Organization == directory.Deleted:
		return verdictOrganization
	case st.Member == directory.Deleted && !st.MemberDeleted.Before(s.IssueTime):
		return verdictMembership
	}
	return verdictAccepted
}

// learn stores what the token says and the store lacks, and has Clerk asked for the rest. The request goes on without
// waiting for Clerk, and even if the store does not take it.
func (a *Authenticator) learn(ctx context.Context, s *session.Session, org *session.Organization, st directory.Standing) {
	if news(s, org, st) {
		err := a.Directory.Introduce(ctx, directory.Introduction{
			UserID: s.UserID, Email: s.Profile.Email, FirstName: s.Profile.FirstName, LastName: s.Profile.LastName,
			OrganizationID: org.ID, OrganizationSlug: org.Slug, Role: org.Role, Permissions: org.Permissions, At: s.IssueTime,
		})
		if err != nil {
			a.Warn(ctx, "a new user could not be stored; the next request tries again", err)
			return
		}
	}
	if st.User != directory.Synced {
		a.Completer.User(s.UserID)
	}
	if org.ID != "" && st.Organization != directory.Synced {
		a.Completer.Organization(org.ID)
	}
}

func news(s *session.Session, org *session.Organization, st directory.Standing) bool {
	if st.User == directory.Unknown {
		return true
	}
	if org.ID == "" {
		return false
	}
	return st.Organization == directory.Unknown || st.Member != directory.Synced ||
		st.Role != org.Role && st.RoleTime.Before(s.IssueTime)
}

func (a *Authenticator) identity(s *session.Session, org *session.Organization, st directory.Standing) Identity {
	role, permissions := rank(s, org, st)
	id := Identity{
		UserID: s.UserID, SessionID: s.ID, OrganizationID: org.ID, Role: role, Permissions: permissions,
		Scopes: apikey.Scopes(), AccountID: account(s.UserID, org.ID), Email: st.Email,
		Operator: a.operators[s.UserID] && s.Actor == nil,
	}
	if id.Email == "" {
		id.Email = s.Profile.Email
	}
	if s.Actor != nil {
		id.ActorID = s.Actor.UserID
	}
	return id
}

// rank is the token's, unless the store has heard since that it changed: whoever lost a role loses it now, not when the
// token expires.
func rank(s *session.Session, org *session.Organization, st directory.Standing) (role string, permissions []string) {
	switch {
	case org.ID == "":
		return RoleOwner, nil
	case st.Member == directory.Synced && st.Role != org.Role && st.RoleTime.After(s.IssueTime):
		return st.Role, st.Permissions
	default:
		return org.Role, org.Permissions
	}
}

// grantExpiry is at most a minute from now and never beyond the token's own end. Only within the leeway, when the token
// is over by this machine's clock and accepted by Clerk's, the end of the leeway counts.
func grantExpiry(tokenEnd, now time.Time) time.Time {
	if !tokenEnd.After(now) {
		tokenEnd = tokenEnd.Add(session.Leeway)
	}
	if latest := now.Add(MaxLife); tokenEnd.After(latest) {
		return latest
	}
	return tokenEnd
}
