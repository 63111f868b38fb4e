package clerk

import (
	"slices"
	"strings"
	"time"

	"github.com/clerk/clerk-sdk-go/v2"

	"github.com/trivet-dev/trivet/services/auth/internal/directory"
)

// userResource is a user with what the SDK does not know.
type userResource struct {
	clerk.User
	// Deprovisioned is true when a company's directory (SCIM) removed the person.
	Deprovisioned bool `json:"deprovisioned"`
}

// userOf converts a user as Clerk described it at told.
func userOf(u *userResource, told time.Time) directory.User {
	primary, emails := addressesOf(&u.User)
	out := directory.User{
		ID: u.ID, Synced: true, PrimaryEmail: primary, Emails: emails,
		FirstName: text(u.FirstName), LastName: text(u.LastName), ImageURL: text(u.ImageURL), ExternalID: text(u.ExternalID),
		PublicMetadata: directory.Metadata(u.PublicMetadata), Banned: u.Banned, Deprovisioned: u.Deprovisioned, Locked: u.Locked, Verified: verified(&u.User),
		CreateTime: milliseconds(u.CreatedAt), UpdateTime: milliseconds(u.UpdatedAt), EventTime: told,
	}
	if left := u.LockoutExpiresInSeconds; u.Locked && left != nil && *left > 0 && *left < maxLock {
		out.LockExpireTime = told.Add(time.Duration(*left) * time.Second).UTC()
	}
	return out
}

// maxLock is the longest lock that is taken to end by itself (seconds).
const maxLock = 10 * 365 * 24 * 3600

// addressesOf puts the primary address first. It goes by its id: the first in Clerk's list need not be the primary one,
// and an address may be missing.
func addressesOf(u *clerk.User) (primary string, all []string) {
	for _, e := range u.EmailAddresses {
		if e == nil || e.EmailAddress == "" {
			continue
		}
		if e.ID != "" && e.ID == text(u.PrimaryEmailAddressID) {
			primary = clean(e.EmailAddress)
			all = slices.Insert(all, 0, primary)
		} else {
			all = append(all, clean(e.EmailAddress))
		}
	}
	return primary, all
}

// verified tells whether Clerk has verified an email address or a phone number.
func verified(u *clerk.User) bool {
	is := func(v *clerk.Verification) bool { return v != nil && v.Status == "verified" }
	return slices.ContainsFunc(u.EmailAddresses, func(e *clerk.EmailAddress) bool { return e != nil && is(e.Verification) }) ||
		slices.ContainsFunc(u.PhoneNumbers, func(p *clerk.PhoneNumber) bool { return p != nil && is(p.Verification) })
}

func organizationOf(o *clerk.Organization, told time.Time) directory.Organization {
	return directory.Organization{
		ID: o.ID, Synced: true, Name: clean(o.Name), Slug: clean(o.Slug), ImageURL: text(o.ImageURL),
		PublicMetadata: directory.Metadata(o.PublicMetadata),
		CreateTime:     milliseconds(o.CreatedAt), UpdateTime: milliseconds(o.UpdatedAt), EventTime: told,
	}
}

func roleOf(id, key string, permissions []string, updatedAt int64, told time.Time) directory.Role {
	out := directory.Role{ID: id, Name: roleName(key), UpdateTime: milliseconds(updatedAt), EventTime: told}
	for _, p := range permissions {
		out.Permissions = append(out.Permissions, clean(p))
	}
	slices.Sort(out.Permissions)
	return out
}

func milliseconds(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

func text(s *string) string {
	if s == nil {
		return ""
	}
	return clean(*s)
}

// clean removes what PostgreSQL's TEXT cannot hold.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, ""), "\x00", "")
}
