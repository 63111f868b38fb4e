package billing_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	usagev1 "github.com/trivet-dev/trivet/gen/go/trivet/usage/v1"
	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/settings"
)

// An erasure removes the bytes from the file and from its log, not only the rows: of calls that are settled, running and
// late.
func TestErasureRemovesTheBytes(t *testing.T) {
	const needle, account = "user_needle_4711", "org_1"
	folder := t.TempDir()
	h := newFixture(t, nil, database.For("billing", settings.NewSecret("sqlite://"+folder)))
	found := func() (n int) {
		for _, file := range []string{"billing.db", "billing.db-wal"} {
			raw, err := os.ReadFile(filepath.Join(folder, file))
			if !errors.Is(err, fs.ErrNotExist) {
				require.NoError(t, err)
			}
			n += bytes.Count(raw, []byte(needle))
		}
		return n
	}
	h.call("settled", account, needle)
	h.call("of another", account, "user_stays")
	running, err := h.from("ai").Reserve(t.Context(), reserve("running", account, needle))
	require.NoError(t, err)
	require.NotZero(t, found())

	_, err = h.from("auth").EraseUser(t.Context(), &billingv1.EraseUserRequest{UserId: needle})
	require.NoError(t, err)
	require.Zero(t, found(), "while it runs")

	_, err = h.from("ai").Settle(t.Context(), &billingv1.SettleRequest{
		HoldId: running.GetHoldId(), Usage: &usagev1.CallUsage{InputTokens: 800, OutputTokens: 500}, Outcome: billingv1.Outcome_OUTCOME_COMPLETED,
	})
	require.NoError(t, err)
	h.call("under a passport that still lives", account, needle)
	require.Zero(t, found(), "what comes late does not name the person")

	usage, err := h.from("gateway").GetUsage(h.as(passport.Claims{UserID: "user_admin", AccountID: account, OrganizationID: account, Role: "admin", Admin: true}), &billingv1.GetUsageRequest{})
	require.NoError(t, err)
	require.EqualValues(t, 4*callCost, usage.GetTotal().GetCostNanoUsd(), "what was used and charged stays")
	exported, err := h.from("auth").ExportUser(t.Context(), &billingv1.ExportUserRequest{UserId: "user_stays"})
	require.NoError(t, err)
	require.Contains(t, exported.GetUsageRecordsJson(), account, "others keep their records")
}
