package store_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
)

// More rows than a page, of two people in turn, in many accounts: one person goes, the sums stay.
func TestEraseUser(t *testing.T) {
	const rows = 12_345
	databasetest.Each(t, store.Migrations(), func(t *testing.T, db *database.DB) {
		require.NoError(t, db.Write(t.Context(), "x", func(ctx context.Context, tx database.Tx) error {
			_, err := tx.ExecContext(ctx, `
				WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
				INSERT INTO usage_record (account_id, id, hold_id, day, model, user_id, api_key_id, input_tokens, cached_input_tokens, output_tokens,
					reasoning_tokens, cost, outcome, estimated, provider_request_id, settle_time)
				SELECT 'account_' || (i % 7), 'id_' || i, 'hold_' || i, '2026-11-23', 'm', CASE WHEN i % 2 = 0 THEN 'user_gone' ELSE 'user_stays' END,
					'', 1, 0, 1, 0, 3, 'completed', false, '', 1
				FROM n`, rows)
			return err
		}))
		s := store.New(db)
		require.NoError(t, s.EraseUser(t.Context(), "user_gone"))
		require.NoError(t, s.EraseUser(t.Context(), "user_gone"), "again is no harm")
		require.Error(t, s.EraseUser(t.Context(), ""), "nobody is not everybody")

		count := func(user string) (n, cost int) {
			row := db.Read().QueryRowContext(t.Context(), "SELECT COUNT(*), COALESCE(SUM(cost), 0) FROM usage_record WHERE user_id = $1", user)
			require.NoError(t, row.Scan(&n, &cost))
			return n, cost
		}
		n, cost := count("user_gone")
		require.Zero(t, n)
		require.Zero(t, cost)
		n, cost = count("")
		require.Equal(t, rows/2, n)
		require.Equal(t, rows/2*3, cost, "what was used and charged stays")
		n, _ = count("user_stays")
		require.Equal(t, rows-rows/2, n, "others are untouched")
	})
}
