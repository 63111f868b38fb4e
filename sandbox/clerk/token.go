package clerk

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/trivet-dev/trivet/sandbox/internal/ident"
)

// maxTTL bounds the lifetime of a token.
const maxTTL = 10 * 365 * 24 * time.Hour

// TokenSpec says what a token claims. Only User is needed; the other fields have the values of a real session.
type TokenSpec struct {
	// User is the sub claim, as it is: 1 to 256 bytes without control characters. A user that the instance does
	// not know is created with a name and an address that follow from the identifier.
	User string
	// Email is the address of a user that is created; empty means one at example.test.
	Email string
	// Org is the active organization; it is created when the instance does not know it, and the user joins it.
	// Empty means none.
	Org string
	// Role is the user's role in Org, "org:admin" or "admin". Empty keeps the member's role; who joins is a
	// member, who creates the organization an admin.
	Role string
	// TTL is the token's life; zero means [TokenLife]. It may be negative, for expired tokens.
	TTL time.Duration
	// Age makes the token that much older: it moves iat, nbf and exp back.
	Age time.Duration
	// AuthorizedParty is the azp claim; empty means the instance's default.
	AuthorizedParty string
	// Plan is the slug of the pla claim; empty means "free".
	Plan string
	// Permissions are custom permissions "org:feature:permission" in the active organization.
	Permissions []string
	// Template makes a token of a JWT template: without session, organization and version, and with the claims
	// email, userId, firstName and lastName.
	Template string
	// Forge bends the token for tests of a verifier.
	Forge Forge

	session             string // the session to speak of; empty is the user's last
	firstName, lastName string // of a user that is created; empty follows from the identifier
	orgName             string // of an organization that is created; empty likewise
}

// Validate returns an error that names the first invalid field.
func (s TokenSpec) Validate() error {
	if err := checkID("user", s.User); err != nil {
		return err
	}
	if s.Org != "" {
		if err := checkID("org", s.Org); err != nil {
			return err
		}
	}
	if s.Role != "" {
		if s.Org == "" {
			return invalid("role", "form_param_invalid", "needs an org.")
		}
		if _, err := parseRole(s.Role); err != nil {
			return err
		}
	}
	if s.Email != "" && (!strings.Contains(s.Email, "@") || checkID("email", s.Email) != nil) {
		return invalid("email", "form_param_format_invalid", "must be a valid email address.")
	}
	if s.TTL > maxTTL || s.TTL < -maxTTL {
		return invalid("ttl", "form_param_format_invalid", "must be at most 10 years.")
	}
	_, err := encodePermissions(s.Permissions)
	return err
}

func checkID(name, id string) error {
	switch {
	case id == "":
		return missing(name)
	case len(id) > maxID:
		return invalid(name, "form_param_format_invalid", fmt.Sprintf("must be at most %d bytes.", maxID))
	case !utf8.ValidString(id) || strings.ContainsFunc(id, unicode.IsControl):
		return invalid(name, "form_param_format_invalid", "must be UTF-8 without control characters.")
	}
	return nil
}

// MintToken signs a token, and creates the user, the organization, the membership and the session that it
// speaks of. The error says which field is wrong, or that the user is banned, deprovisioned, deleted, or
// locked without a session.
func (f *Fake) MintToken(ctx context.Context, spec TokenSpec) (string, error) {
	if err := spec.Validate(); err != nil {
		return "", err
	}
	key, err := f.keys.current(ctx)
	if err != nil {
		return "", err
	}
	claims, err := f.claims(spec)
	if err != nil {
		return "", err
	}
	return f.forge(ctx, key, claims, spec.Forge)
}

func (f *Fake) claims(spec TokenSpec) (claims, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	u, err := f.ensureUser(spec)
	if err != nil {
		return nil, err
	}
	o, role, err := f.ensureOrganization(spec)
	if err != nil {
		return nil, err
	}
	session := spec.session
	if session == "" {
		s, err := f.signIn(u.ID, spec.Org)
		if err != nil {
			return nil, err
		}
		session = s.ID
	}
	ttl := spec.TTL
	if ttl == 0 {
		ttl = TokenLife
	}
	at := f.cfg.Now().Add(-spec.Age)
	c := claims{
		"iss": f.Issuer(), "sub": u.ID, "azp": cmp.Or(spec.AuthorizedParty, f.cfg.AuthorizedParty),
		"iat": at.Unix(), "nbf": at.Unix() - 10, "exp": at.Add(ttl).Unix(), "jti": ident.Derive(20, "jti", f.ids.Next("", 20)),
	}
	if spec.Template != "" {
		c["email"], c["userId"], c["firstName"], c["lastName"] = u.PrimaryEmail(), u.ID, orEmpty(u.FirstName), orEmpty(u.LastName)
		return c, nil
	}
	c["v"], c["sid"], c["sts"], c["fva"] = 2, session, "active", []int{0, -1}
	return c, c.addOrganization(spec, o, role)
}

