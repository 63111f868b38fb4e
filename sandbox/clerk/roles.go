package clerk

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/trivet-dev/trivet/sandbox/internal/ident"
)

// Role is what a member of an organization may be.
type Role struct {
	Object            string       `json:"object"`
	ID                string       `json:"id"`
	Name              string       `json:"name"`
	Key               string       `json:"key"`
	Description       *string      `json:"description"`
	Permissions       []Permission `json:"permissions"`
	IsCreatorEligible bool         `json:"is_creator_eligible"`
	CreatedAt         int64        `json:"created_at"`
	UpdatedAt         int64        `json:"updated_at"`
}

// Permission is what a role allows.
type Permission struct {
	Object      string  `json:"object"`
	ID          string  `json:"id"`
	Name        string  `json:"name"`
	Key         string  `json:"key"`
	Description *string `json:"description"`
	Type        string  `json:"type"` // "system" or "user"
	CreatedAt   int64   `json:"created_at"`
	UpdatedAt   int64   `json:"updated_at"`
}

// seedRoles makes the roles and permissions that every instance has.
func (f *Fake) seedRoles() error {
	if f.roles.Len() > 0 {
		return nil
	}
	now := f.nowMs()
	for _, key := range rolePermissions("org:admin") {
		p := Permission{Object: "permission", ID: "perm_" + ident.Derive(27, "permission", key), Name: key, Key: key, Type: "system", CreatedAt: now, UpdatedAt: now}
		if err := f.permissions.Insert(p.ID, p); err != nil {
			return err
		}
	}
	for _, key := range []string{"org:admin", "org:member"} {
		role := Role{Object: "role", ID: "role_" + ident.Derive(27, "role", key), Name: roleName(key), Key: key, IsCreatorEligible: key == "org:admin", CreatedAt: now, UpdatedAt: now}
		for _, p := range rolePermissions(key) {
			permission, _ := f.permissions.Find(func(have Permission) bool { return have.Key == p })
			role.Permissions = append(role.Permissions, permission)
		}
		if err := f.roles.Insert(role.ID, role); err != nil {
			return err
		}
	}
	return nil
}

// permissionsOf returns the permissions of a role, by its key. An undefined role may read.
func (f *Fake) permissionsOf(key string) []string {
	role, ok := f.roles.Find(func(r Role) bool { return r.Key == key })
	if !ok {
		return rolePermissions(key)
	}
	keys := []string{}
	for _, p := range role.Permissions {
		keys = append(keys, p.Key)
	}
	return keys
}

// roleParams are the fields of a create or update; nil leaves a field alone.
type roleParams struct {
	Name                    *string   `json:"name"`
	Key                     *string   `json:"key"`
	Description             *string   `json:"description"`
	Permissions             *[]string `json:"permissions"`
	IsManaged               *bool     `json:"is_managed"`
	IncludeInInitialRoleSet *bool     `json:"include_in_initial_role_set"`
}

func (f *Fake) createRole(r *http.Request) (any, error) {
	var p roleParams
	if err := readBody(r, &p); err != nil {
		return nil, err
	}
	if orEmpty(p.Name) == "" || orEmpty(p.Key) == "" {
		return nil, missing("name and key")
	}
	defer f.begin(r)()
	now := f.nowMs()
	role := Role{Object: "role", ID: f.ids.Next("role_", 27), Permissions: []Permission{}, CreatedAt: now, UpdatedAt: now}
	if err := f.applyRole(&role, p); err != nil {
		return nil, err
	}
	return f.saveRole(role, "created")
}

func (f *Fake) saveRole(role Role, kind string) (any, error) {
	if err := f.roles.Insert(role.ID, role); err != nil {
		return nil, err
	}
	f.emit("role."+kind, role.ID, role)
	return role, nil
}

func (f *Fake) applyRole(role *Role, p roleParams) error {
	if p.Name != nil {
		role.Name = *p.Name
	}
	if p.Key != nil {
		key, err := parseRole(*p.Key)
		if err != nil {
			return err
		}
		if _, taken := f.roles.Find(func(o Role) bool { return o.Key == key && o.ID != role.ID }); taken {
			return invalid("key", "form_identifier_exists", "is taken. Please try another.")
		}
		role.Key = key
	}
	set(&role.Description, p.Description)
	if p.Permissions == nil {
		return nil
	}
	role.Permissions = []Permission{}
	for _, id := range *p.Permissions {
		permission, err := f.permission(id)
		if err != nil {
			return err
		}
		role.Permissions = append(role.Permissions, permission)
	}
	return nil
}

