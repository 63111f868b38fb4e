package clerk_test

import (
	"testing"

	clerksdk "github.com/clerk/clerk-sdk-go/v2"
	"github.com/clerk/clerk-sdk-go/v2/organization"
	"github.com/clerk/clerk-sdk-go/v2/organizationmembership"
	"github.com/clerk/clerk-sdk-go/v2/session"
	"github.com/clerk/clerk-sdk-go/v2/user"
	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/sandbox/clerk"
)

func TestOrganizationLifecycle(t *testing.T) {
	s := serve(t, clerk.Config{Now: newClock().Now})
	orgs := organization.NewClient(s.config)
	s.mint(t, clerk.TokenSpec{User: "alice"})
	o, err := orgs.Create(t.Context(), &organization.CreateParams{Name: clerksdk.String("Acme & Sons"), CreatedBy: clerksdk.String("alice")})
	require.NoError(t, err)
	require.Regexp(t, `^org_[0-9A-Za-z]{27}$`, o.ID)
	require.Equal(t, "acme-sons", o.Slug)
	require.EqualValues(t, 1, *o.MembersCount)

	again, err := orgs.Create(t.Context(), &organization.CreateParams{Name: clerksdk.String("Acme Sons")})
	require.NoError(t, err)
	require.NotEqual(t, o.Slug, again.Slug)
	_, err = orgs.Create(t.Context(), &organization.CreateParams{Name: clerksdk.String("x"), Slug: &o.Slug})
	require.Equal(t, "form_identifier_exists", sdkCode(t, err))
	_, err = orgs.Create(t.Context(), &organization.CreateParams{})
	require.Equal(t, "form_param_missing", sdkCode(t, err))

	bySlug, err := orgs.Get(t.Context(), "acme-sons")
	require.NoError(t, err)
	require.Equal(t, o.ID, bySlug.ID)
	o, err = orgs.Update(t.Context(), o.ID, &organization.UpdateParams{Name: clerksdk.String("Acme")})
	require.NoError(t, err)
	require.Equal(t, "Acme", o.Name)
	require.Greater(t, o.UpdatedAt, o.CreatedAt)

	list, err := orgs.List(t.Context(), &organization.ListParams{UserIDs: []string{"alice"}, IncludeMembersCount: clerksdk.Bool(true)})
	require.NoError(t, err)
	require.EqualValues(t, 1, list.TotalCount)
	require.EqualValues(t, 1, *list.Organizations[0].MembersCount)

	gone, err := orgs.Delete(t.Context(), o.ID)
	require.NoError(t, err)
	require.True(t, gone.Deleted)
	_, err = orgs.Get(t.Context(), o.ID)
	require.Equal(t, "resource_not_found", sdkCode(t, err))
	_, err = s.MintToken(t.Context(), clerk.TokenSpec{User: "alice", Org: o.ID})
	require.ErrorContains(t, err, "never gives an identifier twice")
}

