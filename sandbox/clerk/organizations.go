package clerk

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
)

// defaultMaxMemberships is the limit of members of a fresh organization.
const defaultMaxMemberships = 100

type organizationParams struct {
	Name                  *string          `json:"name"`
	Slug                  *string          `json:"slug"`
	CreatedBy             *string          `json:"created_by"`
	MaxAllowedMemberships *int64           `json:"max_allowed_memberships"`
	AdminDeleteEnabled    *bool            `json:"admin_delete_enabled"`
	PublicMetadata        *json.RawMessage `json:"public_metadata"`
	PrivateMetadata       *json.RawMessage `json:"private_metadata"`
}

func (p organizationParams) metadata() metadata {
	return metadata{Public: p.PublicMetadata, Private: p.PrivateMetadata}
}

func (f *Fake) newOrganization(id, name, slug, createdBy string) Organization {
	now := f.nowMs()
	return Organization{
		ID: id, Object: "organization", Name: name, Slug: slug, ImageURL: "https://img.clerk.com/sandbox", CreatedBy: createdBy,
		MaxAllowedMemberships: defaultMaxMemberships, AdminDeleteEnabled: true,
		PublicMetadata: emptyObject(), PrivateMetadata: emptyObject(), CreatedAt: now, UpdatedAt: now,
	}
}

func (f *Fake) createOrganization(r *http.Request) (any, error) {
	var p organizationParams
	if err := readBody(r, &p); err != nil {
		return nil, err
	}
	defer f.begin(r)()
	o, err := f.makeOrganization(p)
	if err != nil {
		return nil, err
	}
	return o, nil
}

// makeOrganization creates an organization with its first admin. The lock is held.
func (f *Fake) makeOrganization(p organizationParams) (Organization, error) {
	if orEmpty(p.Name) == "" {
		return Organization{}, missing("name")
	}
	id := f.ids.Next("org_", 27)
	slug := cmp.Or(orEmpty(p.Slug), slugOf(*p.Name))
	if f.slugTaken(slug, id) {
		if p.Slug != nil {
			return Organization{}, invalid("slug", "form_identifier_exists", "is taken. Please try another.")
		}
		slug += "-" + strings.ToLower(id[len(id)-6:])
	}
	o := f.newOrganization(id, *p.Name, slug, orEmpty(p.CreatedBy))
	if err := p.apply(&o); err != nil {
		return Organization{}, err
	}
	if o.CreatedBy != "" {
		if _, err := f.user(o.CreatedBy); err != nil {
			return Organization{}, err
		}
	}
	if err := f.insertOrganization(o); err != nil {
		return Organization{}, err
	}
	if o.CreatedBy != "" {
		if _, err := f.join(o, o.CreatedBy, "org:admin"); err != nil {
			return Organization{}, err
		}
	}
	return f.organizationView(o, true), nil
}

// insertOrganization stores a new organization.
func (f *Fake) insertOrganization(o Organization) error {
	if err := f.orgs.Insert(o.ID, o); err != nil {
		return err
	}
	f.emit("organization.created", o.ID, o)
	return nil
}

func (p organizationParams) apply(o *Organization) error {
	if p.Name != nil {
		o.Name = *p.Name
	}
	if p.Slug != nil {
		o.Slug = *p.Slug
	}
	if p.MaxAllowedMemberships != nil {
		o.MaxAllowedMemberships = *p.MaxAllowedMemberships
	}
	if p.AdminDeleteEnabled != nil {
		o.AdminDeleteEnabled = *p.AdminDeleteEnabled
	}
	return p.metadata().each(&o.PublicMetadata, &o.PrivateMetadata, nil, replaceObject)
}

func (f *Fake) slugTaken(slug, id string) bool {
	_, taken := f.orgs.Find(func(o Organization) bool { return o.Slug == slug && o.ID != id })
	return taken
}

// organization finds by identifier or by slug, as the API does.
func (f *Fake) organization(idOrSlug string) (Organization, error) {
	if o, ok := f.orgs.Get(idOrSlug); ok {
		return o, nil
	}
	if o, ok := f.orgs.Find(func(o Organization) bool { return o.Slug == idOrSlug }); ok {
		return o, nil
	}
	return Organization{}, notFound("organization", idOrSlug)
}

func (f *Fake) organizationView(o Organization, count bool) Organization {
	if count {
		n := int64(len(f.memberships.All(func(m Membership) bool { return m.OrganizationID == o.ID })))
		o.MembersCount = &n
	}
	return o
}

