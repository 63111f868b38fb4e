package billing_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
)

const topUpFile = `
plans:
  - {id: free, name: Free, price: "0.00", included_credit: "0.10"}
  - {id: pro, name: Pro, price: "20.00", included_credit: "0.10", auto_top_up: {monthly_cap: "100.00"}}
packs:
  - {id: credit_20, name: $20 of credit, price: "20.00", credit: "21.00"}
`

func (h *fixture) setTopUp(r *billingv1.SetTopUpRequest) (*billingv1.TopUp, error) {
	h.t.Helper()
	got, err := h.from("gateway").SetTopUp(h.as(admin), r)
	return got.GetTopUp(), err
}

func (h *fixture) topUp() *billingv1.TopUp {
	h.t.Helper()
	got, err := h.from("gateway").GetTopUp(h.as(admin), &billingv1.GetTopUpRequest{})
	require.NoError(h.t, err)
	return got.GetTopUp()
}

// topUpOn subscribes org_1 and sets its top-up to 5 cents.
func (h *fixture) topUpOn() {
	h.t.Helper()
	h.apply(topUpFile)
	require.True(h.t, h.buy(purchase("pro", "")).GetApplied())
	h.news()
	set, err := h.setTopUp(&billingv1.SetTopUpRequest{Enabled: true, PackId: "credit_20", ThresholdNanoUsd: 50_000_000, MonthlyCapNanoUsd: 40_000_000_000})
	require.NoError(h.t, err)
	require.True(h.t, set.GetEnabled())
}

// A top-up that an admin has set buys a pack with the subscription's card, and shows it.
func TestTopUpFromSettingToCredit(t *testing.T) {
	sell(t, func(t *testing.T, h *fixture) {
		h.topUpOn()
		require.EqualValues(t, 100_000_000_000, h.topUp().GetMaxThresholdNanoUsd(), "without a bound of its own, it is that of the month")
		h.spend("1")
		stop := h.run()
		require.Eventually(t, func() bool { return h.account().GetBalanceNanoUsd() > 21_000_000_000 }, time.Minute, 20*time.Millisecond)
		require.Eventually(t, func() bool {
			return h.topUp().GetPurchases()[0].GetState() == billingv1.TopUpPurchaseState_TOP_UP_PURCHASE_STATE_PAID
		}, time.Minute, 20*time.Millisecond)
		stop()
		require.EqualValues(t, 20_000_000_000, h.topUp().GetSpentNanoUsd())
		require.Contains(t, h.listed("/v1/invoices"), h.topUp().GetPurchases()[0].GetInvoiceId())

		off, err := h.setTopUp(&billingv1.SetTopUpRequest{})
		require.NoError(t, err)
		require.Equal(t, billingv1.TopUpState_TOP_UP_STATE_OFF, off.GetState())
		require.Equal(t, "credit_20", off.GetPackId(), "what was set up is shown when it is turned on again")
	})
}

func TestRefusedTopUps(t *testing.T) {
	sell(t, func(t *testing.T, h *fixture) {
		h.apply(topUpFile)
		good := func() *billingv1.SetTopUpRequest {
			return &billingv1.SetTopUpRequest{Enabled: true, PackId: "credit_20", ThresholdNanoUsd: 1, MonthlyCapNanoUsd: 20_000_000_000}
		}
		_, err := h.setTopUp(good())
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CONFLICT, err)
		require.False(t, h.topUp().GetOffered())
		h.topUpOn()
		require.True(t, h.topUp().GetOffered())
		for field, change := range map[string]func(r *billingv1.SetTopUpRequest){
			"thresholdNanoUsd":  func(r *billingv1.SetTopUpRequest) { r.ThresholdNanoUsd = -1 },
			"monthlyCapNanoUsd": func(r *billingv1.SetTopUpRequest) { r.MonthlyCapNanoUsd = 0 },
		} {
			r := good()
			change(r)
			_, err := h.setTopUp(r)
			require.Contains(t, requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, err).Message, field)
		}
		r := good()
		r.PackId = "gold"
		_, err = h.setTopUp(r)
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, err)
		_, err = h.from("gateway").GetTopUp(h.as(member), &billingv1.GetTopUpRequest{})
		_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, err)
	})
}
