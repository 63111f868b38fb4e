// Package authn turns a credential into an identity, or refuses it.
package authn

import "time"

// RoleOwner is the role on a personal account.
const RoleOwner = "owner"

// Identity is whom a verified credential names.
type Identity struct {
	// UserID is Clerk's user id; for an API key, of the person who made it.
	UserID string
	// SessionID is empty for an API key and for a JWT template's token.
	SessionID string
	// OrganizationID is empty when the caller acts for themselves.
	OrganizationID string
	// Role is the role in the organization, or RoleOwner.
	Role string
	// Permissions are the caller's in the organization.
	Permissions []string
	// Scopes are what the caller may do.
	Scopes []string
	// AccountID is the billing account: the organization when there is one, else the user.
	AccountID string
	// APIKeyID is empty for a session.
	APIKeyID string
	// ActorID is who impersonates the user; empty otherwise.
	ActorID string
	// Email is the primary address, when the credential or the store tells it.
	Email string
	// Operator is true for a person whom TRIVET_OPERATORS names, signed in as themselves.
	Operator bool
	// Models are those that an API key may use; empty means all of the plan's.
	Models []string
	// RequestsPerMinute is an API key's own limit; 0 means the plan's.
	RequestsPerMinute int32
	// SpendLimitNanoUSD is the most that an API key may spend in a SpendPeriod, in nano-dollars; 0 means no limit of its own.
	SpendLimitNanoUSD int64
	// SpendPeriod is in whole seconds; 0 means the account's billing period.
	SpendPeriod time.Duration
}

// Grant is what a good credential is exchanged for.
type Grant struct {
	Identity Identity
	// ExpireTime is when the credential must be looked at again; at most MaxLife from now.
	ExpireTime time.Time
}

// MaxLife is the longest that a grant lives.
const MaxLife = time.Minute

// account is the rule that says who pays.
func account(userID, organizationID string) string {
	if organizationID != "" {
		return organizationID
	}
	return userID
}
