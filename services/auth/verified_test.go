package auth_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
)

// verifiedData is a user whose address and phone have these states at Clerk; "" leaves a phone out.
func verifiedData(version int, email, phone string) string {
	phones := "[]"
	if phone != "" {
		phones = fmt.Sprintf(`[{"id":"idn_2","phone_number":"+15550100","verification":{"status":%q,"strategy":"phone_code"}}]`, phone)
	}
	return fmt.Sprintf(`{"id":"user_1","object":"user","email_addresses":[{"id":"idn_1","email_address":"ada@example.test","verification":{"status":%q,"strategy":"email_code"}}],
		"primary_email_address_id":"idn_1","phone_numbers":%s,"created_at":%d,"updated_at":%d}`, email, phones, eventMillis, eventMillis+version)
}

// What Clerk has verified is kept with the user, whatever the order of the events.
func TestVerifiedUsers(t *testing.T) {
	bothDatabases(t, func(t *testing.T, f *fixture) {
		for i, tc := range []struct {
			kind, data string
			want       bool
		}{
			{"user.created", verifiedData(1, "unverified", ""), false},
			{"user.updated", verifiedData(2, "expired", "failed"), false},
			{"user.updated", verifiedData(5, "verified", "unverified"), true},
			{"user.updated", verifiedData(3, "unverified", ""), true}, // late
			{"user.updated", verifiedData(6, "unverified", "verified"), true},
			{"user.updated", verifiedData(7, "unverified", "unverified"), false}, // the address was changed
			{"user.updated", verifiedData(8, "verified", ""), true},
		} {
			f.deliver(t, fmt.Sprint("msg_", i), event(tc.kind, tc.data))
			got, err := f.rpc.GetUser(t.Context(), &authv1.GetUserRequest{UserId: "user_1"})
			require.NoError(t, err)
			require.Equal(t, tc.want, got.GetUser().GetVerified(), "event %d", i)
			standing, err := f.Store().Standing(t.Context(), "user_1", "", "")
			require.NoError(t, err)
			require.Equal(t, tc.want, standing.Verified, "event %d", i)
		}
		f.deliver(t, "msg_deleted", event("user.deleted", `{"id":"user_1","object":"user","deleted":true}`))
		standing, err := f.Store().Standing(t.Context(), "user_1", "", "")
		require.NoError(t, err)
		require.False(t, standing.Verified)
	})
}
