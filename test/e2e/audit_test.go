package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/settings"
)

// audit reads the stores of auth and billing directly.
//
// Most effects of webhooks are idempotent, so a user who was written twice looks like one who was written once. keep adds
// triggers that record every effect in its own transaction, so that a repeated effect shows.
type audit struct {
	t   *testing.T
	url string
}

// entry is one effect: an event that became done, a user or an object that was written.
type entry struct{ id, value string }

// open opens a service's store until end is called. The test must not be connected while a process is killed, because that
// would keep SQLite from recovering its log.
func (b audit) open(service string) (db *database.DB, end func()) {
	b.t.Helper()
	config := database.For(service, settings.NewSecret(b.url))
	config.Beside = true // Trivet owns the folder
	db, err := database.Open(b.t.Context(), config)
	require.NoError(b.t, err)
	return db, func() { require.NoError(b.t, db.Close(context.Background())) }
}

// keep installs the triggers while Trivet runs.
func (b audit) keep() {
	b.t.Helper()
	for service, triggers := range map[string][]trigger{
		"auth": {
			{"done", "UPDATE OF state ON inbox_event", "NEW.state = 'done'", "NEW.source || ' ' || NEW.id", "''"},
			{"user_inserted", "INSERT ON app_user", "NEW.synced", "NEW.id", "NEW.first_name"},
			{"user_updated", "UPDATE ON app_user", "NEW.synced", "NEW.id", "NEW.first_name"},
		},
		"billing": {
			{"done", "UPDATE OF state ON inbox_event", "NEW.state = 'done'", "NEW.source || ' ' || NEW.id", "''"},
			{"object_updated", "UPDATE OF sequence ON stripe_object", "NEW.sequence > 0", "NEW.kind || ' ' || NEW.id", "CAST(NEW.sequence AS TEXT)"},
		},
	} {
		db, end := b.open(service)
		require.NoError(b.t, db.Write(b.t.Context(), "", func(ctx context.Context, tx database.Tx) error {
			statements := []string{"CREATE TABLE audit (n " + serial(db.Dialect()) + " PRIMARY KEY, what TEXT NOT NULL, id TEXT NOT NULL, value TEXT NOT NULL)"}
			for _, each := range triggers {
				statements = append(statements, each.sql(db.Dialect())...)
			}
			for _, s := range statements {
				if _, err := tx.ExecContext(ctx, s); err != nil {
					return err
				}
			}
			return nil
		}))
		end()
	}
}

func serial(d database.Dialect) string {
	if d == database.SQLite {
		return "INTEGER"
	}
	return "BIGINT GENERATED ALWAYS AS IDENTITY"
}

// trigger records the effects on a table. The first word of its name says which effect.
type trigger struct{ name, on, when, id, value string }

func (t trigger) sql(d database.Dialect) []string {
	what, _, _ := strings.Cut(t.name, "_")
	insert := "INSERT INTO audit (what, id, value) VALUES ('" + what + "', " + t.id + ", " + t.value + ");"
	if d == database.SQLite {
		return []string{"CREATE TRIGGER audit_" + t.name + " AFTER " + t.on + " WHEN " + t.when + " BEGIN " + insert + " END"}
	}
	return []string{
		"CREATE FUNCTION audit_" + t.name + "() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN " + insert + " RETURN NULL; END $$",
		"CREATE TRIGGER audit_" + t.name + " AFTER " + t.on + " FOR EACH ROW WHEN (" + t.when + ") EXECUTE FUNCTION audit_" + t.name + "()",
	}
}

// query returns the rows of a query of two columns of text.
func (b audit) query(db *database.DB, query string, args ...any) (all []entry) {
	b.t.Helper()
	rows, err := db.Read().QueryContext(b.t.Context(), query, args...)
	require.NoError(b.t, err)
	defer func() { require.NoError(b.t, rows.Close()) }()
	for rows.Next() {
		var e entry
		require.NoError(b.t, rows.Scan(&e.id, &e.value))
		all = append(all, e)
	}
	require.NoError(b.t, rows.Err())
	return all
}

// effects returns the recorded values of each id, in order.
func (b audit) effects(db *database.DB, what string) map[string][]string {
	b.t.Helper()
	found := map[string][]string{}
	for _, e := range b.query(db, "SELECT id, value FROM audit WHERE what = $1 ORDER BY n", what) {
		found[e.id] = append(found[e.id], e.value)
	}
	return found
}

// awaitDrained waits until both services have handled all events without help. It does not wait for the second round of an
// erasure, which is due half an hour later.
func (b audit) awaitDrained() {
	b.t.Helper()
	for _, service := range []string{"auth", "billing"} {
		db, end := b.open(service)
		require.Eventually(b.t, func() bool {
			return len(b.query(db, "SELECT id, state FROM inbox_event WHERE state IN ('pending', 'leased') AND source <> 'erasure-late'")) == 0
		}, 3*time.Minute, 200*time.Millisecond, service)
		end()
	}
}

// pendingOf counts the events that a service has not handled yet, among those that a condition selects.
func (b audit) pendingOf(ctx context.Context, service, condition string) (n int, err error) {
	config := database.For(service, settings.NewSecret(b.url))
	config.Beside = true // Trivet owns the folder
	db, err := database.Open(ctx, config)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close(context.Background())) }()
	err = db.Read().QueryRowContext(ctx, "SELECT count(*) FROM inbox_event WHERE state IN ('pending', 'leased') AND source <> 'erasure-late' AND "+condition).Scan(&n)
	return n, err
}

// checkInbox checks that the events of a source that were sent are each stored once and done once, and returns how many it has in all.
func (b audit) checkInbox(db *database.DB, source string, sent map[string]bool) int {
	b.t.Helper()
	rows := b.query(db, "SELECT id, state FROM inbox_event WHERE source = $1", source)
	done := b.effects(db, "done")
	stored := map[string]bool{}
	for _, row := range rows {
		require.False(b.t, stored[row.id], "%s %s is stored twice", source, row.id)
		stored[row.id] = true
		if !sent[row.id] {
			continue // an event of the sandbox, in tests that do not check those
		}
		require.Equal(b.t, "done", row.value, "%s %s", source, row.id)
		require.Len(b.t, done[source+" "+row.id], 1, "%s %s must become done once", source, row.id)
	}
	for id := range sent {
		require.True(b.t, stored[id], "%s %s was acknowledged and then lost", source, id)
	}
	return len(stored)
}

// checkRising checks that the recorded values of each object only increase.
func (b audit) checkRising(effects map[string][]string, of func(id string) bool) {
	b.t.Helper()
	for id, values := range effects {
		before := -1
		for _, value := range values {
			if !of(id) {
				break
			}
			n, err := strconv.Atoi(value)
			require.NoError(b.t, err, id)
			require.Greater(b.t, n, before, "%s: %v", id, values)
			before = n
		}
	}
}

// metadata reads the number that a test has stored in a Stripe object.
func metadata(t *testing.T, body string) string {
	t.Helper()
	var object struct{ Metadata struct{ N string } }
	require.NoError(t, json.Unmarshal([]byte(body), &object))
	return object.Metadata.N
}
