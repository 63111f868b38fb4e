package clerk

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/trivet-dev/trivet/sandbox/internal/ident"
)

// membershipKey names the one place of a user in an organization.
func membershipKey(org, user string) string { return org + "\x00" + user }

// rolePermissions are the system permissions that Clerk gives its two default roles.
func rolePermissions(role string) []string {
	read := []string{"org:sys_memberships:read", "org:sys_billing:read"}
	if role != "org:admin" {
		return read
	}
	return append(read, "org:sys_memberships:manage", "org:sys_profile:manage", "org:sys_profile:delete", "org:sys_domains:read",
		"org:sys_domains:manage", "org:sys_billing:manage")
}

// join puts a user into an organization, or gives the member another role.
func (f *Fake) join(o Organization, user, role string) (Membership, error) {
	now := f.nowMs()
	m, ok := f.memberships.Get(membershipKey(o.ID, user))
	if !ok {
		m = Membership{ // a user who joins again gets a new id
			ID: "orgmem_" + ident.Derive(27, "membership", o.ID, user, strconv.FormatInt(now, 10)), Object: "organization_membership",
			PublicMetadata: emptyObject(), PrivateMetadata: emptyObject(), CreatedAt: now, UpdatedAt: now - 1, OrganizationID: o.ID, UserID: user,
		}
	}
	if m.Role == role {
		return m, nil
	}
	m.Role, m.RoleName, m.Permissions = role, roleName(role), f.permissionsOf(role)
	m.UpdatedAt = max(now, m.UpdatedAt+1)
	if err := f.memberships.Insert(membershipKey(o.ID, user), m); err != nil {
		return Membership{}, err
	}
	f.emitMembership(map[bool]string{true: "updated", false: "created"}[ok], m)
	return m, nil
}

func roleName(role string) string {
	name := strings.TrimPrefix(role, "org:")
	return strings.ToUpper(name[:1]) + name[1:]
}

// membershipView adds the organization and the user as they are now.
func (f *Fake) membershipView(m Membership) Membership {
	m.Permissions = f.permissionsOf(m.Role)
	if o, ok := f.orgs.Get(m.OrganizationID); ok {
		m.Organization = &o
	}
	if u, ok := f.users.Get(m.UserID); ok {
		m.PublicUserData = &PublicUserData{
			UserID: u.ID, FirstName: u.FirstName, LastName: u.LastName, ImageURL: u.ImageURL, HasImage: u.HasImage,
			Identifier: u.PrimaryEmail(), Username: u.Username,
		}
	}
	m.OrganizationID, m.UserID = "", ""
	return m
}

type membershipParams struct {
	UserID *string `json:"user_id"`
	Role   *string `json:"role"`
}

func (f *Fake) createMembership(r *http.Request) (any, error) {
	var p membershipParams
	if err := readBody(r, &p); err != nil {
		return nil, err
	}
	if orEmpty(p.UserID) == "" {
		return nil, missing("user_id")
	}
	role, err := parseRole(orEmpty(p.Role))
	if err != nil {
		return nil, err
	}
	defer f.begin(r)()
	o, err := f.organization(r.PathValue("org"))
	if err != nil {
		return nil, err
	}
	if _, err := f.user(*p.UserID); err != nil {
		return nil, err
	}
	if _, ok := f.memberships.Get(membershipKey(o.ID, *p.UserID)); ok {
		return nil, &failure{http.StatusBadRequest, apiError{
			Message: "already a member", LongMessage: "This user is already a member of the organization.", Code: "already_a_member_in_organization",
		}}
	}
	if members := orZero(f.organizationView(o, true).MembersCount); o.MaxAllowedMemberships > 0 && members >= o.MaxAllowedMemberships {
		return nil, &failure{http.StatusForbidden, apiError{
			Message: "membership quota exceeded", LongMessage: "You have reached your limit of memberships in this organization.",
			Code: "organization_membership_quota_exceeded",
		}}
	}
	m, err := f.join(o, *p.UserID, role)
	if err != nil {
		return nil, err
	}
	return f.membershipView(m), nil
}

// parseRole accepts "org:admin" and, as tokens write it, "admin".
func parseRole(role string) (string, error) {
	name := strings.TrimPrefix(role, "org:")
	if name == "" {
		return "", missing("role")
	}
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return "", invalid("role", "form_param_format_invalid", `must be "org:" and lower-case letters, digits or "_".`)
		}
	}
	return "org:" + name, nil
}

func (f *Fake) updateMembership(r *http.Request) (any, error) {
	var p membershipParams
	if err := readBody(r, &p); err != nil {
		return nil, err
	}
	role, err := parseRole(orEmpty(p.Role))
	if err != nil {
		return nil, err
	}
	defer f.begin(r)()
	o, m, err := f.membership(r)
	if err != nil {
		return nil, err
	}
	if m, err = f.join(o, m.UserID, role); err != nil {
		return nil, err
	}
	return f.membershipView(m), nil
}

func (f *Fake) membership(r *http.Request) (Organization, Membership, error) {
	o, err := f.organization(r.PathValue("org"))
	if err != nil {
		return Organization{}, Membership{}, err
	}
	m, ok := f.memberships.Get(membershipKey(o.ID, r.PathValue("user")))
	if !ok {
		return Organization{}, Membership{}, notFound("organization membership", r.PathValue("user"))
	}
	return o, m, nil
}

func (f *Fake) deleteMembership(r *http.Request) (any, error) {
	defer f.begin(r)()
	_, m, err := f.membership(r)
	if err != nil {
		return nil, err
	}
	if err := f.leave(m); err != nil {
		return nil, err
	}
	return f.membershipView(m), nil
}

// leave ends a membership. Sessions in which its organization was active continue in the personal account.
func (f *Fake) leave(m Membership) error {
	if err := f.memberships.Delete(membershipKey(m.OrganizationID, m.UserID)); err != nil {
		return err
	}
	for _, s := range f.sessions.All(func(s Session) bool {
		return s.UserID == m.UserID && orEmpty(s.LastActiveOrganizationID) == m.OrganizationID
	}) {
		s.LastActiveOrganizationID = nil
		if err := f.sessions.Insert(s.ID, s); err != nil {
			return err
		}
	}
	f.emitMembership("deleted", m)
	return nil
}

func (f *Fake) listMemberships(r *http.Request) (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o, err := f.organization(r.PathValue("org"))
	if err != nil {
		return nil, err
	}
	return f.membershipPage(r.URL.Query(), func(m Membership) bool { return m.OrganizationID == o.ID })
}

func (f *Fake) listUserMemberships(r *http.Request) (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	u, err := f.user(r.PathValue("user"))
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	q.Del("user_id")
	return f.membershipPage(q, func(m Membership) bool { return m.UserID == u.ID })
}

func (f *Fake) membershipPage(q url.Values, keep func(Membership) bool) (any, error) {
	limit, offset, err := paging(q)
	if err != nil {
		return nil, err
	}
	list := f.memberships.All(func(m Membership) bool {
		return keep(m) && matchesAny(q, "role", m.Role) && matchesAny(q, "user_id", m.UserID)
	})
	err = order(list, q, map[string]func(Membership) int64{
		"created_at": func(m Membership) int64 { return m.CreatedAt },
		"updated_at": func(m Membership) int64 { return m.UpdatedAt },
	}, nil, func(m Membership) string { return m.ID })
	if err != nil {
		return nil, err
	}
	part := make([]Membership, 0, limit)
	for _, m := range cut(list, limit, offset) {
		part = append(part, f.membershipView(m))
	}
	return page[Membership]{part, int64(len(list))}, nil
}
