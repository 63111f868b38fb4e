// Package authn turns a credential into the claims of a passport, or refuses it.
package authn

import (
	"time"

	"github.com/trivet-dev/trivet/platform/passport"
)

// RoleOwner is the role on a personal account. In an organization it is a custom role like any other.
const RoleOwner = "owner"

// Grant is what a good credential is exchanged for.
type Grant struct {
	// Claims are what the passports say of the caller; Audience and ExpireTime are not set.
	Claims passport.Claims
	// ExpireTime is when the credential must be verified again; at most MaxLife from now.
	ExpireTime time.Time
}

// MaxLife is the longest life of a grant.
const MaxLife = time.Minute

// account is the rule that says who pays.
func account(userID, organizationID string) string {
	if organizationID != "" {
		return organizationID
	}
	return userID
}
