package clerk

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/clerk/clerk-sdk-go/v2"
	"github.com/clerk/clerk-sdk-go/v2/organization"
	"github.com/clerk/clerk-sdk-go/v2/organizationmembership"
	"github.com/clerk/clerk-sdk-go/v2/organizationrole"
	"github.com/clerk/clerk-sdk-go/v2/user"

	"github.com/trivet-dev/trivet/services/auth/internal/directory"
)

// Clerk's own bounds.
const (
	maxPage    = 500
	maxFilters = 100
)

var _ directory.Lister = (*Client)(nil)

// oldestFirst keeps the place of what was listed while more is created.
func oldestFirst() *string { return clerk.String("+created_at") }

func paging(offset, limit int) clerk.ListParams {
	return clerk.ListParams{Limit: clerk.Int64(int64(min(limit, maxPage))), Offset: clerk.Int64(int64(offset))}
}

// Users lists users, oldest first.
func (c *Client) Users(ctx context.Context, offset, limit int) ([]directory.User, error) {
	return c.users(ctx, &user.ListParams{ListParams: paging(offset, limit), OrderBy: oldestFirst()})
}

// UsersByID returns the users with these ids that exist; at most 100 ids.
func (c *Client) UsersByID(ctx context.Context, ids []string) ([]directory.User, error) {
	return c.users(ctx, &user.ListParams{ListParams: paging(0, maxFilters), UserIDs: ids[:min(len(ids), maxFilters)]})
}

func (c *Client) users(ctx context.Context, params *user.ListParams) ([]directory.User, error) {
	told := c.now()
	list, err := call(*c.keys.Load(), func(k keyed) (userList, error) {
		var list userList
		request := clerk.NewAPIRequest(http.MethodGet, "/users")
		request.SetParams(params)
		return list, k.backend.Call(ctx, request, &list)
	})
	if err != nil {
		return nil, fmt.Errorf("list users from Clerk: %w", err)
	}
	return convert(list, told, userOf), nil
}

// userList is a page of users. The SDK's own has no field for deprovisioned users, and counts all users for each page.
type userList []*userResource

// Read is the SDK's; nothing of the response is kept.
func (*userList) Read(*clerk.APIResponse) {}

// Organizations lists organizations, oldest first.
func (c *Client) Organizations(ctx context.Context, offset, limit int) ([]directory.Organization, error) {
	params := &organization.ListParams{ListParams: paging(offset, limit), OrderBy: oldestFirst()}
	told := c.now()
	list, err := call(*c.keys.Load(), func(k keyed) (*clerk.OrganizationList, error) { return k.organizations.List(ctx, params) })
	if err != nil {
		return nil, fmt.Errorf("list organizations from Clerk: %w", err)
	}
	return convert(list.Organizations, told, organizationOf), nil
}

// Memberships lists the members of an organization, oldest first; with users, only theirs, at most 100.
func (c *Client) Memberships(
	ctx context.Context, organizationID string, users []string, offset, limit int,
) ([]directory.Membership, error) {
	params := &organizationmembership.ListParams{
		ListParams: paging(offset, limit), OrderBy: oldestFirst(), OrganizationID: organizationID, UserIDs: users,
	}
	told := c.now()
	list, err := call(*c.keys.Load(), func(k keyed) (*clerk.OrganizationMembershipList, error) { return k.memberships.List(ctx, params) })
	if err != nil {
		return nil, fmt.Errorf("list members of %s from Clerk: %w", organizationID, err)
	}
	var known []*clerk.OrganizationMembership
	for _, m := range list.OrganizationMemberships {
		if m != nil && m.Organization != nil && m.PublicUserData != nil {
			known = append(known, m)
		}
	}
	return convert(known, told, membershipOf), nil
}

// Roles lists the roles that members of organizations may have, oldest first.
func (c *Client) Roles(ctx context.Context, offset, limit int) ([]directory.Role, error) {
	params := &organizationrole.ListParams{ListParams: paging(offset, limit), OrderBy: oldestFirst()}
	told := c.now()
	list, err := call(*c.keys.Load(), func(k keyed) (*clerk.OrganizationRoleList, error) { return k.roles.List(ctx, params) })
	if err != nil {
		return nil, fmt.Errorf("list roles from Clerk: %w", err)
	}
	return convert(list.OrganizationRoles, told, func(r *clerk.OrganizationRole, told time.Time) directory.Role {
		var permissions []string
		for _, p := range r.Permissions {
			if p != nil {
				permissions = append(permissions, p.Key)
			}
		}
		return roleOf(r.ID, r.Key, permissions, r.UpdatedAt, told)
	}), nil
}

// convert converts a list that was asked for at told.
func convert[F, T any](list []*F, told time.Time, one func(*F, time.Time) T) []T {
	out := make([]T, 0, len(list))
	for _, object := range list {
		if object != nil {
			out = append(out, one(object, told))
		}
	}
	return out
}
