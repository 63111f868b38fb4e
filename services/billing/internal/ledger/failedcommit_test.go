package ledger_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

// refusesCommits has each commit fail that adds or changes a row of a table, until repair is called. All statements before it succeed.
func (b *fixture) refusesCommits(table string) (repair func()) {
	b.t.Helper()
	if b.db.Dialect() == database.Postgres { // its disk is full
		b.exec("CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no space left on device' USING ERRCODE = '53100'; END $$")
		b.exec("CREATE CONSTRAINT TRIGGER broken AFTER INSERT OR UPDATE ON " + table + " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION broken()")
		return func() {
			b.exec("DROP TRIGGER broken ON " + table)
			b.exec("DROP FUNCTION broken()")
		}
	}
	b.exec("CREATE TABLE absent (id INTEGER PRIMARY KEY)")
	b.exec("CREATE TABLE broken (id INTEGER REFERENCES absent (id) DEFERRABLE INITIALLY DEFERRED)")
	b.exec("CREATE TRIGGER broken_insert AFTER INSERT ON " + table + " BEGIN INSERT INTO broken VALUES (1); END")
	b.exec("CREATE TRIGGER broken_update AFTER UPDATE ON " + table + " BEGIN INSERT INTO broken VALUES (1); END")
	return func() {
		for _, drop := range []string{"TRIGGER broken_insert", "TRIGGER broken_update", "TABLE broken", "TABLE absent"} {
			b.exec("DROP " + drop)
		}
	}
}

// A commit that fails is not acknowledged and leaves nothing, in the database or in memory. The same call succeeds once, when commits do.
func TestAFailedCommitIsNotAcknowledged(t *testing.T) {
	for name, c := range map[string]struct {
		table string
		call  func(t *testing.T, b *fixture, open ledger.Hold) error
		// balance and held are those of alice afterwards.
		balance, held int64
	}{
		"hold": {"hold", func(t *testing.T, b *fixture, _ ledger.Hold) error {
			_, err := b.Reserve(t.Context(), ledger.Reservation{RequestID: "new", AccountID: alice, Model: "embed", InputTokens: 7})
			return err
		}, 970, 107},
		"checkpoint": {"hold", func(t *testing.T, b *fixture, open ledger.Hold) error {
			_, err := b.Checkpoint(t.Context(), open.ID, ledger.Usage{Input: 60}, 0)
			return err
		}, 970, 100},
		"settlement": {"hold", func(t *testing.T, b *fixture, open ledger.Hold) error {
			_, err := b.Settle(t.Context(), ledger.Settlement{HoldID: open.ID, Usage: ledger.Usage{Input: 60}, Outcome: ledger.OutcomeCompleted})
			return err
		}, 910, 0},
		"sweep": {"hold", func(t *testing.T, b *fixture, open ledger.Hold) error {
			b.clock.Set(open.LeaseTime)
			_, err := b.Sweep(t.Context())
			return err
		}, 870, 0},
		"grant": {"credit_grant", func(t *testing.T, b *fixture, _ ledger.Hold) error {
			_, err := b.Grant(t.Context(), ledger.NewGrant{AccountID: alice, Source: "new", Amount: 5})
			return err
		}, 975, 100},
		"fold": {"usage_segment", func(t *testing.T, b *fixture, _ ledger.Hold) error {
			_, err := b.Fold(t.Context(), always)
			return err
		}, 970, 100},
		"erasure": {"erased_user", func(t *testing.T, b *fixture, _ ledger.Hold) error {
			return b.store.EraseUser(t.Context(), "user_1")
		}, 970, 100},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, "empty", func(t *testing.T, b *fixture) {
				b.give("credit", 1000)
				b.settle(b.hold("settled", 50), 30)
				open := b.hold("open", 100)
				want := b.seen()
				repair := b.refusesCommits(c.table)
				for range 2 {
					err := c.call(t, b, open)
					require.Error(t, err)
					if b.db.Dialect() == database.Postgres {
						require.ErrorIs(t, err, ledger.ErrUnavailable)
					}
					require.Equal(t, want, b.seen())
					require.Equal(t, open, b.read(open))
					require.EqualValues(t, 2, b.count("SELECT COUNT(*) FROM hold"))
					b.sound()
				}
				repair()
				for range 2 { // the caller has no answer the first time
					require.NoError(t, c.call(t, b, open))
					a := b.account()
					require.Equal(t, []int64{c.balance, c.held}, []int64{a.Balance, a.Held})
					b.sound()
				}
			})
		})
	}
}
