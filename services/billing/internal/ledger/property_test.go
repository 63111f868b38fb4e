package ledger_test

import (
	"context"
	"flag"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
)

// model is what the property test believes of one account: what was held and what each call must cost.
type model struct {
	t       *rapid.T
	b       *fixture
	account string
	calls   []*modelCall
	grants  int
	// modest keeps usage within the holds: then there is never debt.
	modest bool
	// back lets the clock go back too, as when replicas' clocks differ, also while there are subscriptions. latest is the latest time that it showed.
	back   bool
	latest time.Time
	// limits are the stored spend limits, and changes counts their changes.
	limits  map[modelLimit]ledger.SpendLimit
	changes int
	bought  int
	// sold is what Stripe knows of the account; nil for an account that has no plan that is sold.
	sold *modelSale
	// failing is the store of the ledger under test.
	failing *failing
}

// modelLimit is whose limit it is, and its windows.
type modelLimit struct {
	ledger.Subject
	period time.Duration
}

type modelCall struct {
	request  ledger.Reservation
	hold     ledger.Hold
	used     int64 // the checkpoint
	cost     int64 // what was charged
	overage  int64 // the part of it that is invoiced
	final    bool  // settled, not only swept
	open     bool
	gone     bool          // its hold is deleted
	paid     []ledger.Burn // which grants have paid, also when its hold is deleted
	changes  int           // of limits, when it was made
	answered ledger.Closing
}

// Any sequence of what may happen leaves the ledger sound: nothing is overspent, charged twice, lost, or paid from credit that was not
// good when the call was made.
func TestLedgerProperties(t *testing.T) {
	checks(t, 30)
	databasetest.Each(t, store.Migrations(), func(t *testing.T, db *database.DB) {
		rapid.Check(t, func(rt *rapid.T) {
			wipe(t, db) // a history that depends on no other one is found again, and shortened
			m := newModel(rt, newFixture(t, db, "monthly"), "org_1")
			m.restart()
			if m.sold != nil {
				m.sold.begin()
			}
			rt.Repeat(map[string]func(*rapid.T){
				"wait":       m.wait,
				"grant":      m.grant,
				"buy":        m.buy,
				"limit":      m.limit,
				"unlimit":    m.unlimit,
				"reserve":    m.reserve,
				"again":      m.reserveAgain,
				"checkpoint": m.checkpoint,
				"settle":     m.settle,
				"sweep":      m.sweep,
				"fold":       m.fold,
				"log":        m.log,
				"prune":      m.prune,
				"restart":    func(*rapid.T) { m.restart() },
				"buy a plan": m.buyPlan,
				"renew":      m.renew,
				"pay":        m.pay,
				"change":     m.changePlan,
				"late news":  m.hearLate,
				"cancel":     m.cancel,
				"end later":  m.endLater,
				"take back":  m.takeBack,
				"dispute":    m.dispute,
				"charge":     m.charge,
				"due":        m.followDue,
				"":           m.check,
			})
			found, err := m.b.Audit(t.Context())
			require.NoError(rt, err)
			require.Empty(rt, found)
		})
	})
}

// wipe deletes all rows, as if the database was new.
func wipe(t *testing.T, db *database.DB) {
	t.Helper()
	tables := "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
	if db.Dialect() == database.Postgres {
		tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'"
	}
	require.NoError(t, db.Write(t.Context(), "", func(ctx context.Context, tx database.Tx) error {
		rows, err := tx.QueryContext(ctx, tables)
		require.NoError(t, err)
		var names []string
		for rows.Next() {
			var name string
			require.NoError(t, rows.Scan(&name))
			if name != "job" && name != "catalog" && !strings.HasSuffix(name, "_migrations") { // they have rows from the beginning
				names = append(names, name)
			}
		}
		require.NoError(t, rows.Err())
		require.NoError(t, rows.Close())
		for _, name := range names {
			if _, err := tx.ExecContext(ctx, `DELETE FROM "`+name+`"`); err != nil {
				return err
			}
		}
		return nil
	}))
}

func newModel(rt *rapid.T, b *fixture, account string) *model {
	m := &model{t: rt, b: b, account: account, modest: rapid.Bool().Draw(rt, "modest"), limits: map[modelLimit]ledger.SpendLimit{}, failing: &failing{Store: b.store}}
	m.sellPlans()
	if rapid.Bool().Draw(rt, "sold") {
		m.sold = &modelSale{m: m}
	}
	m.back = !m.modest && rapid.Bool().Draw(rt, "back")
	return m
}

// checks shortens a property test that takes minutes: TRIVET_FAULTS=1 runs it at its full length, as -rapid.checks does.
func checks(t *testing.T, short int) {
	t.Helper()
	f := flag.Lookup("rapid.checks")
	if os.Getenv("TRIVET_FAULTS") != "" || f.Value.String() != f.DefValue {
		return
	}
	require.NoError(t, f.Value.Set(strconv.Itoa(short)))
	t.Cleanup(func() { require.NoError(t, f.Value.Set(f.DefValue)) })
}

func always(context.Context) error { return nil }
