package directory

import (
	"context"
	"fmt"
	"time"
)

// Source is where the truth is: Clerk's Backend API.
type Source interface {
	// User reads one user. Errors: ErrNotFound, *RetryError, and others that a later attempt won't mend.
	User(ctx context.Context, id string) (User, error)
	// Organization reads one organization. Errors: as of User.
	Organization(ctx context.Context, id string) (Organization, error)
}

// RetryError says that a later attempt may succeed.
type RetryError struct {
	// After is what the source asked to wait; 0 when it said nothing.
	After time.Duration
	// Cause is what happened.
	Cause error
}

// Error returns the cause.
func (e *RetryError) Error() string { return fmt.Sprintf("try again: %v", e.Cause) }

// Unwrap returns the cause.
func (e *RetryError) Unwrap() error { return e.Cause }
