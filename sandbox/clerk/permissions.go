package clerk

import (
	"net/http"
	"slices"
)

type permissionParams struct {
	Name        *string `json:"name"`
	Key         *string `json:"key"`
	Description *string `json:"description"`
}

func (p permissionParams) apply(permission *Permission) error {
	if p.Name != nil {
		permission.Name = *p.Name
	}
	if p.Key != nil {
		if _, err := encodePermissions([]string{*p.Key}); err != nil {
			return err
		}
		permission.Key = *p.Key
	}
	set(&permission.Description, p.Description)
	return nil
}

func (f *Fake) permission(id string) (Permission, error) {
	if p, ok := f.permissions.Get(id); ok {
		return p, nil
	}
	return Permission{}, notFound("organization permission", id)
}

func (f *Fake) createPermission(r *http.Request) (any, error) {
	var p permissionParams
	if err := readBody(r, &p); err != nil {
		return nil, err
	}
	if orEmpty(p.Name) == "" || orEmpty(p.Key) == "" {
		return nil, missing("name and key")
	}
	defer f.begin(r)()
	now := f.nowMs()
	permission := Permission{Object: "permission", ID: f.ids.Next("perm_", 27), Type: "user", CreatedAt: now, UpdatedAt: now}
	if err := p.apply(&permission); err != nil {
		return nil, err
	}
	if _, taken := f.permissions.Find(func(o Permission) bool { return o.Key == permission.Key }); taken {
		return nil, invalid("key", "form_identifier_exists", "is taken. Please try another.")
	}
	return f.savePermission(permission, "created")
}

func (f *Fake) savePermission(p Permission, kind string) (any, error) {
	if err := f.permissions.Insert(p.ID, p); err != nil {
		return nil, err
	}
	f.emit("permission."+kind, p.ID, p)
	return p, nil
}

func (f *Fake) getPermission(r *http.Request) (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.permission(r.PathValue("permission"))
}

// ownPermission returns the permission in the path when it is not one of Clerk's own.
func (f *Fake) ownPermission(r *http.Request) (Permission, error) {
	p, err := f.permission(r.PathValue("permission"))
	if err == nil && p.Type == "system" {
		err = &failure{http.StatusForbidden, apiError{
			Message: "system permission", LongMessage: "The permission " + p.Key + " is Clerk's own and cannot be changed.", Code: "organization_system_permission_not_modifiable",
		}}
	}
	return p, err
}

func (f *Fake) updatePermission(r *http.Request) (any, error) {
	var params permissionParams
	if err := readBody(r, &params); err != nil {
		return nil, err
	}
	defer f.begin(r)()
	p, err := f.ownPermission(r)
	if err != nil {
		return nil, err
	}
	if err := params.apply(&p); err != nil {
		return nil, err
	}
	p.UpdatedAt = max(f.nowMs(), p.UpdatedAt+1)
	for _, role := range f.roles.All(nil) {
		if at := slices.IndexFunc(role.Permissions, func(have Permission) bool { return have.ID == p.ID }); at >= 0 {
			role.Permissions = slices.Clone(role.Permissions)
			role.Permissions[at] = p
			if err := f.roles.Insert(role.ID, role); err != nil {
				return nil, err
			}
		}
	}
	return f.savePermission(p, "updated")
}

func (f *Fake) deletePermission(r *http.Request) (any, error) {
	defer f.begin(r)()
	p, err := f.ownPermission(r)
	if err != nil {
		return nil, err
	}
	for _, role := range f.roles.All(nil) {
		had := len(role.Permissions)
		role.Permissions = slices.DeleteFunc(slices.Clone(role.Permissions), func(have Permission) bool { return have.ID == p.ID })
		if len(role.Permissions) == had {
			continue
		}
		role.UpdatedAt = max(f.nowMs(), role.UpdatedAt+1)
		if _, err := f.saveRole(role, "updated"); err != nil {
			return nil, err
		}
	}
	if err := f.permissions.Delete(p.ID); err != nil {
		return nil, err
	}
	gone := deleted{ID: p.ID, Object: "permission", Deleted: true}
	f.emit("permission.deleted", p.ID, gone)
	return gone, nil
}

func (f *Fake) listPermissions(r *http.Request) (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	q := r.URL.Query()
	list := f.permissions.All(func(p Permission) bool { return contains(q, "query", p.ID, p.Name, p.Key) })
	return pageOf(list, q, func(p Permission) int64 { return p.CreatedAt }, func(p Permission) string { return p.Key }, func(p Permission) string { return p.ID })
}
