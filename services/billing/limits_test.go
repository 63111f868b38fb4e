package billing_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/passport"
)

const (
	hourly  = billingv1.SpendWindow_SPEND_WINDOW_HOUR
	monthly = billingv1.SpendWindow_SPEND_WINDOW_MONTH
)

// Admins limit members and keys, members see what applies to them, and calls beyond a limit are refused.
func TestSpendLimits(t *testing.T) {
	each(t, nil, func(t *testing.T, h *fixture) {
		client := h.from("gateway")
		set := func(r *billingv1.SetSpendLimitRequest) *billingv1.SpendLimit {
			t.Helper()
			answer, err := client.SetSpendLimit(h.as(admin), r)
			require.NoError(t, err)
			return answer.GetSpendLimit()
		}
		own := set(&billingv1.SetSpendLimitRequest{UserId: "user_member", Window: hourly, LimitNanoUsd: 1_000})
		every := set(&billingv1.SetSpendLimitRequest{EveryMember: true, Window: monthly, LimitNanoUsd: 5_000})
		key := set(&billingv1.SetSpendLimitRequest{ApiKeyId: "key_1", Window: monthly, LimitNanoUsd: 7_000})
		require.Equal(t, "user_member", own.GetUserId())
		require.True(t, every.GetEveryMember())
		require.Equal(t, "key_1", key.GetApiKeyId())

		list := func(caller passport.Claims, r *billingv1.ListSpendLimitsRequest) (ids []string) {
			t.Helper()
			for {
				answer, err := client.ListSpendLimits(h.as(caller), r)
				require.NoError(t, err)
				for _, l := range answer.GetSpendLimits() {
					ids = append(ids, l.GetId())
				}
				if r.PageToken = answer.GetNextPageToken(); r.GetPageToken() == "" {
					return ids
				}
			}
		}
		require.Equal(t, []string{key.GetId(), every.GetId(), own.GetId()}, list(admin, &billingv1.ListSpendLimitsRequest{}))
		require.Equal(t, []string{key.GetId(), every.GetId(), own.GetId()}, list(admin, &billingv1.ListSpendLimitsRequest{PageSize: 1}))
		require.Equal(t, []string{key.GetId(), every.GetId(), own.GetId()}, list(operator, &billingv1.ListSpendLimitsRequest{AccountId: "org_1", PageSize: 2}))
		require.Equal(t, []string{every.GetId(), own.GetId()}, list(member, &billingv1.ListSpendLimitsRequest{}))
		require.Equal(t, []string{every.GetId()}, list(admin, &billingv1.ListSpendLimitsRequest{UserId: "user_other"}))
		require.Equal(t, []string{key.GetId()}, list(admin, &billingv1.ListSpendLimitsRequest{ApiKeyId: "key_1"}))
		require.Empty(t, list(elsewhere, &billingv1.ListSpendLimitsRequest{}))

		_, err := h.from("ai").Reserve(t.Context(), &billingv1.ReserveRequest{
			RequestId: "r1", AccountId: "org_1", UserId: "user_member", Model: "gpt-5-mini", InputTokens: 1_000_000, MaxOutputTokens: 1,
		})
		e := requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, err)
		require.Equal(t, "member", e.Metadata["limit"])
		require.Equal(t, "hour", e.Metadata["window"])

		set(&billingv1.SetSpendLimitRequest{UserId: "user_member", Window: hourly, LimitNanoUsd: 4_000_000_000})
		set(&billingv1.SetSpendLimitRequest{EveryMember: true, Window: monthly, LimitNanoUsd: 4_000_000_000})
		held, err := h.from("ai").Reserve(t.Context(), &billingv1.ReserveRequest{
			RequestId: "r2", AccountId: "org_1", UserId: "user_member", Model: "gpt-5-mini", InputTokens: 1_000, MaxOutputTokens: 1,
		})
		require.NoError(t, err)
		answer, err := client.ListSpendLimits(h.as(member), &billingv1.ListSpendLimitsRequest{})
		require.NoError(t, err)
		mine := answer.GetSpendLimits()[1]
		require.Equal(t, own.GetId(), mine.GetId())
		require.Equal(t, held.GetHeldNanoUsd(), mine.GetHeldNanoUsd())
		require.Equal(t, time.Hour, mine.GetWindowEndTime().AsTime().Sub(mine.GetWindowStartTime().AsTime()))

		_, err = client.DeleteSpendLimit(h.as(admin), &billingv1.DeleteSpendLimitRequest{Id: own.GetId()})
		require.NoError(t, err)
		_, err = client.DeleteSpendLimit(h.as(admin), &billingv1.DeleteSpendLimitRequest{Id: own.GetId()})
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, err)
		require.Equal(t, []string{every.GetId()}, list(member, &billingv1.ListSpendLimitsRequest{}))
	})
}

