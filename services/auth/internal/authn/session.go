package authn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/requestid"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
	"github.com/trivet-dev/trivet/services/auth/internal/jwks"
	"github.com/trivet-dev/trivet/services/auth/internal/session"
)

// session decides about a Clerk session token: first about the token itself, then about what happened since it was issued.
func (a *Authenticator) session(ctx context.Context, token string) (*Grant, string, error) {
	s, err := a.Sessions.Verify(ctx, token)
	if err != nil {
		verdict, err := a.refused(ctx, err)
		return nil, verdict, err
	}
	org := s.Organization
	if org == nil {
		org = &session.Organization{}
	}
	st, err := a.Directory.Standing(ctx, s.UserID, org.ID, s.ID)
	if err != nil {
		return nil, verdictUnavailable, fmt.Errorf("look up the standing of a session: %w", err)
	}
	if verdict := userVerdict(st); verdict != verdictAccepted {
		return nil, verdict, disabled(verdict)
	}
	if verdict := sessionVerdict(s, org, st); verdict != verdictAccepted {
		return nil, verdict, invalid(refusal(verdict))
	}
	a.learn(ctx, s, org, st)
	return &Grant{Claims: a.claims(s, org, st), ExpireTime: grantExpiry(s.ExpireTime, a.Now())}, verdictAccepted, nil
}

// refused distinguishes a token that is not valid from one that could not be verified.
func (a *Authenticator) refused(ctx context.Context, err error) (verdict string, shown error) {
	if r, ok := errors.AsType[*session.Refusal](err); ok {
		return string(r.Verdict), a.explained(ctx, r)
	}
	if u, ok := errors.AsType[*jwks.UnavailableError](err); ok {
		return verdictUnavailable, errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE,
			"Sign-in cannot be verified right now. Please try again.").After(u.RetryAfter).Cause(err)
	}
	return verdictUnavailable, err
}

// header is the field that details about a credential name.
const header = "Authorization"

// explained adds what the owner of a token can do about it. It says nothing that the token itself does not show.
func (a *Authenticator) explained(ctx context.Context, r *session.Refusal) error {
	e := errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN, "Invalid token").Cause(r)
	switch {
	case r.Verdict == session.VerdictExpired:
		a.Logger.InfoContext(ctx, "a session token was refused because it has expired", slog.String("request_id", requestid.From(ctx)))
		return e.Field(header, "The session token has expired. Get a new token and try again.")
	case r.Verdict == session.VerdictMissingClaim && r.Detail == "sid":
		return e.Field(header, `The token has no session ("sid"), so it comes from a JWT template. Use Clerk's session token, or add the `+
			`claim "aud" to the JWT template, with the value of the setting CLERK_TEMPLATE_AUDIENCE.`)
	}
	return e
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

// learn stores what the token says and the store lacks, and has Clerk asked for the rest. The request continues without
// waiting for Clerk, and even if the store does not take it.
func (a *Authenticator) learn(ctx context.Context, s *session.Session, org *session.Organization, st directory.Standing) {
	if news(s, org, st) {
		err := a.Directory.Introduce(ctx, directory.Introduction{
			UserID: s.UserID, Email: s.Profile.Email, FirstName: s.Profile.FirstName, LastName: s.Profile.LastName,
			OrganizationID: org.ID, OrganizationSlug: org.Slug, Role: org.Role, Permissions: org.Permissions, At: s.IssueTime,
		})
		if err != nil {
			a.Logger.WarnContext(ctx, "storing a new user failed; the next request tries again", slog.Any("error", err))
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

func (a *Authenticator) claims(s *session.Session, org *session.Organization, st directory.Standing) passport.Claims {
	role, permissions := rank(s, org, st)
	c := passport.Claims{
		UserID: s.UserID, SessionID: s.ID, OrganizationID: org.ID, Role: role, Admin: a.admin(org.ID, role),
		Permissions: permissions, AccountID: account(s.UserID, org.ID), Email: st.Email, Verified: st.Verified,
		Operator: a.operators[s.UserID] && s.Actor == nil && !s.ActorUnknown,
	}
	if c.Email == "" {
		c.Email = s.Profile.Email
	}
	if s.Actor != nil {
		c.ActorID = s.Actor.UserID
	}
	return c
}

// rank returns role and permissions of the token, unless the stored ones are newer: a user who lost a role loses it now, not
// when the token expires.
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
