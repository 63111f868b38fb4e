package clerk_test

import (
	"testing"

	clerksdk "github.com/clerk/clerk-sdk-go/v2"
	"github.com/clerk/clerk-sdk-go/v2/emailaddress"
	"github.com/clerk/clerk-sdk-go/v2/organizationmembership"
	"github.com/clerk/clerk-sdk-go/v2/organizationpermission"
	"github.com/clerk/clerk-sdk-go/v2/organizationrole"
	"github.com/clerk/clerk-sdk-go/v2/user"
	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/sandbox/clerk"
)

func TestRolesAndPermissions(t *testing.T) {
	h := &recorder{}
	s := serve(t, clerk.Config{Emit: h.emit})
	roles, permissions := organizationrole.NewClient(s.config), organizationpermission.NewClient(s.config)
	list, err := roles.List(t.Context(), &organizationrole.ListParams{})
	require.NoError(t, err)
	require.EqualValues(t, 2, list.TotalCount)
	p, err := permissions.Create(t.Context(), &organizationpermission.CreateParams{Name: clerksdk.String("Read reports"), Key: clerksdk.String("org:reports:read")})
	require.NoError(t, err)
	role, err := roles.Create(t.Context(), &organizationrole.CreateParams{Name: clerksdk.String("Analyst"), Key: clerksdk.String("org:analyst"), Permissions: &[]string{p.ID}})
	require.NoError(t, err)
	require.Equal(t, "org:reports:read", role.Permissions[0].Key)
	require.Equal(t, "permission.created role.created", h.types())
	s.mint(t, clerk.TokenSpec{User: "alice", Org: "acme", Role: "analyst"})
	member := func() []string {
		got, err := organizationmembership.NewClient(s.config).List(t.Context(), &organizationmembership.ListParams{OrganizationID: "acme"})
		require.NoError(t, err)
		return got.OrganizationMemberships[0].Permissions
	}
	require.Equal(t, []string{"org:reports:read"}, member())
	h.take()
	_, err = permissions.Update(t.Context(), p.ID, &organizationpermission.UpdateParams{Key: clerksdk.String("org:reports:view")})
	require.NoError(t, err)
	require.Equal(t, []string{"org:reports:view"}, member(), "the members of a role have what it has now")
	_, err = roles.Update(t.Context(), role.ID, &organizationrole.UpdateParams{Description: clerksdk.String("reads")})
	require.NoError(t, err)
	admin, err := roles.List(t.Context(), &organizationrole.ListParams{Query: clerksdk.String("org:admin")})
	require.NoError(t, err)
	_, err = roles.AssignPermission(t.Context(), role.ID, admin.OrganizationRoles[0].Permissions[0].ID)
	require.NoError(t, err)
	require.Len(t, member(), 2)
	_, err = roles.RemovePermission(t.Context(), role.ID, admin.OrganizationRoles[0].Permissions[0].ID)
	require.NoError(t, err)
	_, err = permissions.Delete(t.Context(), p.ID)
	require.NoError(t, err)
	require.Equal(t, "permission.updated role.updated role.updated role.updated role.updated permission.deleted", h.types())
	require.Empty(t, member())
	_, err = roles.Delete(t.Context(), role.ID)
	require.Equal(t, "organization_role_assigned_to_members", sdkCode(t, err))
	_, err = user.NewClient(s.config).Delete(t.Context(), "alice")
	require.NoError(t, err)
	h.take()
	_, err = roles.Delete(t.Context(), role.ID)
	require.NoError(t, err)
	require.Equal(t, map[string]any{"id": role.ID, "object": "role", "deleted": true}, parse(t, h.take()[0]).Data)
	_, err = roles.Get(t.Context(), role.ID)
	require.Equal(t, "resource_not_found", sdkCode(t, err))
	_, err = permissions.Delete(t.Context(), admin.OrganizationRoles[0].Permissions[0].ID)
	require.Equal(t, "organization_system_permission_not_modifiable", sdkCode(t, err))
	_, err = roles.Create(t.Context(), &organizationrole.CreateParams{Name: clerksdk.String("x"), Key: clerksdk.String("org:admin")})
	require.Equal(t, "form_identifier_exists", sdkCode(t, err))
	all, err := permissions.List(t.Context(), &organizationpermission.ListParams{})
	require.NoError(t, err)
	require.EqualValues(t, 8, all.TotalCount)
}