// Who must not see or change limits, and requests that name no subject or several.
func TestSpendLimitsRefuse(t *testing.T) {
	each(t, nil, func(t *testing.T, h *fixture) {
		client := h.from("gateway")
		valid := func() *billingv1.SetSpendLimitRequest {
			return &billingv1.SetSpendLimitRequest{UserId: "user_member", Window: hourly, LimitNanoUsd: 1}
		}
		made, err := client.SetSpendLimit(h.as(admin), valid())
		require.NoError(t, err)
		id := made.GetSpendLimit().GetId()
		byKey := admin
		byKey.APIKeyID, byKey.Scopes = "key_1", []string{"billing.read", "billing.write"}

		denied := errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED
		invalid := errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT
		for name, c := range map[string]struct {
			caller passport.Claims
			change func(r *billingv1.SetSpendLimitRequest)
			reason errorsv1.ErrorReason
		}{
			"a member":                {member, func(*billingv1.SetSpendLimitRequest) {}, denied},
			"another account":         {elsewhere, func(r *billingv1.SetSpendLimitRequest) { r.AccountId = "org_1" }, denied},
			"an unknown account":      {operator, func(r *billingv1.SetSpendLimitRequest) { r.AccountId = "org_unknown" }, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND},
			"a key about itself":      {byKey, func(r *billingv1.SetSpendLimitRequest) { r.UserId, r.ApiKeyId = "", "key_1" }, denied},
			"a key about another key": {byKey, func(r *billingv1.SetSpendLimitRequest) { r.UserId, r.ApiKeyId = "", "key_2" }, denied},
			"a key about its member":  {byKey, func(r *billingv1.SetSpendLimitRequest) { r.UserId = "user_admin" }, denied},
			"a key about all members": {byKey, func(r *billingv1.SetSpendLimitRequest) { r.UserId, r.EveryMember = "", true }, denied},
			"nobody":                  {admin, func(r *billingv1.SetSpendLimitRequest) { r.UserId = "" }, invalid},
			"two subjects":            {admin, func(r *billingv1.SetSpendLimitRequest) { r.ApiKeyId = "key_1" }, invalid},
			"all members and one":     {admin, func(r *billingv1.SetSpendLimitRequest) { r.EveryMember = true }, invalid},
			"no window":               {admin, func(r *billingv1.SetSpendLimitRequest) { r.Window = 0 }, invalid},
			"an unknown window":       {admin, func(r *billingv1.SetSpendLimitRequest) { r.Window = 99 }, invalid},
			"nothing":                 {admin, func(r *billingv1.SetSpendLimitRequest) { r.LimitNanoUsd = 0 }, invalid},
			"too much":                {admin, func(r *billingv1.SetSpendLimitRequest) { r.LimitNanoUsd = 1 << 62 }, invalid},
			"white space":             {admin, func(r *billingv1.SetSpendLimitRequest) { r.UserId = " user_member" }, invalid},
		} {
			r := valid()
			c.change(r)
			_, err := client.SetSpendLimit(h.as(c.caller), r)
			require.Error(t, err, name)
			require.Equal(t, c.reason.String(), requireReason(t, c.reason, err).Reason.String(), name)
		}
		other := valid()
		other.UserId = "user_other"
		_, err = client.SetSpendLimit(h.as(byKey), other)
		require.NoError(t, err, "a key may limit other members")
		ofKey, err := client.SetSpendLimit(h.as(admin), &billingv1.SetSpendLimitRequest{ApiKeyId: "key_2", Window: hourly, LimitNanoUsd: 1})
		require.NoError(t, err)
		_, err = client.DeleteSpendLimit(h.as(byKey), &billingv1.DeleteSpendLimitRequest{Id: ofKey.GetSpendLimit().GetId()})
		e := requireReason(t, denied, err)
		require.Equal(t, "An API key cannot change spend limits of API keys, of its own member, or of every member. Sign in as an admin to change them.", e.Message)

		_, err = client.DeleteSpendLimit(h.as(member), &billingv1.DeleteSpendLimitRequest{Id: id})
		_ = requireReason(t, denied, err)
		_, err = client.DeleteSpendLimit(h.as(elsewhere), &billingv1.DeleteSpendLimitRequest{Id: id})
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, err)
		byKey.UserID = "user_member"
		_, err = client.DeleteSpendLimit(h.as(byKey), &billingv1.DeleteSpendLimitRequest{Id: id})
		_ = requireReason(t, denied, err)

		_, err = client.ListSpendLimits(h.as(member), &billingv1.ListSpendLimitsRequest{UserId: "user_admin"})
		_ = requireReason(t, denied, err)
		_, err = client.ListSpendLimits(h.as(member), &billingv1.ListSpendLimitsRequest{ApiKeyId: "key_1"})
		_ = requireReason(t, denied, err)
		_, err = client.ListSpendLimits(h.as(admin), &billingv1.ListSpendLimitsRequest{ApiKeyId: "key_1", UserId: "user_admin"})
		_ = requireReason(t, invalid, err)
		_, err = client.ListSpendLimits(h.as(admin), &billingv1.ListSpendLimitsRequest{PageToken: "x"})
		_ = requireReason(t, invalid, err)
	})
}
