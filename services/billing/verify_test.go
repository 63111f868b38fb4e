package billing_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strconv"
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

// filled makes a sound ledger of 1,000 accounts whose calls were folded often: $1 usage entries, each with its segment.
var filled = []string{
	`INSERT INTO usage_segment (account_id, id, last_time, calls, charged, records)
		WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < $1 - 1)
		SELECT 'acc_' || CAST(i % 1000 AS TEXT), 'usage_' || CAST(i AS TEXT), 1, 1, 3, '' FROM n`,
	`INSERT INTO entry (account_id, id, kind, debit, credit, amount, reference, create_time)
		SELECT account_id, 'ent_' || id, 'usage', 'customer:' || account_id, 'revenue:usage', charged, id, 1 FROM usage_segment`,
	`INSERT INTO usage_day (account_id, day, model, user_id, api_key_id, requests, input_tokens, cached_input_tokens, output_tokens, reasoning_tokens, cost)
		SELECT account_id, 0, 'm', '', '', COUNT(*), 0, 0, 0, 0, SUM(charged) FROM usage_segment GROUP BY account_id`,
	`INSERT INTO credit_grant (id, account_id, source, amount, remaining, create_time, expire_time)
		SELECT 'grant_' || account_id, account_id, 's', cost + 10, 10, 1, 9 FROM usage_day`,
	`INSERT INTO entry (account_id, id, kind, debit, credit, amount, reference, create_time)
		SELECT account_id, 'ent_' || id, 'grant', 'equity:grants', 'customer:' || account_id, amount, id, 1 FROM credit_grant`,
	`INSERT INTO account (id, plan, balance, held, debt, create_time, period_start_time, period_end_time, due_time,
			period_requests, period_input_tokens, period_cached_input_tokens, period_output_tokens, period_reasoning_tokens, period_cost)
		SELECT account_id, 'free', 10, 0, 0, 0, 0, 1, 1, requests, 0, 0, 0, 0, cost FROM usage_day`,
}

// BenchmarkVerify verifies a ledger of VERIFY_ENTRIES usage entries (default 10,000): make bench-verify.
func BenchmarkVerify(b *testing.B) {
	entries := 10_000
	if n, err := strconv.Atoi(os.Getenv("VERIFY_ENTRIES")); err == nil {
		entries = n
	}
	config := database.For("billing", settings.NewSecret("sqlite://"+b.TempDir()))
	db, err := database.Open(b.Context(), config)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, db.Close(context.Background())) })
	require.NoError(b, database.MigrateAll(b.Context(), db, billing.Migrations()...))
	require.NoError(b, db.Write(b.Context(), "", func(ctx context.Context, tx database.Tx) error {
		for i, statement := range filled {
			args := []any{entries}[:max(1-i, 0)]
			if _, err := tx.ExecContext(ctx, statement, args...); err != nil {
				return err
			}
		}
		return nil
	}))
	for b.Loop() {
		require.NoError(b, billing.VerifyLedger(b.Context(), config, io.Discard))
	}
}