func (f *Fake) role(id string) (Role, error) {
	role, ok := f.roles.Get(id)
	if !ok {
		return Role{}, notFound("organization role", id)
	}
	return role, nil
}

func (f *Fake) getRole(r *http.Request) (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.role(r.PathValue("role"))
}

func (f *Fake) updateRole(r *http.Request) (any, error) {
	var p roleParams
	if err := readBody(r, &p); err != nil {
		return nil, err
	}
	return f.changeRole(r, func(role *Role) error { return f.applyRole(role, p) })
}

func (f *Fake) changeRole(r *http.Request, change func(*Role) error) (any, error) {
	defer f.begin(r)()
	role, err := f.role(r.PathValue("role"))
	if err != nil {
		return nil, err
	}
	before := role.Key
	if err := change(&role); err != nil {
		return nil, err
	}
	if err := f.renameRole(before, role.Key); err != nil {
		return nil, err
	}
	role.UpdatedAt = max(f.nowMs(), role.UpdatedAt+1)
	return f.saveRole(role, "updated")
}

// renameRole lets the members keep a role whose key is changed. No event reports them, and they don't count as changed:
// whoever keeps a copy must take it from the role.
func (f *Fake) renameRole(from, to string) error {
	if from == to {
		return nil
	}
	for _, m := range f.memberships.All(func(m Membership) bool { return m.Role == from }) {
		m.Role, m.RoleName = to, roleName(to)
		if err := f.memberships.Insert(membershipKey(m.OrganizationID, m.UserID), m); err != nil {
			return err
		}
	}
	return nil
}

func (f *Fake) assignPermission(r *http.Request) (any, error) {
	return f.changeRole(r, func(role *Role) error {
		p, err := f.permission(r.PathValue("permission"))
		if err != nil {
			return err
		}
		role.Permissions = append(slices.DeleteFunc(slices.Clone(role.Permissions), func(have Permission) bool { return have.ID == p.ID }), p)
		return nil
	})
}

func (f *Fake) removePermission(r *http.Request) (any, error) {
	return f.changeRole(r, func(role *Role) error {
		role.Permissions = slices.DeleteFunc(slices.Clone(role.Permissions), func(have Permission) bool { return have.ID == r.PathValue("permission") })
		return nil
	})
}

func (f *Fake) deleteRole(r *http.Request) (any, error) {
	defer f.begin(r)()
	role, err := f.role(r.PathValue("role"))
	if err != nil {
		return nil, err
	}
	if _, used := f.memberships.Find(func(m Membership) bool { return m.Role == role.Key }); used {
		return nil, &failure{http.StatusForbidden, apiError{
			Message: "role is in use", LongMessage: "Members have the role " + role.Key + "; give them another first.", Code: "organization_role_assigned_to_members",
		}}
	}
	if err := f.roles.Delete(role.ID); err != nil {
		return nil, err
	}
	gone := deleted{ID: role.ID, Object: "role", Deleted: true}
	f.emit("role.deleted", role.ID, gone)
	return gone, nil
}

func (f *Fake) listRoles(r *http.Request) (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	q := r.URL.Query()
	list := f.roles.All(func(o Role) bool { return contains(q, "query", o.ID, o.Name, o.Key) })
	return pageOf(list, q, func(o Role) int64 { return o.CreatedAt }, func(o Role) string { return o.Key }, func(o Role) string { return o.ID })
}

// pageOf orders a list by time of creation, name or key, and cuts out a page.
func pageOf[T any](list []T, q url.Values, created func(T) int64, key, id func(T) string) (any, error) {
	limit, offset, err := paging(q)
	if err != nil {
		return nil, err
	}
	if err := order(list, q, map[string]func(T) int64{"created_at": created}, map[string]func(T) string{"key": key, "name": key}, id); err != nil {
		return nil, err
	}
	return page[T]{cut(list, limit, offset), int64(len(list))}, nil
}
