package directory

import (
	"encoding/json"
	"reflect"
	"slices"
)

// SameUser compares what Clerk tells of a user, without the times: those say when, not what.
func SameUser(a, b User) bool {
	return a.Synced == b.Synced && a.PrimaryEmail == b.PrimaryEmail && slices.Equal(a.Emails, b.Emails) &&
		a.FirstName == b.FirstName && a.LastName == b.LastName && a.ImageURL == b.ImageURL && a.ExternalID == b.ExternalID &&
		a.Banned == b.Banned && a.Deprovisioned == b.Deprovisioned && a.Locked == b.Locked && a.Verified == b.Verified && sameJSON(a.PublicMetadata, b.PublicMetadata)
}

// SameOrganization compares what Clerk tells of an organization, without the times.
func SameOrganization(a, b Organization) bool {
	return a.Synced == b.Synced && a.Name == b.Name && a.Slug == b.Slug && a.ImageURL == b.ImageURL &&
		sameJSON(a.PublicMetadata, b.PublicMetadata)
}

// SameMembership compares role and permissions, not Clerk's id; permissions have no order.
func SameMembership(a, b Membership) bool {
	return a.Role == b.Role && samePermissions(a.Permissions, b.Permissions)
}

// SameRole compares name and permissions; permissions have no order.
func SameRole(a, b Role) bool {
	return a.Name == b.Name && samePermissions(a.Permissions, b.Permissions)
}

func samePermissions(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// sameJSON compares two JSON objects. A value that is not an object counts as empty, as in the store.
func sameJSON(a, b json.RawMessage) bool {
	if string(a) == string(b) {
		return true
	}
	var x, y map[string]any
	_ = json.Unmarshal(a, &x)
	_ = json.Unmarshal(b, &y)
	return len(x) == 0 && len(y) == 0 || reflect.DeepEqual(x, y)
}
