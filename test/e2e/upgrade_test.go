package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
)

// upgrade is a database of the old version that becomes one of this version.
type upgrade struct {
	t     *testing.T
	audit audit
	facts upgradeFacts
}

func newUpgrade(t *testing.T, url, facts string) *upgrade {
	t.Helper()
	u := &upgrade{t: t, audit: audit{t: t, url: url}}
	raw, err := os.ReadFile(filepath.Join(upgradeData, facts))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &u.facts))
	return u
}

// oldSQLite puts the fixture's files in a new folder.
func oldSQLite(t *testing.T) *upgrade {
	t.Helper()
	folder := t.TempDir()
	for _, service := range []string{"auth", "billing"} {
		require.NoError(t, os.WriteFile(filepath.Join(folder, service+".db"), unpack(t, service+".db.gz"), 0o600))
	}
	return newUpgrade(t, "sqlite://"+folder, "sqlite.json")
}

// oldPostgres restores the fixture into a new database.
func oldPostgres(t *testing.T) *upgrade {
	t.Helper()
	u := newUpgrade(t, databasetest.PostgresURL(t), "postgres.json")
	conn, err := pgx.Connect(t.Context(), u.audit.url)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(context.Background())) }()
	_, err = conn.PgConn().Exec(t.Context(), string(unpack(t, "postgres.sql.gz"))).ReadAll()
	require.NoError(t, err)
	return u
}

// money is what the old version's columns say of each account, grant and call.
func (u *upgrade) money() map[string][]entry {
	u.t.Helper()
	db, end := u.audit.open("billing")
	defer end()
	all := map[string][]entry{}
	for table, query := range map[string]string{
		"account": "SELECT id, plan || ' ' || balance || ' ' || held || ' ' || debt || ' ' || period_requests || ' ' || period_cost || ' ' || period_start_time FROM account ORDER BY id",
		"grant":   "SELECT id, account_id || ' ' || source || ' ' || amount || ' ' || remaining FROM credit_grant ORDER BY id",
		"hold":    "SELECT id, account_id || ' ' || state || ' ' || amount || ' ' || cost || ' ' || used_output_tokens || ' ' || owed FROM hold ORDER BY id",
		"entry":   "SELECT account_id || ' ' || id, kind || ' ' || debit || ' ' || credit || ' ' || amount || ' ' || reference FROM entry ORDER BY account_id, id",
	} {
		all[table] = u.audit.query(db, query)
		require.NotEmpty(u.t, all[table], table)
	}
	return all
}

// letTimePass makes a change that time makes: retries become due, and the leases of the killed process end.
func (u *upgrade) letTimePass() {
	u.t.Helper()
	for service, statements := range map[string][]string{
		"auth":    {"UPDATE inbox_event SET due_time = 1 WHERE state IN ('pending', 'leased')", "UPDATE inbox_subject SET due_time = 1"},
		"billing": {"UPDATE inbox_event SET due_time = 1 WHERE state IN ('pending', 'leased')", "UPDATE inbox_subject SET due_time = 1", "UPDATE hold SET lease_time = 1 WHERE state = 'open'"},
	} {
		db, end := u.audit.open(service)
		require.NoError(u.t, db.Write(u.t.Context(), "", func(ctx context.Context, tx database.Tx) error {
			var all []error
			for _, s := range statements {
				_, err := tx.ExecContext(ctx, s)
				all = append(all, err)
			}
			return errors.Join(all...)
		}))
		end()
	}
}

// run starts this version on the database.
func (u *upgrade) run(t *testing.T) *installation {
	t.Helper()
	return allInOne(t, "DATABASE_URL="+u.audit.url, "TRIVET_OPERATORS=user_operator", "CLERK_RECONCILE_INTERVAL=0", "STRIPE_RECONCILE_INTERVAL=0", "BILLING_SWEEP_INTERVAL=100ms", "LOG_LEVEL=warn")
}

// check uses what the old version has made.
func (u *upgrade) check(in *installation) {
	u.t.Helper()
	alice := in.token("user_alice", nil)
	before := in.account(alice)
	var got struct{ Usage openAIUsage }
	in.post("/v1/chat/completions", u.facts.APIKey, question, &got)
	require.Equal(u.t, before.Balance-got.Usage.price(u.t, model), in.account(alice).Balance, "the old key's account pays")
	rude := in.call(u.t.Context(), http.MethodGet, "/api/v1/me", in.token("user_rude", nil), "")
	require.Equal(u.t, http.StatusUnauthorized, rude.status, "who was banned stays banned: %s", rude.body)
	var users struct{ Users []struct{ ID string } }
	in.get("/api/v1/users", in.token("user_operator", nil), &users)
	require.NotEmpty(u.t, users.Users)

	held := in.token(u.facts.Held, nil)
	require.Eventually(u.t, func() bool { return in.account(held).Held == 0 }, time.Minute, 50*time.Millisecond, "the hold of the killed process is settled")
	db, end := u.audit.open("billing")
	for _, hold := range u.audit.query(db, "SELECT account_id, state || ' ' || (CASE WHEN cost > 0 THEN 'charged' ELSE 'free' END) FROM hold WHERE account_id = $1", u.facts.Held) {
		require.Equal(u.t, "swept charged", hold.value, "at its last checkpoint")
	}
	end()
	u.audit.awaitDrained()
	require.Len(u.t, in.events("stripe", "?state=EVENT_STATE_DEAD"), 1, "what was dead stays dead")
}

