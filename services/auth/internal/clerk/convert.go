package clerk

import (
	"slices"
	"strings"
	"time"

	"github.com/clerk/clerk-sdk-go/v2"

	"github.com/trivet-dev/trivet/services/auth/internal/directory"
)

// userOf converts a user as Clerk told it at told.
func userOf(u *clerk.User, told time.Time) directory.User {
	primary, emails := addressesOf(u)
	out := directory.User{
		ID: u.ID, Synced: true, PrimaryEmail: primary, Emails: emails,
		FirstName: text(u.FirstName), LastName: text(u.LastName), ImageURL: text(u.ImageURL), ExternalID: text(u.ExternalID),
		PublicMetadata: u.PublicMetadata, Banned: u.Banned, Locked: u.Locked,
		CreateTime: milliseconds(u.CreatedAt), UpdateTime: milliseconds(u.UpdatedAt),
	}
	if left := u.LockoutExpiresInSeconds; u.Locked && left != nil && *left > 0 && *left < maxLock {
		out.LockExpireTime = told.Add(time.Duration(*left) * time.Second).UTC()
	}
	return out
}

// maxLock is the longest lock that is taken to end by itself (seconds).
const maxLock = 10 * 365 * 24 * 3600

// addressesOf puts the primary address first. It goes by its id: the first in Clerk's list need not be the primary one,
// and there may be none.
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

func organizationOf(o *clerk.Organization) directory.Organization {
	return directory.Organization{
		ID: o.ID, Synced: true, Name: clean(o.Name), Slug: clean(o.Slug), ImageURL: text(o.ImageURL), PublicMetadata: o.PublicMetadata,
		CreateTime: milliseconds(o.CreatedAt), UpdateTime: milliseconds(o.UpdatedAt),
	}
}

func roleOf(id, key string, permissions []string, updatedAt int64) directory.Role {
	out := directory.Role{ID: id, Name: roleName(key), UpdateTime: milliseconds(updatedAt)}
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

// clean takes away what PostgreSQL's texts can't hold.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, ""), "\x00", "")
}
