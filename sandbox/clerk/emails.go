package clerk

import (
	"net/http"
	"slices"
	"strings"
)

// emailParams are the fields of a create or update of an address; nil leaves a field alone.
type emailParams struct {
	UserID       *string `json:"user_id"`
	EmailAddress *string `json:"email_address"`
	Verified     *bool   `json:"verified"`
	Primary      *bool   `json:"primary"`
}

// owner finds the user who has an address, by the address's identifier, and where it stands. The lock is held.
func (f *Fake) owner(id string) (User, int, error) {
	u, ok := f.users.Find(func(u User) bool {
		return slices.ContainsFunc(u.EmailAddresses, func(e EmailAddress) bool { return e.ID == id })
	})
	if !ok {
		return User{}, 0, notFound("email address", id)
	}
	u.EmailAddresses = slices.Clone(u.EmailAddresses)
	return u, slices.IndexFunc(u.EmailAddresses, func(e EmailAddress) bool { return e.ID == id }), nil
}

func (f *Fake) createEmail(r *http.Request) (any, error) {
	var p emailParams
	if err := readBody(r, &p); err != nil {
		return nil, err
	}
	defer f.begin(r)()
	u, err := f.user(orEmpty(p.UserID))
	if err != nil {
		return nil, err
	}
	if err := f.checkUser(u.ID, userParams{EmailAddresses: &[]string{orEmpty(p.EmailAddress)}}); err != nil {
		return nil, err
	}
	if _, taken := f.emails[strings.ToLower(*p.EmailAddress)]; taken {
		return nil, invalid("email_address", "form_identifier_exists", "is taken. Please try another.")
	}
	u.addEmail(*p.EmailAddress, f.nowMs())
	return f.saveEmail(u, len(u.EmailAddresses)-1, p)
}

func (f *Fake) updateEmail(r *http.Request) (any, error) {
	var p emailParams
	if err := readBody(r, &p); err != nil {
		return nil, err
	}
	defer f.begin(r)()
	u, at, err := f.owner(r.PathValue("email"))
	if err != nil {
		return nil, err
	}
	return f.saveEmail(u, at, p)
}

// saveEmail stores a user with a changed address.
func (f *Fake) saveEmail(u User, at int, p emailParams) (any, error) {
	e := &u.EmailAddresses[at]
	if p.Verified != nil && !*p.Verified {
		e.Verification = Verification{Object: "verification_admin", Status: "unverified", Strategy: "admin"}
	} else if p.Verified != nil {
		e.Verification.Status = "verified"
	}
	if p.Primary != nil && *p.Primary {
		u.PrimaryEmailAddressID = &e.ID
	}
	e.UpdatedAt = max(f.nowMs(), e.UpdatedAt)
	f.emails[strings.ToLower(e.EmailAddress)] = u.ID
	_, err := f.updatedUser(u)
	return *e, err
}

func (f *Fake) getEmail(r *http.Request) (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	u, at, err := f.owner(r.PathValue("email"))
	if err != nil {
		return nil, err
	}
	return u.EmailAddresses[at], nil
}

func (f *Fake) deleteEmail(r *http.Request) (any, error) {
	defer f.begin(r)()
	u, at, err := f.owner(r.PathValue("email"))
	if err != nil {
		return nil, err
	}
	gone := u.EmailAddresses[at]
	u.EmailAddresses = slices.Delete(u.EmailAddresses, at, at+1)
	delete(f.emails, strings.ToLower(gone.EmailAddress))
	if orEmpty(u.PrimaryEmailAddressID) == gone.ID {
		u.PrimaryEmailAddressID = nil
		if len(u.EmailAddresses) > 0 {
			u.PrimaryEmailAddressID = &u.EmailAddresses[0].ID
		}
	}
	if _, err := f.updatedUser(u); err != nil {
		return nil, err
	}
	return deleted{ID: gone.ID, Object: "email_address", Deleted: true}, nil
}