// ensureUser returns the user of a spec, and creates it when the instance has never heard of it.
func (f *Fake) ensureUser(spec TokenSpec) (User, error) {
	if _, gone := f.gone.Get(spec.User); gone {
		return User{}, invalid("user", "resource_deleted", "was deleted, and Clerk never gives an identifier twice.")
	}
	if u, ok := f.users.Get(spec.User); ok {
		if err := u.signInRefusal(); err != nil && !f.staysSignedIn(u, spec) {
			return User{}, err
		}
		return u, nil
	}
	u := f.newUser(spec.User)
	email := cmp.Or(spec.Email, emailOf(spec.User))
	if _, taken := f.emails[strings.ToLower(email)]; taken {
		return User{}, invalid("email", "form_identifier_exists", "is taken. Please try another.")
	}
	u.addEmail(email, u.CreatedAt)
	first, last := spec.firstName, spec.lastName
	if first == "" {
		first, last = nameOf(spec.User), "Example"
	}
	set(&u.FirstName, &first)
	set(&u.LastName, &last)
	return u, f.insertUser(u)
}

// staysSignedIn tells whether a token is for a session that a lock leaves alone: the one of the spec, or the user's last.
func (f *Fake) staysSignedIn(u User, spec TokenSpec) bool {
	s, ok := f.sessions.Get(cmp.Or(spec.session, f.active[u.ID]))
	return ok && !u.Banned && !u.Deprovisioned && s.status(f.nowMs()) == "active"
}

func (f *Fake) ensureOrganization(spec TokenSpec) (Organization, string, error) {
	if spec.Org == "" {
		return Organization{}, "", nil
	}
	if _, gone := f.gone.Get(spec.Org); gone {
		return Organization{}, "", invalid("org", "resource_deleted", "was deleted, and Clerk never gives an identifier twice.")
	}
	role := "org:member"
	o, ok := f.orgs.Get(spec.Org)
	if !ok {
		name := cmp.Or(spec.orgName, nameOf(spec.Org))
		slug := slugOf(cmp.Or(spec.orgName, spec.Org))
		if f.slugTaken(slug, spec.Org) {
			slug += "-" + strings.ToLower(ident.Derive(6, "slug", spec.Org))
		}
		o = f.newOrganization(spec.Org, name, slug, spec.User)
		role = "org:admin"
		if err := f.insertOrganization(o); err != nil {
			return Organization{}, "", err
		}
	}
	if m, ok := f.memberships.Get(membershipKey(o.ID, spec.User)); ok {
		role = m.Role
	}
	if spec.Role != "" {
		var err error
		if role, err = parseRole(spec.Role); err != nil {
			return Organization{}, "", err
		}
	}
	_, err := f.join(o, spec.User, role)
	return o, role, err
}

// emailOf makes an address of any identifier; two identifiers never share one.
func emailOf(id string) string {
	var b strings.Builder
	for _, c := range strings.ToLower(id) {
		if (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-' {
			b.WriteRune(c)
		} else {
			b.WriteByte('-')
		}
	}
	local := b.String()
	if local != id || len(local) > 48 || strings.Trim(local, ".") != local {
		local = strings.Trim(local[:min(len(local), 40)], ".") + "-" + strings.ToLower(ident.Derive(8, "email", id))
	}
	return local + "@example.test"
}

// nameOf makes a readable name of an identifier: "user_ada.lovelace" becomes "Ada Lovelace".
func nameOf(id string) string {
	words := strings.FieldsFunc(strings.TrimPrefix(strings.TrimPrefix(id, "user_"), "org_"), func(c rune) bool {
		return !unicode.IsLetter(c) && !unicode.IsDigit(c)
	})
	for i, w := range words {
		first, size := utf8.DecodeRuneInString(w)
		words[i] = string(unicode.ToUpper(first)) + w[size:]
	}
	return cmp.Or(strings.Join(words, " "), "Sandbox")
}