// A renamed role keeps its members, without an event about them.
func TestRenamedRoleKeepsItsMembers(t *testing.T) {
	h := &recorder{}
	s := serve(t, clerk.Config{Emit: h.emit})
	roles, members := organizationrole.NewClient(s.config), organizationmembership.NewClient(s.config)
	role, err := roles.Create(t.Context(), &organizationrole.CreateParams{Name: clerksdk.String("Buyer"), Key: clerksdk.String("org:buyer")})
	require.NoError(t, err)
	s.mint(t, clerk.TokenSpec{User: "alice", Org: "acme", Role: "buyer"})
	before, err := members.List(t.Context(), &organizationmembership.ListParams{OrganizationID: "acme"})
	require.NoError(t, err)
	h.take()
	_, err = roles.Update(t.Context(), role.ID, &organizationrole.UpdateParams{Key: clerksdk.String("org:purchaser")})
	require.NoError(t, err)
	require.Equal(t, "role.updated", h.types())
	after, err := members.List(t.Context(), &organizationmembership.ListParams{OrganizationID: "acme"})
	require.NoError(t, err)
	require.Equal(t, "org:purchaser", after.OrganizationMemberships[0].Role)
	require.Equal(t, before.OrganizationMemberships[0].UpdatedAt, after.OrganizationMemberships[0].UpdatedAt)
	_, err = roles.Delete(t.Context(), role.ID)
	require.Equal(t, "organization_role_assigned_to_members", sdkCode(t, err))
}

func TestEmailAddresses(t *testing.T) {
	h := &recorder{}
	s := serve(t, clerk.Config{Emit: h.emit})
	addresses := emailaddress.NewClient(s.config)
	s.mint(t, clerk.TokenSpec{User: "alice"})
	h.take()
	second, err := addresses.Create(t.Context(), &emailaddress.CreateParams{UserID: clerksdk.String("alice"), EmailAddress: clerksdk.String("work@example.test"), Verified: clerksdk.Bool(false)})
	require.NoError(t, err)
	require.Equal(t, "unverified", second.Verification.Status)
	u, _ := s.User("alice")
	require.Equal(t, "alice@example.test", u.PrimaryEmail())
	_, err = addresses.Update(t.Context(), second.ID, &emailaddress.UpdateParams{Primary: clerksdk.Bool(true), Verified: clerksdk.Bool(true)})
	require.NoError(t, err)
	u, _ = s.User("alice")
	require.Equal(t, "work@example.test", u.PrimaryEmail())
	got, err := addresses.Get(t.Context(), second.ID)
	require.NoError(t, err)
	require.Equal(t, "verified", got.Verification.Status)
	_, err = addresses.Delete(t.Context(), second.ID)
	require.NoError(t, err)
	u, _ = s.User("alice")
	require.Equal(t, "alice@example.test", u.PrimaryEmail())
	require.Equal(t, "user.updated user.updated user.updated", h.types())
	_, err = addresses.Create(t.Context(), &emailaddress.CreateParams{UserID: clerksdk.String("alice"), EmailAddress: clerksdk.String("work@example.test")})
	require.NoError(t, err, "free again")
	for _, taken := range []string{"WORK@example.test", "alice@example.test"} {
		_, err = addresses.Create(t.Context(), &emailaddress.CreateParams{UserID: clerksdk.String("alice"), EmailAddress: &taken})
		require.Equal(t, "form_identifier_exists", sdkCode(t, err))
	}
	_, err = addresses.Delete(t.Context(), second.ID+"x")
	require.Equal(t, "resource_not_found", sdkCode(t, err))
}
