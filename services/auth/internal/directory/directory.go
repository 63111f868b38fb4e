// Package directory holds users, organizations and memberships. Clerk owns them. The directory is a copy that may be late, but
// never goes back in time and never brings back what was deleted.
package directory

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/trivet-dev/trivet/platform/paging"
)

// ErrNotFound says that there is no such object, or that it was deleted.
var ErrNotFound = errors.New("directory: not found")

// User is a person as Clerk knows them.
type User struct {
	// ID is Clerk's user id.
	ID string
	// Synced is false while only a token's claims are known.
	Synced bool
	// PrimaryEmail may be empty. Emails are all addresses, the primary one first.
	PrimaryEmail string
	Emails       []string
	// FirstName, LastName, ImageURL and ExternalID may be empty.
	FirstName, LastName, ImageURL, ExternalID string
	// PublicMetadata is a JSON object.
	PublicMetadata json.RawMessage
	// Banned and Deprovisioned people are refused: an admin in Clerk, or the company's directory, locked them out.
	Banned, Deprovisioned bool
	// Verified is true when Clerk has verified an email address or a phone number.
	Verified bool
	// Locked people can't sign in. Their sessions and API keys keep working: anybody can lock an account by wrong passwords.
	Locked bool
	// LockExpireTime is when a lock ends by itself; the zero time when it does not, or if none exists.
	LockExpireTime time.Time
	// CreateTime and UpdateTime are Clerk's. EventTime is when Clerk said this; it orders what has the same UpdateTime.
	CreateTime, UpdateTime, EventTime time.Time
}

// Organization is a group of people that shares one account.
type Organization struct {
	ID     string
	Synced bool
	// Name, Slug and ImageURL may be empty.
	Name, Slug, ImageURL string
	// PublicMetadata is a JSON object.
	PublicMetadata json.RawMessage
	// CreateTime, UpdateTime and EventTime are as a User's.
	CreateTime, UpdateTime, EventTime time.Time
}

// Membership is a person's place in an organization.
type Membership struct {
	// ID is Clerk's, and another one after the person left and joined again; empty when it is known from a token only.
	ID                     string
	OrganizationID, UserID string
	// Role has no "org:" prefix.
	Role        string
	Permissions []string
	// CreateTime is when the person joined; UpdateTime and EventTime are as a User's.
	CreateTime, UpdateTime, EventTime time.Time
}

// Standing is the stored state of a verified session's user, organization and membership.
type Standing struct {
	// User, Organization and Member say how much is known of each.
	User, Organization, Member Knowledge
	// Banned, Deprovisioned and Verified are the user's.
	Banned, Deprovisioned, Verified bool
	// Email is the user's primary one; may be empty.
	Email string
	// Role and Permissions are the member's as of RoleTime.
	Role        string
	Permissions []string
	RoleTime    time.Time
	// MemberDeleted is when the membership ended, if Member is Deleted.
	MemberDeleted time.Time
	// SessionRevoked is true for a session that was ended before its tokens expired.
	SessionRevoked bool
}

// Knowledge is how much the store knows of an object.
type Knowledge int

// The steps of knowledge.
const (
	Unknown Knowledge = iota
	Introduced
	Synced
	Deleted
)

// Introduction is what a verified token says of a user seen for the first time, or of a new place in an organization.
type Introduction struct {
	UserID, Email, FirstName, LastName string
	// OrganizationID is empty when the user acts for themselves.
	OrganizationID, OrganizationSlug, Role string
	Permissions                            []string
	// At is when the token was issued.
	At time.Time
}

// MembershipState is a membership as stored, or its tombstone.
type MembershipState struct {
	Membership
	// DeleteTime is the zero time of a living membership.
	DeleteTime time.Time
}

// Role is what members of a role may do, in every organization.
type Role struct {
	// ID is Clerk's; Name has no "org:" prefix.
	ID, Name    string
	Permissions []string
	// UpdateTime and EventTime are as a User's.
	UpdateTime, EventTime time.Time
}

// Writer stores changes. Put and Delete report whether they changed anything: false means that the stored state is newer, or a
// tombstone.
type Writer interface {
	PutUser(ctx context.Context, u User) (bool, error)
	// DeleteUser leaves a tombstone without personal data, ends the memberships and revokes the credentials.
	DeleteUser(ctx context.Context, id string, at time.Time) (bool, error)
	PutOrganization(ctx context.Context, o Organization) (bool, error)
	// DeleteOrganization leaves a tombstone and ends the memberships.
	DeleteOrganization(ctx context.Context, id string, at time.Time) (bool, error)
	PutMembership(ctx context.Context, m Membership) (bool, error)
	// DeleteMembership with the zero time ends the stored membership, whatever its time.
	DeleteMembership(ctx context.Context, organizationID, userID string, at time.Time) (bool, error)
	// EndMembership ends the membership with an id for good. The user may join again with another id.
	EndMembership(ctx context.Context, end MembershipDeleted) (bool, error)
	// PutRole gives the role's name and permissions to all its members.
	PutRole(ctx context.Context, r Role) (bool, error)
	DeleteRole(ctx context.Context, id string, at time.Time) (bool, error)
	// RevokeSession makes every cache refuse the session's tokens.
	RevokeSession(ctx context.Context, id string) error
}

// Store keeps the directory. Each of its writes is a transaction of its own.
type Store interface {
	Writer

	// Standing looks up a session's parts; organizationID and sessionID may be empty.
	Standing(ctx context.Context, userID, organizationID, sessionID string) (Standing, error)
	// Introduce adds what is missing. It never changes what came from Clerk itself.
	Introduce(ctx context.Context, in Introduction) error

	// User returns ErrNotFound for an unknown or deleted user.
	User(ctx context.Context, id string) (User, error)
	// Users pages, newest first; email filters, in any case, unless it is empty.
	Users(ctx context.Context, email string, after paging.Cursor, limit int) ([]User, error)

	Organization(ctx context.Context, id string) (Organization, error)
	Organizations(ctx context.Context, after paging.Cursor, limit int) ([]Organization, error)

	// Memberships pages by organization and user id; either filter may be empty.
	Memberships(ctx context.Context, organizationID, userID string, after paging.Cursor, limit int) ([]Membership, error)
}
