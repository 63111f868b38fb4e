package billing_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	usagev1 "github.com/trivet-dev/trivet/gen/go/trivet/usage/v1"
)

const overageFile = `
plans:
  - {id: free, name: Free, price: "0.00", included_credit: "0"}
  - {id: metered, name: Metered, price: "20.00", included_credit: "0.10", overage: {cap: "0.50"}}
`

// spend settles a call of org_1 that costs 15 cents.
func (h *fixture) spend(id string) {
	h.t.Helper()
	r := reserve(id, "org_1", "user_member")
	r.InputTokens, r.MinOutputTokens, r.MaxOutputTokens = 1_000_000, 0, 0
	hold, err := h.from("ai").Reserve(h.t.Context(), r)
	require.NoError(h.t, err)
	_, err = h.from("ai").Settle(h.t.Context(), &billingv1.SettleRequest{
		HoldId: hold.GetHoldId(), Usage: &usagev1.CallUsage{InputTokens: 1_000_000}, Outcome: billingv1.Outcome_OUTCOME_COMPLETED,
	})
	require.NoError(h.t, err)
}

// Usage beyond the credit of a plan goes to the cap, is shown, and is on an invoice after the period.
func TestOverageFromPlanToStripe(t *testing.T) {
	sell(t, func(t *testing.T, h *fixture) {
		h.apply(overageFile)
		list, err := h.from("gateway").ListPlans(h.as(member), &billingv1.ListPlansRequest{})
		require.NoError(t, err)
		require.EqualValues(t, 500_000_000, list.GetPlans()[1].GetOverage().GetCapNanoUsd())
		require.Nil(t, h.account().GetOverage())
		require.True(t, h.buy(purchase("metered", "")).GetApplied())
		require.EqualValues(t, 500_000_000, h.account().GetOverage().GetHeadroomNanoUsd())
		for _, id := range []string{"1", "2", "3", "4"} {
			h.spend(id)
		}
		account := h.account()
		require.Zero(t, account.GetBalanceNanoUsd())
		require.EqualValues(t, 500_000_000, account.GetOverage().GetUsedNanoUsd())
		require.Zero(t, account.GetOverage().GetHeadroomNanoUsd())
		_, err = h.from("ai").Reserve(t.Context(), reserve("5", "org_1", "user_member"))
		refused := requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, err)
		require.Contains(t, refused.Message, "of the overage of $0.50 that the plan allows, $0.50 is used")

		entries, err := h.from("gateway").ListEntries(h.as(admin), &billingv1.ListEntriesRequest{})
		require.NoError(t, err)
		overage := int64(0)
		for _, e := range entries.GetEntries() {
			if e.GetKind() == billingv1.EntryKind_ENTRY_KIND_OVERAGE {
				overage += e.GetAmountNanoUsd()
			}
		}
		require.EqualValues(t, 500_000_000, overage)

		ask := func() *billingv1.GetOverageResponse {
			t.Helper()
			got, err := h.from("gateway").GetOverage(h.as(operator), &billingv1.GetOverageRequest{AccountId: "org_1"})
			require.NoError(t, err)
			require.Equal(t, got.GetTotalNanoUsd(),
				got.GetInvoicedNanoUsd()+got.GetUnsentNanoUsd()+got.GetRefusedNanoUsd()+got.GetUnchargedNanoUsd())
			return got
		}
		require.EqualValues(t, 500_000_000, ask().GetUnchargedNanoUsd())
		require.EqualValues(t, 500_000_000, ask().GetPeriods()[0].GetAmountNanoUsd())
		h.Set(account.GetPeriodEndTime().AsTime().Add(15 * time.Minute))
		stop := h.run()
		require.Eventually(t, func() bool { return ask().GetInvoicedNanoUsd() == 500_000_000 }, time.Minute, 20*time.Millisecond)
		stop()
		require.Len(t, ask().GetCharges(), 1)
		require.Equal(t, billingv1.OverageChargeState_OVERAGE_CHARGE_STATE_INVOICED, ask().GetCharges()[0].GetState())
		require.Empty(t, h.listed("/v1/invoiceitems?pending=true"))

		_, err = h.from("gateway").GetOverage(h.as(member), &billingv1.GetOverageRequest{})
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, err)
		_, err = h.from("gateway").GetOverage(h.as(admin), &billingv1.GetOverageRequest{AccountId: "org_2"})
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, err)
		_, err = h.from("gateway").GetOverage(h.as(operator), &billingv1.GetOverageRequest{AccountId: "org_unknown"})
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, err)
	})
}
