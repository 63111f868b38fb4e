package auth_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func membershipEvent(kind, user string, updated int) string {
	return event("organizationMembership."+kind, fmt.Sprintf(
		`{"id":"orgmem_%[1]s","role":"org:member","permissions":[],"organization":{"id":"org_1"},"public_user_data":{"user_id":"user_%[1]s"},"created_at":%[2]d,"updated_at":%[3]d}`,
		user, eventMillis, eventMillis+updated))
}

// Billing learns how many members an organization has, also after it was away, by few reports.
func TestBillingLearnsTheNumberOfMembers(t *testing.T) {
	bothDatabases(t, func(t *testing.T, f *fixture) {
		f.billing.set(errors.New("billing is away"))
		for n := range 20 {
			f.deliver(t, fmt.Sprint("msg_", n), membershipEvent("created", fmt.Sprint(n), 0))
		}
		f.deliver(t, "msg_gone", membershipEvent("deleted", "7", 1))
		f.billing.set(nil)
		require.Eventually(t, func() bool { return f.billing.members("org_1") == 19 }, time.Minute, tick)
		f.deliver(t, "msg_user", event("user.deleted", `{"id":"user_8","deleted":true}`))
		require.Eventually(t, func() bool { return f.billing.members("org_1") == 18 }, time.Minute, tick)
		f.deliver(t, "msg_back", membershipEvent("created", "99", 2))
		require.Eventually(t, func() bool { return f.billing.members("org_1") == 19 }, time.Minute, tick)
		require.False(t, f.billing.deleted("org_1"))
		f.deliver(t, "msg_end", event("organization.deleted", `{"id":"org_1","deleted":true}`))
		require.Eventually(t, func() bool { return f.billing.deleted("org_1") }, time.Minute, tick)
		require.Zero(t, f.billing.members("org_1"))
	})
}
