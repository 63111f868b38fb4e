// Package session verifies Clerk session tokens. It accepts only what it can check: the algorithm is pinned, the issuer must match
// exactly, and a missing claim is refused or taken at its worst.
package session

import (
	"context"
	"time"
)

// Leeway is how far apart this machine's clock and Clerk's may be.
const Leeway = 5 * time.Second

// MaxTokenBytes is the longest token that is read.
const MaxTokenBytes = 8 << 10

// Verifier checks session tokens.
type Verifier interface {
	// Verify returns the session that token proves. The error is a *Refusal when the token is invalid, and a
	// *jwks.UnavailableError or the context's own when that could not be found out. The session is shared: callers
	// must not change it.
	Verify(ctx context.Context, token string) (*Session, error)
}

// Session is what a verified token says.
type Session struct {
	// UserID is Clerk's user id (sub).
	UserID string
	// ID is Clerk's session id (sid); empty for a token of a JWT template.
	ID string
	// Version of the claims, 1 or 2.
	Version int
	// AuthorizedParty is the origin that asked for the token (azp); may be empty when no parties are configured.
	AuthorizedParty string
	// IssueTime and ExpireTime bound the token, to the second.
	IssueTime, ExpireTime time.Time
	// Organization is the active one; nil when the user acts for themselves.
	Organization *Organization
	// Pending is true for a session with tasks left, such as choosing an organization (sts).
	Pending bool
	// Factors says how long ago the user proved who they are.
	Factors Factors
	// Plans and Features are Clerk Billing's, as "u:free" or "o:pro" (pla, fea).
	Plans, Features []string
	// Actor is who impersonates the user; nil when nobody does.
	Actor *Actor
	// ActorUnknown is true for a token of a JWT template without the claim act, even null: it says nothing about impersonation.
	ActorUnknown bool
	// Profile is what a customized token or a JWT template adds.
	Profile Profile
}

// Organization is the active organization of a session.
type Organization struct {
	// ID is Clerk's organization id.
	ID string
	// Slug is the name for URLs; may be empty.
	Slug string
	// Role is the member's role without its "org:" prefix, such as "admin".
	Role string
	// Permissions are such as "org:billing:manage", in the token's order.
	Permissions []string
}

// Actor is a person who acts as the user.
type Actor struct {
	// UserID is the acting person's id.
	UserID string
	// SessionID is the acting person's session; may be empty.
	SessionID string
}

// Profile is personal data in a token; any of it may be empty.
type Profile struct{ Email, FirstName, LastName string }

// Never stands in Factors for a factor that was not verified, or of which the token says nothing.
const Never = -1

// Factors is the age of each factor in whole minutes when the token was issued (fva).
type Factors struct{ First, Second int }

// FirstFactorWithin reports whether the first factor was verified at most window before now. A token that says nothing
// about it is stale, never fresh.
func (s *Session) FirstFactorWithin(window time.Duration, now time.Time) bool {
	return s.within(s.Factors.First, window, now)
}

// SecondFactorWithin is FirstFactorWithin for the second factor.
func (s *Session) SecondFactorWithin(window time.Duration, now time.Time) bool {
	return s.within(s.Factors.Second, window, now)
}

func (s *Session) within(minutes int, window time.Duration, now time.Time) bool {
	if minutes < 0 {
		return false
	}
	return now.Sub(s.IssueTime)+time.Duration(minutes)*time.Minute <= window
}
