package clerk

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/trivet-dev/trivet/sandbox/internal/ident"
)

// maxID bounds a user's or organization's identifier, in bytes.
const maxID = 256

// userParams are the fields of a create or update; nil leaves a field alone.
type userParams struct {
	EmailAddresses            *[]string        `json:"email_address"`
	PhoneNumbers              *[]string        `json:"phone_number"`
	Username                  *string          `json:"username"`
	Password                  *string          `json:"password"`
	FirstName                 *string          `json:"first_name"`
	LastName                  *string          `json:"last_name"`
	Locale                    *string          `json:"locale"`
	ExternalID                *string          `json:"external_id"`
	PrimaryEmailAddressID     *string          `json:"primary_email_address_id"`
	PublicMetadata            *json.RawMessage `json:"public_metadata"`
	PrivateMetadata           *json.RawMessage `json:"private_metadata"`
	UnsafeMetadata            *json.RawMessage `json:"unsafe_metadata"`
	SkipPasswordRequirement   *bool            `json:"skip_password_requirement"`
	SkipPasswordChecks        *bool            `json:"skip_password_checks"`
	SignOutOfOtherSessions    *bool            `json:"sign_out_of_other_sessions"`
	DeleteSelfEnabled         *bool            `json:"delete_self_enabled"`
	CreateOrganizationEnabled *bool            `json:"create_organization_enabled"`
	SkipLegalChecks           *bool            `json:"skip_legal_checks"`
}

func (f *Fake) createUser(r *http.Request) (any, error) {
	var p userParams
	if err := readBody(r, &p); err != nil {
		return nil, err
	}
	if p.EmailAddresses == nil || len(*p.EmailAddresses) == 0 {
		return nil, missing("email_address")
	}
	defer f.begin(r)()
	u := f.newUser(f.ids.Next("user_", 27))
	if err := f.checkUser(u.ID, p); err != nil {
		return nil, err
	}
	for _, address := range *p.EmailAddresses {
		u.addEmail(address, f.nowMs())
	}
	if err := p.apply(&u, f.nowMs()); err != nil {
		return nil, err
	}
	return u, f.insertUser(u)
}

// insertUser stores a new user and its addresses.
func (f *Fake) insertUser(u User) error {
	if err := f.users.Insert(u.ID, u); err != nil {
		return err
	}
	for _, e := range u.EmailAddresses {
		f.emails[strings.ToLower(e.EmailAddress)] = u.ID
	}
	f.emit("user.created", u.ID, u)
	return nil
}

func (f *Fake) newUser(id string) User {
	now := f.nowMs()
	none := []struct{}{}
	return User{
		ID: id, Object: "user", ImageURL: "https://img.clerk.com/sandbox", EmailAddresses: []EmailAddress{},
		PhoneNumbers: none, Web3Wallets: none, Passkeys: none, ExternalAccounts: none, SAMLAccounts: none, EnterpriseAccounts: none,
		PublicMetadata: emptyObject(), PrivateMetadata: emptyObject(), UnsafeMetadata: emptyObject(),
		DeleteSelfEnabled: true, CreateOrganizationEnabled: true, VerificationAttemptsRemaining: new(int64(lockoutAttempts)), CreatedAt: now, UpdatedAt: now,
	}
}

// checkUser refuses what another user has already.
func (f *Fake) checkUser(id string, p userParams) error {
	if p.EmailAddresses != nil {
		for _, address := range *p.EmailAddresses {
			if !strings.Contains(address, "@") {
				return invalid("email_address", "form_param_format_invalid", "must be a valid email address.")
			}
			if owner, ok := f.emails[strings.ToLower(address)]; ok && owner != id {
				return invalid("email_address", "form_identifier_exists", "is taken. Please try another.")
			}
		}
	}
	taken := func(param string, want *string, have func(User) *string) error {
		if want == nil || *want == "" {
			return nil
		}
		if _, ok := f.users.Find(func(u User) bool { return u.ID != id && orEmpty(have(u)) == *want }); ok {
			return invalid(param, "form_identifier_exists", "is taken. Please try another.")
		}
		return nil
	}
	if err := taken("external_id", p.ExternalID, func(u User) *string { return u.ExternalID }); err != nil {
		return err
	}
	return taken("username", p.Username, func(u User) *string { return u.Username })
}

