package directory

import (
	"context"
	"time"
)

// Change is a change of the directory. Applying it again, or after a newer change, has no effect.
type Change interface {
	// Apply reports whether anything changed.
	Apply(ctx context.Context, w Writer) (bool, error)
}

// The changes.
type (
	// UserChanged is a new or changed user.
	UserChanged struct{ User User }
	// UserDeleted is the end of a user.
	UserDeleted struct {
		ID string
		At time.Time
	}
	// OrganizationChanged is a new or changed organization.
	OrganizationChanged struct{ Organization Organization }
	// OrganizationDeleted is the end of an organization.
	OrganizationDeleted struct {
		ID string
		At time.Time
	}
	// MembershipChanged is a new or changed membership.
	MembershipChanged struct{ Membership Membership }
	// MembershipDeleted is the end of a membership; the user may join again. It has Clerk's id, or the user and the organization,
	// or both. CreateTime, when the user had joined, and At are the zero time when they are not known.
	MembershipDeleted struct {
		ID                     string
		OrganizationID, UserID string
		CreateTime, At         time.Time
	}
	// RoleChanged is a new or changed role.
	RoleChanged struct{ Role Role }
	// RoleDeleted is the end of a role.
	RoleDeleted struct {
		ID string
		At time.Time
	}
	// SessionEnded is a session whose tokens must no longer be accepted.
	SessionEnded struct{ ID string }
)

// Apply stores the user.
func (c UserChanged) Apply(ctx context.Context, w Writer) (bool, error) {
	return w.PutUser(ctx, c.User)
}

// Apply leaves a tombstone.
func (c UserDeleted) Apply(ctx context.Context, w Writer) (bool, error) {
	return w.DeleteUser(ctx, c.ID, c.At)
}

// Apply stores the organization.
func (c OrganizationChanged) Apply(ctx context.Context, w Writer) (bool, error) {
	return w.PutOrganization(ctx, c.Organization)
}

// Apply leaves a tombstone.
func (c OrganizationDeleted) Apply(ctx context.Context, w Writer) (bool, error) {
	return w.DeleteOrganization(ctx, c.ID, c.At)
}

// Apply stores the membership.
func (c MembershipChanged) Apply(ctx context.Context, w Writer) (bool, error) {
	return w.PutMembership(ctx, c.Membership)
}

// Apply leaves a tombstone.
func (c MembershipDeleted) Apply(ctx context.Context, w Writer) (bool, error) {
	if c.ID != "" {
		return w.EndMembership(ctx, c)
	}
	return w.DeleteMembership(ctx, c.OrganizationID, c.UserID, c.At)
}

// Apply stores the role.
func (c RoleChanged) Apply(ctx context.Context, w Writer) (bool, error) {
	return w.PutRole(ctx, c.Role)
}

// Apply leaves a tombstone.
func (c RoleDeleted) Apply(ctx context.Context, w Writer) (bool, error) {
	return w.DeleteRole(ctx, c.ID, c.At)
}

// Apply revokes the session.
func (c SessionEnded) Apply(ctx context.Context, w Writer) (bool, error) {
	return true, w.RevokeSession(ctx, c.ID)
}
