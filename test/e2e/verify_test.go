package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/settings"
)

// `trivet ledger verify` passes a sound ledger, and exits with 1 and names the difference in one that somebody has edited.
func TestLedgerVerifyNamesEachDamage(t *testing.T) {
	for kind, url := range map[string]string{"SQLite": "sqlite://" + t.TempDir(), "PostgreSQL": databasetest.PostgresURL(t)} {
		t.Run(kind, func(t *testing.T) {
			usedLedger(t, url)
			verify := func() (string, int) {
				out, err := run(t, "trivet", []string{"ledger", "verify"}, "DATABASE_URL="+url)
				ended := &exec.ExitError{}
				if errors.As(err, &ended) {
					return out, ended.ExitCode()
				}
				require.NoError(t, err)
				return out, 0
			}
			out, code := verify()
			require.Zero(t, code, out)
			require.Contains(t, out, "the ledger is sound")

			place := database.For("billing", settings.NewSecret(url))
			for damage, c := range map[string]struct{ repair, says string }{
				"UPDATE account SET balance = balance + 1": {
					"UPDATE account SET balance = balance - 1", "an account's balance is the sum of its entries",
				},
				"UPDATE entry SET amount = amount + 1 WHERE kind = 'grant'": {
					"UPDATE entry SET amount = amount - 1 WHERE kind = 'grant'", "a grant has an entry of its amount",
				},
				"UPDATE credit_grant SET remaining = remaining - 1": {
					"UPDATE credit_grant SET remaining = remaining + 1", "an account's balance is what remains of its grants",
				},
				"UPDATE account SET held = held + 1": {
					"UPDATE account SET held = held - 1", "what an account holds is the sum of its open holds",
				},
				"UPDATE key_window SET spent = spent + 1": {
					"UPDATE key_window SET spent = spent - 1", "what an API key spent in a window is the cost of its holds",
				},
				"UPDATE member_window SET spent = spent + 1": {
					"UPDATE member_window SET spent = spent - 1", "what a member spent in a window is the cost of its holds",
				},
				"UPDATE account SET overage_total = overage_total + 1": {
					"UPDATE account SET overage_total = overage_total - 1", "an account's overage is the sum of its periods",
				},
				"UPDATE account SET period_cost = period_cost + 1": {
					"UPDATE account SET period_cost = period_cost - 1", "a period's cost is the sum of its days",
				},
			} {
				require.Positive(t, edit(t, place, damage), damage)
				out, code := verify()
				require.Equal(t, 1, code, "%s: %s", damage, out)
				require.Contains(t, out, c.says, damage)
				require.Positive(t, edit(t, place, c.repair))
			}
			out, code = verify()
			require.Zero(t, code, out)
		})
	}
}

// verifyLedger requires that `trivet ledger verify` finds no difference in the installation's store. Trivet may run meanwhile.
func (in *installation) verifyLedger() {
	in.t.Helper()
	var place []string
	for _, p := range in.running {
		if p.name != "billing" && (p.name != "trivet" || p.Args[1] == "sandbox") {
			continue
		}
		place = nil
		for _, setting := range p.Env {
			if strings.HasPrefix(setting, "DATABASE_URL=") || strings.HasPrefix(setting, "TRIVET_DATA_DIR=") {
				place = append(place, setting)
			}
		}
	}
	require.NotEmpty(in.t, place, "nothing with a ledger was started")
	in.once("trivet", []string{"ledger", "verify"}, place)
}

// usedLedger makes a ledger of calls by a person and by an API key, both with limits.
func usedLedger(t *testing.T, url string) {
	t.Helper()
	in := allInOne(t, "DATABASE_URL="+url)
	admin := in.token("user_admin", map[string]any{"org": "org_1", "role": "admin"})
	in.post("/api/v1/billing/spendLimits", admin, `{"userId":"user_admin","window":"SPEND_WINDOW_DAY","limitNanoUsd":"4000000000"}`, &struct{}{})
	var key struct{ Secret string }
	in.post("/api/v1/apiKeys", admin, `{"name":"server","spendLimitNanoUsd":"4000000000"}`, &key)
	for _, credential := range []string{admin, key.Secret} {
		require.Equal(t, http.StatusOK, in.call(t.Context(), http.MethodPost, "/v1/chat/completions", credential, `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hi"}]}`).status)
	}
	require.Eventually(t, func() bool { return in.account(admin).Usage.Requests == 2 }, 30*time.Second, 50*time.Millisecond)
	in.stop()
}

// edit changes rows as somebody with access to the database does, and returns how many.
func edit(t *testing.T, place database.Config, statement string) (rows int64) {
	t.Helper()
	db, err := database.Open(t.Context(), place)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close(context.Background())) }()
	require.NoError(t, db.Write(t.Context(), "", func(ctx context.Context, tx database.Tx) error {
		result, err := tx.ExecContext(ctx, statement)
		if err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
		rows, err = result.RowsAffected()
		return err
	}))
	return rows
}
