package billing_test

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/services/billing"
)

// repairs are the statements of "A purchase with a wrong credit" in docs/operations.md.
func repairs(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	require.NoError(t, err)
	_, section, ok := strings.Cut(string(text), "### A purchase with a wrong credit\n")
	require.True(t, ok)
	_, block, ok := strings.Cut(section, "```sql\n")
	require.True(t, ok)
	block, _, ok = strings.Cut(block, "```")
	require.True(t, ok)
	block = strings.TrimSpace(block)
	require.True(t, strings.HasSuffix(block, ";"), "a shell of a database waits for the end of the statement")
	all := strings.Split(strings.TrimSuffix(block, ";"), ";\n")
	require.Len(t, all, 3)
	require.Equal(t, "SET search_path TO billing", all[0])
	return all[1:]
}

// Earlier versions stored another credit with a purchase than its grant has, so that a refund took too little. The operator's guide says how to correct it:
// the statements and a reconciliation take the rest, once, and the ledger is sound.
func TestAPurchaseWithAWrongCreditIsRepaired(t *testing.T) {
	statements := repairs(t)
	sell(t, func(t *testing.T, h *fixture) {
		h.apply(planFile)
		require.True(t, h.buy(purchase("", "credit_20")).GetApplied())
		before := h.account().GetBalanceNanoUsd()
		db, err := database.Open(t.Context(), h.database)
		require.NoError(t, err)
		defer func() { require.NoError(t, db.Close(context.Background())) }()
		execute := func(statement string) {
			require.NoError(t, db.Write(t.Context(), "", func(ctx context.Context, tx database.Tx) error {
				_, err := tx.ExecContext(ctx, statement)
				return err
			}))
		}
		verify := func() (string, error) {
			var out bytes.Buffer
			err := billing.VerifyLedger(t.Context(), h.database, &out)
			return out.String(), err
		}
		execute(`UPDATE purchase SET credit = 15000000000`) // of $21.00
		h.at(http.MethodPost, "/v1/refunds", url.Values{"charge": {h.listed("/v1/charges")[0]}, "amount": {"1000"}})
		h.news()
		require.Equal(t, before-7_500_000_000, h.account().GetBalanceNanoUsd(), "half of the wrong credit")
		text, err := verify()
		require.Error(t, err)
		require.Contains(t, text, "a purchase's credit is that of its grant: should be 21000000000, is 15000000000\n")

		for range 2 { // the steps may be repeated
			for _, statement := range statements {
				execute(statement)
			}
			h.news()
			require.Equal(t, before-10_500_000_000, h.account().GetBalanceNanoUsd())
			text, err = verify()
			require.NoError(t, err, text)
		}
	})
}
