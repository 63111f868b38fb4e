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

// TestOnlyALockHasAnEnd: what Clerk says about the end of a lock counts for a locked user, within reason.
func TestOnlyALockHasAnEnd(t *testing.T) {
	const tenYears = 10 * 365 * 24 * 3600
	for name, tc := range map[string]struct {
		locked  bool
		seconds int64
		want    time.Time
	}{
		"locked for a second":  {true, 1, eventTime.Add(time.Second)},
		"locked, no time left": {true, 0, time.Time{}},
		"locked, negative":     {true, -1, time.Time{}},
		"not locked":           {false, 60, time.Time{}},
		"almost ten years":     {true, tenYears - 1, eventTime.Add((tenYears - 1) * time.Second)},
		"ten years":            {true, tenYears, time.Time{}},
	} {
		e, err := clerk.ParseEvent(fmt.Appendf(nil, `{"type":"user.updated","timestamp":%d,"data":{"id":"user_1","locked":%t,
			"lockout_expires_in_seconds":%d,"created_at":1,"updated_at":2}}`, eventTime.UnixMilli(), tc.locked, tc.seconds))
		require.NoError(t, err, name)
		change, err := clerk.ChangeOf(e.Payload, eventTime)
		require.NoError(t, err, name)
		user, ok := change.(directory.UserChanged)
		require.True(t, ok, name)
		require.Equal(t, tc.want, user.User.LockExpireTime, name)
	}
}

// TestTimesOfAnObject: an object must say when it was created and changed, from 1970 to the year 9999.
func TestTimesOfAnObject(t *testing.T) {
	const last = 253_402_300_799_999 // the last millisecond of the year 9999
	for times, want := range map[[2]int64]bool{
		{1, 1}: true, {last, last}: true, {0, 1}: false, {1, 0}: false, {-1, 1}: false, {1, last + 1}: false, {last + 1, 1}: false,
	} {
		for _, event := range []string{
			`{"type":"user.updated","data":{"id":"user_1","created_at":%d,"updated_at":%d}}`,
			`{"type":"organization.updated","data":{"id":"org_1","created_at":%d,"updated_at":%d}}`,
			`{"type":"organizationMembership.updated","data":{"role":"org:admin","organization":{"id":"org_1"},"public_user_data":{"user_id":"user_1"},"created_at":%d,"updated_at":%d}}`,
		} {
			e, err := clerk.ParseEvent(fmt.Appendf(nil, event, times[0], times[1]))
			require.NoError(t, err)
			_, err = clerk.ChangeOf(e.Payload, eventTime)
			require.Equal(t, want, err == nil, "%s: %v", e.Type, times)
		}
	}
}
