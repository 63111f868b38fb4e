package ledger_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/callid"
	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

// rowCounts counts the rows of each table.
func (b *fixture) rowCounts() map[string]int64 {
	b.t.Helper()
	tables := "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
	if b.db.Dialect() == database.Postgres {
		tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'"
	}
	rows, err := b.db.Read().QueryContext(b.t.Context(), tables)
	require.NoError(b.t, err)
	defer func() { require.NoError(b.t, rows.Close()) }()
	var names []string
	for rows.Next() {
		var name string
		require.NoError(b.t, rows.Scan(&name))
		names = append(names, name)
	}
	require.NoError(b.t, rows.Err())
	counts := map[string]int64{}
	for _, name := range names {
		counts[name] = b.count(`SELECT COUNT(*) FROM "` + name + `"`)
	}
	return counts
}

// manyCalls makes calls of an account on one day, by a few members and keys, and folds them together: with an idempotency key, under a limit, without usage,
// refused.
func (b *fixture) manyCalls(account string, n int) {
	b.t.Helper()
	_, err := b.Grant(b.t.Context(), ledger.NewGrant{AccountID: account, Create: true, Source: "all", Amount: ledger.MaxAmount})
	require.NoError(b.t, err)
	var refused []ledger.UsageRecord
	for i := range n {
		user := fmt.Sprintf("user_%d", i%3)
		h, err := b.Reserve(b.t.Context(), ledger.Reservation{
			RequestID: callid.Make(account, b.clock.Now(), uint64(i)), AccountID: account, UserID: user, APIKeyID: fmt.Sprintf("key_%d", i%2), Model: "embed",
			InputTokens: 10, KeyLimit: ledger.KeyLimit{Amount: ledger.MaxAmount, Period: time.Hour}, Once: ledger.Once{Key: fmt.Sprint(i), RequestDigest: "d"},
		})
		require.NoError(b.t, err)
		_, err = b.Settle(b.t.Context(), ledger.Settlement{HoldID: h.ID, Usage: ledger.Usage{Input: int64(i % 4)}, Outcome: ledger.OutcomeCompleted})
		require.NoError(b.t, err)
		refused = append(refused, ledger.UsageRecord{RequestID: callid.Make(account, b.clock.Now(), uint64(n+i)), UserID: user, SettleTime: b.clock.Now()})
	}
	require.NoError(b.t, b.RecordRefused(b.t.Context(), account, "batch", refused))
	_, err = b.Fold(b.t.Context(), always)
	require.NoError(b.t, err)
}

// When their records are over, any number of calls leaves what depends on members, keys, days and folds alone.
func TestNothingOfACallStays(t *testing.T) {
	each(t, "empty", func(t *testing.T, b *fixture) {
		const retention = 90 * 24 * time.Hour
		left := func(account string, n int) map[string]int64 {
			t.Helper()
			before := b.rowCounts()
			b.manyCalls(account, n)
			require.EqualValues(t, n, b.rowCounts()["hold"]-before["hold"])
			b.clock.Add(401 * 24 * time.Hour)
			require.NoError(t, b.Prune(t.Context(), retention, always))
			b.sweep(0) // deletes windows and idempotency keys
			b.sound()
			more := map[string]int64{}
			for table, rows := range b.rowCounts() {
				if rows != before[table] {
					more[table] = rows - before[table]
				}
			}
			return more
		}
		few := left("org_few", 24)
		require.Equal(t, few, left("org_many", 240))
		for _, table := range []string{"hold", "unfolded_call", "usage_segment", "call_key", "key_window", "key_day", "member_day"} {
			require.NotContains(t, few, table)
		}
		require.EqualValues(t, 2, few["entry"], "the grant, and one charge of all calls")
	})
}
