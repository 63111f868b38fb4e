package directory

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Source reads from Clerk's Backend API, which owns the directory.
type Source interface {
	// User reads one user. Errors: ErrNotFound, ErrKeyRefused, *RetryError, and others that a later attempt cannot fix.
	User(ctx context.Context, id string) (User, error)
	// Organization reads one organization. Errors: as of User.
	Organization(ctx context.Context, id string) (Organization, error)
}

// Lister is a Source that can be walked through. An offset counts objects, from 0; a page of fewer objects than limit is
// the last. Errors: as of Source.
type Lister interface {
	Source
	// Users lists users, oldest first.
	Users(ctx context.Context, offset, limit int) ([]User, error)
	// UsersByID returns the users with these ids that exist; at most 100 ids.
	UsersByID(ctx context.Context, ids []string) ([]User, error)
	// Organizations lists organizations, oldest first.
	Organizations(ctx context.Context, offset, limit int) ([]Organization, error)
	// Memberships lists the members of an organization, oldest first; with users, only theirs, at most 100.
	Memberships(ctx context.Context, organizationID string, users []string, offset, limit int) ([]Membership, error)
	// Roles lists the roles that members may have, oldest first.
	Roles(ctx context.Context, offset, limit int) ([]Role, error)
}

// ErrKeyRefused says that Clerk rejects the key, or that the key may not read this.
var ErrKeyRefused = errors.New("directory: Clerk rejects CLERK_SECRET_KEY")

// ErrNoOrganizations says that the Clerk instance has organizations turned off, and so neither organizations nor roles.
var ErrNoOrganizations = errors.New("directory: organizations are turned off in this Clerk instance")

// RetryError says that a later attempt may succeed.
type RetryError struct {
	// After is how long Clerk asked to wait; 0 when it did not say.
	After time.Duration
	// Cause is what happened.
	Cause error
}

// Error returns the cause.
func (e *RetryError) Error() string { return fmt.Sprintf("temporary failure: %v", e.Cause) }

// Unwrap returns the cause.
func (e *RetryError) Unwrap() error { return e.Cause }