// verify checks every rule of the ledger.
func (u *upgrade) verify() {
	u.t.Helper()
	in := &installation{t: u.t, log: &logFile{}}
	in.once("trivet", []string{"ledger", "verify"}, []string{"DATABASE_URL=" + u.audit.url})
}

// A database of the old version is migrated at the start, and loses nothing.
func TestUpgradeSQLite(t *testing.T) {
	u := oldSQLite(t)
	before := u.money()
	in := &installation{t: t, log: &logFile{}}
	in.once("trivet", []string{"migrate"}, []string{"DATABASE_URL=" + u.audit.url})
	require.Equal(t, before, u.money())
	u.verify()
	u.letTimePass()
	running := u.run(t)
	u.check(running)
	running.stop()
	u.verify()
}

// The statements of the old version come to the same before, during and after the migration: its processes keep working, and nothing
// changes that they know.
func TestUpgradePostgres(t *testing.T) {
	u := oldPostgres(t)
	before, outcomes := u.money(), u.outcomes()
	worked := 0
	for name, outcome := range outcomes {
		require.NotContains(t, outcome, "no value in this test", name)
		if strings.HasSuffix(outcome, " ok") {
			worked++
		}
	}
	t.Logf("%d of %d statements work with simple arguments; the others are refused for the same reason", worked, len(outcomes))
	require.Greater(t, worked, len(outcomes)*3/4)
	stop, ended := make(chan struct{}), make(chan map[string][]string, 1)
	go func() {
		defer close(ended) // also when a requirement ends this goroutine
		ended <- u.outcomesUntil(stop)
	}()
	in := &installation{t: t, log: &logFile{}}
	migrate := func() error {
		return in.command("trivet", []string{"migrate"}, []string{"DATABASE_URL=" + u.audit.url}).Run()
	}
	err := migrate()
	if err != nil && strings.Contains(in.log.String(), deadlock) { // the statements lock rows in another order
		err = migrate()
	}
	require.NoError(t, err, in.log)
	close(stop)
	meanwhile := <-ended
	require.NotNil(t, meanwhile)
	for name, during := range meanwhile {
		for _, outcome := range during {
			require.Equal(t, outcomes[name], outcome, "%s, while the migrations ran", name)
		}
	}
	require.Equal(t, before, u.money())
	require.Equal(t, outcomes, u.outcomes())
	u.verify()
	u.letTimePass()
	running := u.run(t)
	u.check(running)
	running.stop()
	u.verify()
}

// TestUpgradeBesideOldPrograms runs the programs of the old version, built from the history, while this version migrates their database and
// replaces them. The long tests run it: make test-faults.
func TestUpgradeBesideOldPrograms(t *testing.T) {
	if os.Getenv("TRIVET_FAULTS") == "" {
		return
	}
	_, programs := oldPrograms(t)
	u := oldPostgres(t)
	old := oldInstallation(t, programs, u.audit.url)
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	token := old.token("user_meanwhile", nil)
	before := old.account(token)
	var spent int64
	var failed []string
	running.Go(func() {
		for ctx.Err() == nil {
			a := old.call(t.Context(), http.MethodPost, "/v1/chat/completions", token, question)
			var got struct{ Usage openAIUsage }
			if a.status != http.StatusOK || json.Unmarshal(a.body, &got) != nil {
				failed = append(failed, string(a.body))
				return
			}
			spent += got.Usage.price(t, model)
			time.Sleep(100 * time.Millisecond) // within the plan's limit of requests
		}
	})
	time.Sleep(time.Second)
	in := &installation{t: t, log: &logFile{}}
	in.once("trivet", []string{"migrate"}, []string{"DATABASE_URL=" + u.audit.url})
	fresh := u.run(t) // both versions run
	w, c := newEventMaker(old), newSender(old.edge)
	require.NoError(t, c.deliverAll(t.Context(), w.events(t, 20)))
	time.Sleep(3 * time.Second)
	cancel()
	running.Wait()
	require.Empty(t, failed, "no call fails")
	require.Positive(t, spent)
	require.Equal(t, before.Balance-spent, old.account(token).Balance)
	require.Equal(t, before.Balance-spent, fresh.account(fresh.token("user_meanwhile", nil)).Balance, "both see the same")
	old.stop()
	u.letTimePass()
	u.check(fresh)
	fresh.stop()
	u.verify()
}
