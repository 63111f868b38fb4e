package clerk

import "net/http"

func (f *Fake) getMe(_ *http.Request, b *browser) (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	u, err := f.current(b)
	if err != nil {
		return nil, err
	}
	return f.frontUser(u), nil
}

func (f *Fake) updateMe(r *http.Request, b *browser) (any, error) {
	in, err := form(r)
	if err != nil {
		return nil, err
	}
	var p userParams
	for name, field := range map[string]**string{
		"first_name": &p.FirstName, "last_name": &p.LastName, "username": &p.Username, "primary_email_address_id": &p.PrimaryEmailAddressID,
	} {
		if in.Has(name) {
			*field = new(in.Get(name))
		}
	}
	defer f.begin(r)()
	u, err := f.current(b)
	if err != nil {
		return nil, err
	}
	if err := f.checkUser(u.ID, p); err != nil {
		return nil, err
	}
	if err := p.apply(&u, f.nowMs()); err != nil {
		return nil, err
	}
	if u, err = f.updatedUser(u); err != nil {
		return nil, err
	}
	return f.frontUser(u), nil
}

func (f *Fake) listMyMemberships(r *http.Request, b *browser) (any, error) {
	limit, offset, err := paging(r.URL.Query())
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	u, err := f.current(b)
	if err != nil {
		return nil, err
	}
	list := f.frontMemberships(func(m Membership) bool { return m.UserID == u.ID })
	return page[Membership]{cut(list, limit, offset), int64(len(list))}, nil
}

// listNothing answers an empty list to a signed-in browser: of invitations, suggestions and domains.
func (f *Fake) listNothing(_ *http.Request, b *browser) (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.current(b); err != nil {
		return nil, err
	}
	return page[struct{}]{Data: []struct{}{}}, nil
}

// listMySessions answers without the details of devices, which the sandbox does not know.
func (f *Fake) listMySessions(_ *http.Request, b *browser) (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.current(b); err != nil {
		return nil, err
	}
	return []struct{}{}, nil
}
