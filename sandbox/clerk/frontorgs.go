package clerk

import (
	"net/http"
	"strings"
)

// createMyOrganization creates an organization whose admin is the signed-in user.
func (f *Fake) createMyOrganization(r *http.Request, b *browser) (any, error) {
	in, err := form(r)
	if err != nil {
		return nil, err
	}
	p := organizationParams{Name: new(strings.TrimSpace(in.Get("name")))}
	if slug := in.Get("slug"); slug != "" {
		p.Slug = &slug
	}
	defer f.begin(r)()
	u, err := f.current(b)
	if err != nil {
		return nil, err
	}
	p.CreatedBy = &u.ID
	o, err := f.makeOrganization(p)
	if err != nil {
		return nil, err
	}
	return f.frontOrganization(o), nil
}

// myOrganization returns the organization in the path if the signed-in user is a member. The lock is held.
func (f *Fake) myOrganization(r *http.Request, b *browser) (Organization, error) {
	u, err := f.current(b)
	if err != nil {
		return Organization{}, err
	}
	o, err := f.organization(r.PathValue("org"))
	if err != nil {
		return Organization{}, err
	}
	if _, member := f.memberships.Get(membershipKey(o.ID, u.ID)); !member {
		return Organization{}, notFound("organization", r.PathValue("org"))
	}
	return o, nil
}

func (f *Fake) getMyOrganization(r *http.Request, b *browser) (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o, err := f.myOrganization(r, b)
	if err != nil {
		return nil, err
	}
	return f.frontOrganization(o), nil
}

func (f *Fake) listMembers(r *http.Request, b *browser) (any, error) {
	q := r.URL.Query()
	limit, offset, err := paging(q)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	o, err := f.myOrganization(r, b)
	if err != nil {
		return nil, err
	}
	list := f.frontMemberships(func(m Membership) bool { return m.OrganizationID == o.ID && matchesAny(q, "role", m.Role) })
	return page[Membership]{cut(list, limit, offset), int64(len(list))}, nil
}

func (f *Fake) listMyRoles(r *http.Request, b *browser) (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.myOrganization(r, b); err != nil {
		return nil, err
	}
	roles := f.roles.All(nil)
	return page[Role]{roles, int64(len(roles))}, nil
}

// listNothingOf answers an empty list to a member: of invitations, domains and membership requests.
func (f *Fake) listNothingOf(r *http.Request, b *browser) (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.myOrganization(r, b); err != nil {
		return nil, err
	}
	return page[struct{}]{Data: []struct{}{}}, nil
}