func (f *Fake) getOrganization(r *http.Request) (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o, err := f.organization(r.PathValue("org"))
	if err != nil {
		return nil, err
	}
	return f.organizationView(o, r.URL.Query().Get("include_members_count") == "true"), nil
}

func (f *Fake) listOrganizations(r *http.Request) (any, error) {
	q := r.URL.Query()
	limit, offset, err := paging(q)
	if err != nil {
		return nil, err
	}
	users := slices.Concat(q["user_id"], q["user_id[]"])
	f.mu.Lock()
	defer f.mu.Unlock()
	list := f.orgs.All(func(o Organization) bool {
		member := len(users) == 0 || slices.ContainsFunc(users, func(u string) bool {
			_, ok := f.memberships.Get(membershipKey(o.ID, u))
			return ok
		})
		return member && contains(q, "query", o.ID, o.Name, o.Slug)
	})
	err = order(list, q, map[string]func(Organization) int64{
		"created_at":    func(o Organization) int64 { return o.CreatedAt },
		"members_count": func(o Organization) int64 { return orZero(f.organizationView(o, true).MembersCount) },
	}, map[string]func(Organization) string{
		"name": func(o Organization) string { return o.Name },
	}, func(o Organization) string { return o.ID })
	if err != nil {
		return nil, err
	}
	part := slices.Clone(cut(list, limit, offset))
	for i := range part {
		part[i] = f.organizationView(part[i], q.Get("include_members_count") == "true")
	}
	return page[Organization]{part, int64(len(list))}, nil
}

func (f *Fake) updateOrganization(r *http.Request) (any, error) {
	var p organizationParams
	if err := readBody(r, &p); err != nil {
		return nil, err
	}
	return f.changeOrganization(r, func(o *Organization) error {
		if p.Slug != nil && f.slugTaken(*p.Slug, o.ID) {
			return invalid("slug", "form_identifier_exists", "is taken. Please try another.")
		}
		return p.apply(o)
	})
}

func (f *Fake) replaceOrganizationMetadata(r *http.Request) (any, error) {
	return f.changeOrganizationMetadata(r, replaceObject)
}

func (f *Fake) mergeOrganizationMetadata(r *http.Request) (any, error) {
	return f.changeOrganizationMetadata(r, mergeObject)
}

func (f *Fake) changeOrganizationMetadata(r *http.Request, change func(old, patch json.RawMessage) (json.RawMessage, error)) (any, error) {
	var m metadata
	if err := readBody(r, &m); err != nil {
		return nil, err
	}
	return f.changeOrganization(r, func(o *Organization) error {
		return m.each(&o.PublicMetadata, &o.PrivateMetadata, nil, change)
	})
}

func (f *Fake) changeOrganization(r *http.Request, change func(*Organization) error) (any, error) {
	defer f.begin(r)()
	o, err := f.organization(r.PathValue("org"))
	if err != nil {
		return nil, err
	}
	if err := change(&o); err != nil {
		return nil, err
	}
	o.UpdatedAt = max(f.nowMs(), o.UpdatedAt+1)
	if err := f.orgs.Insert(o.ID, o); err != nil {
		return nil, err
	}
	f.emit("organization.updated", o.ID, o)
	return f.organizationView(o, false), nil
}

func (f *Fake) deleteOrganization(r *http.Request) (any, error) {
	defer f.begin(r)()
	o, err := f.organization(r.PathValue("org"))
	if err != nil {
		return nil, err
	}
	if err := f.leaveAll(func(m Membership) bool { return m.OrganizationID == o.ID }); err != nil {
		return nil, err
	}
	if err := errors.Join(f.orgs.Delete(o.ID), f.gone.Insert(o.ID, tombstone{})); err != nil {
		return nil, err
	}
	gone := deleted{ID: o.ID, Object: "organization", Slug: o.Slug, Deleted: true}
	f.emit("organization.deleted", o.ID, gone)
	return gone, nil
}

// slugOf makes a slug of any text: lower-case letters, digits and single hyphens.
func slugOf(text string) string {
	var b strings.Builder
	for _, c := range strings.ToLower(text) {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			b.WriteRune(c)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	slug := strings.Trim(b.String(), "-")
	return cmp.Or(slug[:min(len(slug), 48)], "org")
}