func TestMemberships(t *testing.T) {
	s := serve(t, clerk.Config{})
	members := organizationmembership.NewClient(s.config)
	s.mint(t, clerk.TokenSpec{User: "alice", Org: "acme"})
	s.mint(t, clerk.TokenSpec{User: "bob"})
	m, err := members.Create(t.Context(), &organizationmembership.CreateParams{OrganizationID: "acme", UserID: clerksdk.String("bob"), Role: clerksdk.String("org:member")})
	require.NoError(t, err)
	require.Equal(t, "acme", m.Organization.ID)
	require.Equal(t, "bob", m.PublicUserData.UserID)
	require.Equal(t, "bob@example.test", m.PublicUserData.Identifier)
	require.NotContains(t, m.Permissions, "org:sys_memberships:manage")
	_, err = members.Create(t.Context(), &organizationmembership.CreateParams{OrganizationID: "acme", UserID: clerksdk.String("bob"), Role: clerksdk.String("org:member")})
	require.Equal(t, "already_a_member_in_organization", sdkCode(t, err))

	m, err = members.Update(t.Context(), &organizationmembership.UpdateParams{OrganizationID: "acme", UserID: "bob", Role: clerksdk.String("org:admin")})
	require.NoError(t, err)
	require.Equal(t, "org:admin", m.Role)
	require.Contains(t, m.Permissions, "org:sys_memberships:manage")

	list, err := members.List(t.Context(), &organizationmembership.ListParams{OrganizationID: "acme", Roles: []string{"org:admin"}})
	require.NoError(t, err)
	require.EqualValues(t, 2, list.TotalCount)

	byUser, err := user.NewClient(s.config).ListOrganizationMemberships(t.Context(), "bob", &user.ListOrganizationMembershipsParams{})
	require.NoError(t, err)
	require.EqualValues(t, 1, byUser.TotalCount)

	_, err = members.Delete(t.Context(), &organizationmembership.DeleteParams{OrganizationID: "acme", UserID: "bob"})
	require.NoError(t, err)
	_, err = members.Delete(t.Context(), &organizationmembership.DeleteParams{OrganizationID: "acme", UserID: "bob"})
	require.Equal(t, "resource_not_found", sdkCode(t, err))

	_, err = user.NewClient(s.config).Delete(t.Context(), "alice")
	require.NoError(t, err)
	list, err = members.List(t.Context(), &organizationmembership.ListParams{OrganizationID: "acme"})
	require.NoError(t, err)
	require.Zero(t, list.TotalCount, "a deleted user is not a member")
}

func TestSessions(t *testing.T) {
	now := newClock()
	s := serve(t, clerk.Config{Now: now.Now})
	sessions := session.NewClient(s.config)
	s.mint(t, clerk.TokenSpec{User: "alice", Org: "acme"})
	s.mint(t, clerk.TokenSpec{User: "alice", Org: "acme"})
	list, err := sessions.List(t.Context(), &session.ListParams{UserID: clerksdk.String("alice")})
	require.NoError(t, err)
	require.EqualValues(t, 1, list.TotalCount, "one browser, one session")
	first := list.Sessions[0]
	require.Equal(t, "active", first.Status)
	require.Equal(t, "acme", first.LastActiveOrganizationID)

	token, err := sessions.CreateToken(t.Context(), &session.CreateTokenParams{ID: first.ID, ExpiresInSeconds: clerksdk.Int64(30)})
	require.NoError(t, err)
	claims := payload(t, token.JWT)
	require.Equal(t, first.ID, claims["sid"])
	require.EqualValues(t, now.at.Unix()+30, claims["exp"])
	require.Equal(t, "acme", claims["o"].(map[string]any)["id"])

	template, err := sessions.CreateToken(t.Context(), &session.CreateTokenParams{ID: first.ID, TemplateName: "trivet"})
	require.NoError(t, err)
	claims = payload(t, template.JWT)
	require.Equal(t, "alice@example.test", claims["email"])
	require.NotContains(t, claims, "sid")

	revoked, err := sessions.Revoke(t.Context(), &session.RevokeParams{ID: first.ID})
	require.NoError(t, err)
	require.Equal(t, "revoked", revoked.Status)
	_, err = sessions.CreateToken(t.Context(), &session.CreateTokenParams{ID: first.ID})
	require.Equal(t, "session_not_active", sdkCode(t, err))
	require.NotEqual(t, first.ID, payload(t, s.mint(t, clerk.TokenSpec{User: "alice"}))["sid"], "signing in again begins a new session")

	second, err := sessions.Create(t.Context(), &session.CreateParams{UserID: "alice"})
	require.NoError(t, err)
	now.at = now.at.AddDate(0, 0, 8)
	got, err := sessions.Get(t.Context(), second.ID)
	require.NoError(t, err)
	require.Equal(t, "expired", got.Status)
	_, err = sessions.Create(t.Context(), &session.CreateParams{UserID: "nobody"})
	require.Equal(t, "resource_not_found", sdkCode(t, err))
}
