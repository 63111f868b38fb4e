package clerk_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/auth/internal/clerk"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
)

// TestALockLastsFromTheEventOn: an event that is handled, or redriven, hours later does not lock again.
func TestALockLastsFromTheEventOn(t *testing.T) {
	told := eventTime.Add(-7 * time.Hour)
	for name, tc := range map[string]struct {
		timestamp int64
		want      time.Time
	}{
		"hours ago":        {told.UnixMilli(), told.Add(time.Hour)},
		"no timestamp":     {0, eventTime.Add(time.Hour)},
		"a clock ahead":    {eventTime.Add(time.Minute).UnixMilli(), eventTime.Add(time.Hour)},
		"no time at all":   {-5, eventTime.Add(time.Hour)},
		"beyond all times": {1 << 60, eventTime.Add(time.Hour)},
	} {
		e, err := clerk.ParseEvent(fmt.Appendf(nil, `{"type":"user.updated","timestamp":%d,"data":{"id":"user_1","locked":true,
			"lockout_expires_in_seconds":3600,"created_at":1,"updated_at":1700000000000}}`, tc.timestamp))
		require.NoError(t, err, name)
		change, err := clerk.ChangeOf(e.Payload, eventTime)
		require.NoError(t, err, name)
		user, ok := change.(directory.UserChanged)
		require.True(t, ok, name)
		require.Equal(t, tc.want, user.User.LockExpireTime, name)
	}
}

// TestEndOfAMembershipWithoutATime leaves it to the store, which knows what ends: the person may have joined again since.
func TestEndOfAMembershipWithoutATime(t *testing.T) {
	for data, want := range map[string]time.Time{
		``:                  {},
		`,"updated_at":5`:   time.UnixMilli(5).UTC(),
		`,"updated_at":-5`:  {},
		`,"updated_at":"x"`: {},
	} {
		e, err := clerk.ParseEvent(fmt.Appendf(nil,
			`{"type":"organizationMembership.deleted","data":{"organization":{"id":"org_1"},"public_user_data":{"user_id":"user_1"}%s}}`, data))
		require.NoError(t, err, data)
		change, err := clerk.ChangeOf(e.Payload, eventTime)
		require.NoError(t, err, data)
		require.Equal(t, directory.MembershipDeleted{OrganizationID: "org_1", UserID: "user_1", At: want}, change, data)
	}
}