// addEmail adds a verified address; the first one becomes the primary.
func (u *User) addEmail(address string, now int64) {
	e := EmailAddress{
		ID: "idn_" + ident.Derive(27, "email", u.ID, address), Object: "email_address", EmailAddress: address,
		Verification: Verification{Object: "verification_admin", Status: "verified", Strategy: "admin"},
		LinkedTo:     []struct{}{}, CreatedAt: now, UpdatedAt: now,
	}
	u.EmailAddresses = append(slices.Clone(u.EmailAddresses), e)
	if u.PrimaryEmailAddressID == nil {
		u.PrimaryEmailAddressID = &e.ID
	}
}

// PrimaryEmail returns the primary address, or "" if none exists.
func (u *User) PrimaryEmail() string {
	for _, e := range u.EmailAddresses {
		if u.PrimaryEmailAddressID != nil && e.ID == *u.PrimaryEmailAddressID {
			return e.EmailAddress
		}
	}
	return ""
}

// apply changes all fields but the addresses.
func (p userParams) apply(u *User, now int64) error {
	if p.PrimaryEmailAddressID != nil {
		if !slices.ContainsFunc(u.EmailAddresses, func(e EmailAddress) bool { return e.ID == *p.PrimaryEmailAddressID }) {
			return invalid("primary_email_address_id", "form_param_value_invalid", "is not one of the user's addresses.")
		}
		u.PrimaryEmailAddressID = p.PrimaryEmailAddressID
	}
	set(&u.Username, p.Username)
	set(&u.FirstName, p.FirstName)
	set(&u.LastName, p.LastName)
	set(&u.Locale, p.Locale)
	set(&u.ExternalID, p.ExternalID)
	for field, value := range map[*bool]*bool{&u.DeleteSelfEnabled: p.DeleteSelfEnabled, &u.CreateOrganizationEnabled: p.CreateOrganizationEnabled} {
		if value != nil {
			*field = *value
		}
	}
	if p.Password != nil {
		u.PasswordEnabled, u.PasswordLastUpdatedAt = true, &now
	}
	return p.metadata().replace(u)
}

// set takes over a field that is given; the empty string clears it.
func set(field **string, value *string) {
	switch {
	case value == nil:
	case *value == "":
		*field = nil
	default:
		*field = value
	}
}

func (f *Fake) getUser(r *http.Request) (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.user(r.PathValue("user"))
}

func (f *Fake) user(id string) (User, error) {
	u, ok := f.users.Get(id)
	if !ok {
		return User{}, notFound("user", id)
	}
	return u, nil
}

// User returns the user with that identifier.
func (f *Fake) User(id string) (User, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.users.Get(id)
}

func (f *Fake) updateUser(r *http.Request) (any, error) {
	var p userParams
	if err := readBody(r, &p); err != nil {
		return nil, err
	}
	if p.EmailAddresses != nil {
		return nil, invalid("email_address", "form_param_unknown", "is not a valid parameter for this request.")
	}
	return f.changeUser(r, func(u *User) error {
		if err := f.checkUser(u.ID, p); err != nil {
			return err
		}
		return p.apply(u, f.nowMs())
	})
}

// changeUser applies change to a copy of the user in the path and stores it. The lock is held meanwhile.
func (f *Fake) changeUser(r *http.Request, change func(*User) error) (any, error) {
	defer f.begin(r)()
	u, err := f.user(r.PathValue("user"))
	if err != nil {
		return nil, err
	}
	if err := change(&u); err != nil {
		return nil, err
	}
	return f.updatedUser(u)
}

// updatedUser stores a changed user with a later update time.
func (f *Fake) updatedUser(u User) (User, error) {
	u.UpdatedAt = max(f.nowMs(), u.UpdatedAt+1)
	if err := f.users.Insert(u.ID, u); err != nil {
		return User{}, err
	}
	f.emit("user.updated", u.ID, u)
	return u, nil
}

