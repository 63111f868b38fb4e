package billing_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/billing"
)

// With FREE_CREDIT=verified, whatever a person asks for first after the verification brings the credit: a read or a call.
func TestFreeCreditForVerifiedPeople(t *testing.T) {
	call := func(claims passport.Claims, id string) *billingv1.ReserveRequest {
		return &billingv1.ReserveRequest{
			RequestId: id, AccountId: claims.AccountID, UserId: claims.UserID, UserVerified: claims.Verified, Model: "gpt-5-mini", InputTokens: 100, MaxOutputTokens: 100,
		}
	}
	reads := map[string]func(h *fixture, claims passport.Claims) error{
		"the account": func(h *fixture, claims passport.Claims) error {
			_, err := h.from("gateway").GetAccount(h.as(claims), &billingv1.GetAccountRequest{})
			return err
		},
		"the usage": func(h *fixture, claims passport.Claims) error {
			_, err := h.from("gateway").GetUsage(h.as(claims), &billingv1.GetUsageRequest{})
			return err
		},
		"the subscription": func(h *fixture, claims passport.Claims) error {
			_, err := h.from("gateway").GetSubscription(h.as(claims), &billingv1.GetSubscriptionRequest{})
			_ = requireReason(h.t, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, err)
			return nil
		},
		"a limit": func(h *fixture, claims passport.Claims) error {
			_, err := h.from("gateway").SetSpendLimit(h.as(claims), &billingv1.SetSpendLimitRequest{EveryMember: true, Window: monthly, LimitNanoUsd: 1_000_000_000})
			return err
		},
		"a call": func(h *fixture, claims passport.Claims) error {
			if !claims.Verified {
				return nil
			}
			_, err := h.from("ai").Reserve(h.t.Context(), call(claims, "first"))
			return err
		},
	}
	each(t, map[string]string{"FREE_CREDIT": "verified"}, func(t *testing.T, h *fixture) {
		for name, read := range reads {
			claims := passport.Claims{UserID: "user " + name, AccountID: "org " + name, OrganizationID: "org " + name, Role: "admin", Admin: true}
			require.NoError(t, read(h, claims), name)
			_, err := h.from("ai").Reserve(t.Context(), call(claims, "r1"))
			_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, err)
			claims.Verified = true
			require.NoError(t, read(h, claims), name)
			claims.Verified = false // a passport from before does not take it back
			account, err := h.from("gateway").GetAccount(h.as(claims), &billingv1.GetAccountRequest{})
			require.NoError(t, err)
			require.Positive(t, account.GetAccount().GetBalanceNanoUsd(), name)
			_, err = h.from("ai").Reserve(t.Context(), call(claims, "r2"))
			require.NoError(t, err, name)
		}
	})
}

func TestRulesOfFreeCredit(t *testing.T) {
	for value, known := range map[string]bool{"": true, "person": true, "account": true, "verified": true, "card": true, "none": true, "everybody": false, "Verified": false} {
		var c billing.Config
		err := settings.Load(func(name string) string { return map[string]string{"FREE_CREDIT": value}[name] }, &c)
		if known {
			require.NoError(t, err, value)
			continue
		}
		require.ErrorContains(t, err, "FREE_CREDIT", value)
		require.ErrorContains(t, err, "person, account, verified, card", value)
	}
}
