// Package storetest is what every store of auth must pass, whatever the database.
package storetest

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/paging"
	"github.com/trivet-dev/trivet/services/auth/internal/apikey"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
	"github.com/trivet-dev/trivet/services/auth/internal/erasure"
	"github.com/trivet-dev/trivet/services/auth/internal/reconcile"
	"github.com/trivet-dev/trivet/services/auth/internal/revocation"
)

// Store is all that auth's domain asks for.
type Store interface {
	directory.Store
	apikey.Store
	revocation.Store
	erasure.Store
	reconcile.Store
	KeysOfUser(ctx context.Context, userID string) ([]apikey.Key, error)
}

// Now is the clock that Open must give the store.
func Now() time.Time { return at(100) }

// Open returns a fresh, empty store; wake, when set, is called after each revocation.
type Open func(t testing.TB, wake func()) Store

// Run runs the whole suite, each test on a store of its own.
func Run(t *testing.T, open Open) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, Open){
		"users": users, "users by email": usersByEmail, "older news of a user": olderUser, "deleted user": deletedUser, "locks end": lockEnds,
		"organizations": organizations, "deleted organization": deletedOrganization,
		"memberships": memberships, "membership comes and goes": membershipComesAndGoes,
		"introduction": introduction, "introduction never changes what Clerk told": introductionIsModest, "standing": standing,
		"introduced role": introducedRole, "introduced old name": introducedOldName,
		"API keys": apiKeys, "API key revocation": apiKeyRevocation, "API key uses": apiKeyUses, "API key limit": apiKeyLimit,
		"creation keys": creationKeys, "the end of creation keys": creationKeysEnd,
		"API key tree": apiKeyTree, "API key of an ended parent": apiKeyOfAnEndedParent, "API key taken over": apiKeyTakenOver, "API key changed": apiKeyChanged, "API key above its parent": apiKeyAboveItsParent,
		"order of events": orderOfEvents, "listing and event": listingAndEvent, "deprovisioned": deprovisioned,
		"erased twice":           erasedTwice,
		"lists without the gone": listsWithoutTheGone, "only members are revoked": onlyMembersAreRevoked,
		"ended is not identified": endedIsNotIdentified,
		"revocations":             revocations, "who is revoked": whoIsRevoked, "paging": pages, "concurrent writes": concurrent,
		"members of the gone": membersOfTheGone, "replaced membership": replacedMembership, "roles": roles,
		"revoked session": revokedSession, "erasures": erasures, "id lists": idLists,
		"replaced objects":      replacedObjects,
		"every field of a user": everyField, "equal times write": equalTimes, "end without a time": endWithoutATime,
		"names of roles": namesOfRoles, "renamed role": renamedRole, "member and role": memberAndRole,
		"listed membership": listedMembership, "lost memberships": lostMemberships,
		"end of an id": endOfAnID, "end of an id before its beginning": endOfAnIDFirst, "joined again": joinedAgain,
		"any order of two memberships": twoMemberships, "ids of introduced memberships": introducedIDs, "listed after its end": listedAfterItsEnd,
	} {
		t.Run(name, func(t *testing.T) { test(t, open) })
	}
}

// at is a time, n seconds after a fixed one, as both databases keep it.
func at(n int) time.Time {
	return time.Date(2026, 11, 23, 12, 0, 0, 123_000, time.UTC).Add(time.Duration(n) * time.Second)
}

func user(id string, n int) directory.User {
	return directory.User{
		ID: id, Synced: true, PrimaryEmail: id + "@Example.test", Emails: []string{id + "@Example.test", "also-" + id + "@example.test"},
		FirstName: "Ada", LastName: "L\u00f6velace", ImageURL: "https://img.example.test/" + id, ExternalID: "app-" + id,
		PublicMetadata: []byte(`{"plan":"pro"}`), CreateTime: at(n), UpdateTime: at(n),
	}
}

func organization(id string, n int) directory.Organization {
	return directory.Organization{
		ID: id, Synced: true, Name: "Acme " + id, Slug: "acme-" + id, ImageURL: "https://img.example.test/" + id,
		PublicMetadata: []byte(`{}`), CreateTime: at(n), UpdateTime: at(n),
	}
}

func membership(org, user, role string, n int) directory.Membership {
	return directory.Membership{
		OrganizationID: org, UserID: user, Role: role, Permissions: []string{"org:billing:read", "org:billing:manage"},
		CreateTime: at(n), UpdateTime: at(n),
	}
}

// role is a role that changed at at(5).
func role(id, name string, event time.Time) directory.Role {
	return directory.Role{ID: id, Name: name, Permissions: []string{"org:" + name + ":do"}, UpdateTime: at(5), EventTime: event}
}

// maxKeys is how many live keys an account may have in these tests.
const maxKeys = 100

func key(id, account string, n int) apikey.Key {
	return apikey.Key{
		ID: id, Prefix: "tvt_test_" + id, Name: "key " + id, AccountID: account, OrganizationID: "org_1", UserID: "user_1",
		Role: "admin", Scopes: []string{"ai.invoke"}, Models: []string{"gpt-x"}, SpendLimitNanoUSD: 1 << 60,
		SpendPeriod: 36 * time.Hour, CreateTime: at(n), ExpireTime: at(n + 1000),
		Limits: apikey.Limits{RequestsPerMinute: 60, RequestsPerDay: 1 << 30, TokensPerMinute: math.MaxInt32, ConcurrentStreams: 7},
	}
}

// did asserts what a Put or Delete reported.
func did(t *testing.T, want bool, changed bool, err error) {
	t.Helper()
	require.NoError(t, err)
	require.Equal(t, want, changed)
}

// first is the beginning of a list.
var first paging.Cursor //nolint:gochecknoglobals // a constant