func (f *Fake) deleteUser(r *http.Request) (any, error) {
	defer f.begin(r)()
	u, err := f.user(r.PathValue("user"))
	if err != nil {
		return nil, err
	}
	if err := f.endSessions(u.ID, "removed"); err != nil {
		return nil, err
	}
	if err := f.leaveAll(func(m Membership) bool { return m.UserID == u.ID }); err != nil {
		return nil, err
	}
	for _, e := range u.EmailAddresses {
		delete(f.emails, strings.ToLower(e.EmailAddress))
	}
	if err := errors.Join(f.users.Delete(u.ID), f.gone.Insert(u.ID, tombstone{})); err != nil {
		return nil, err
	}
	gone := deleted{ID: u.ID, Object: "user", ExternalID: u.ExternalID, Deleted: true}
	f.emit("user.deleted", u.ID, gone)
	return gone, nil
}

// leaveAll ends the memberships that match.
func (f *Fake) leaveAll(match func(Membership) bool) error {
	for _, m := range f.memberships.All(match) {
		if err := f.leave(m); err != nil {
			return err
		}
	}
	return nil
}

func (f *Fake) listUsers(r *http.Request) (any, error) {
	q := r.URL.Query()
	limit, offset, err := paging(q)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	list := f.users.All(func(u User) bool { return f.userMatches(u, q) })
	f.mu.Unlock()
	if err := orderUsers(list, q); err != nil {
		return nil, err
	}
	return cut(list, limit, offset), nil
}

func orderUsers(list []User, q url.Values) error {
	return order(list, q, map[string]func(User) int64{
		"created_at":      func(u User) int64 { return u.CreatedAt },
		"updated_at":      func(u User) int64 { return u.UpdatedAt },
		"last_sign_in_at": func(u User) int64 { return orZero(u.LastSignInAt) },
		"last_active_at":  func(u User) int64 { return orZero(u.LastActiveAt) },
	}, map[string]func(User) string{
		"email_address": func(u User) string { return u.PrimaryEmail() },
		"first_name":    func(u User) string { return orEmpty(u.FirstName) },
		"last_name":     func(u User) string { return orEmpty(u.LastName) },
		"username":      func(u User) string { return orEmpty(u.Username) },
	}, func(u User) string { return u.ID })
}

func (f *Fake) countUsers(r *http.Request) (any, error) {
	q := r.URL.Query()
	f.mu.Lock()
	defer f.mu.Unlock()
	return struct {
		Object     string `json:"object"`
		TotalCount int    `json:"total_count"`
	}{"total_count", len(f.users.All(func(u User) bool { return f.userMatches(u, q) }))}, nil
}

func (f *Fake) userMatches(u User, q url.Values) bool {
	var emails []string
	for _, e := range u.EmailAddresses {
		emails = append(emails, e.EmailAddress)
	}
	names := []string{orEmpty(u.FirstName), orEmpty(u.LastName), orEmpty(u.FirstName) + " " + orEmpty(u.LastName)}
	everything := slices.Concat(emails, names, []string{u.ID, orEmpty(u.Username)})
	banned := q.Get("banned")
	return matchesAny(q, "email_address", emails...) &&
		matchesAny(q, "external_id", orEmpty(u.ExternalID)) &&
		matchesAny(q, "username", orEmpty(u.Username)) &&
		matchesAny(q, "user_id", u.ID) &&
		contains(q, "email_address_query", emails...) &&
		contains(q, "name_query", names...) &&
		contains(q, "query", everything...) &&
		(banned == "" || banned == "true" == u.Banned) &&
		between(q, "created_at", u.CreatedAt) &&
		between(q, "last_active_at", orZero(u.LastActiveAt)) &&
		f.inOrganizations(u.ID, slices.Concat(q["organization_id"], q["organization_id[]"]))
}

// inOrganizations tells whether the user is a member of one of those organizations; "-" before one excludes its
// members.
func (f *Fake) inOrganizations(user string, orgs []string) bool {
	if len(orgs) == 0 {
		return true
	}
	in := false
	for _, org := range orgs {
		name, exclude := strings.CutPrefix(org, "-")
		_, member := f.memberships.Get(membershipKey(strings.TrimPrefix(name, "+"), user))
		if exclude && member {
			return false
		}
		in = in || exclude || member
	}
	return in
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func orZero(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}
