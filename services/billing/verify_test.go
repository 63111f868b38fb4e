package billing_test

import (
	"bytes"
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/billing"
)

// TestVerifyLedger: a sound ledger passes, beside its owner; each difference is named and fails.
func TestVerifyLedger(t *testing.T) {
	config := database.For("billing", settings.NewSecret("sqlite://"+t.TempDir()))
	db, err := database.Open(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close(context.Background())) })
	var out bytes.Buffer
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	require.ErrorContains(t, billing.VerifyLedger(t.Context(), database.For("billing", settings.NewSecret("sqlite://"+elsewhere)), &out), "elsewhere")
	require.NoDirExists(t, elsewhere, "a wrong DATABASE_URL makes no files")
	require.Error(t, billing.VerifyLedger(t.Context(), config, &out), "nothing is migrated")
	require.NoError(t, database.MigrateAll(t.Context(), db, billing.Migrations()...))
	require.NoError(t, billing.VerifyLedger(t.Context(), config, &out))
	require.Equal(t, "the ledger is sound\n", out.String())

	require.NoError(t, db.Write(t.Context(), "", func(ctx context.Context, tx database.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO account (id, plan, balance, held, debt, create_time, period_start_time, period_end_time, due_time,
			period_requests, period_input_tokens, period_cached_input_tokens, period_output_tokens, period_reasoning_tokens, period_cost)
			VALUES ('acc', 'free', 0, 7, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0)`)
		return err
	}))
	out.Reset()
	require.ErrorContains(t, billing.VerifyLedger(t.Context(), config, &out), "differences in the ledger: 1")
	require.Equal(t, "acc: what an account holds is the sum of its open holds: should be 0, is 7\n", out.String())
}
