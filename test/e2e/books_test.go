package e2e

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/settings"
)

// books are the stores of auth and billing as an auditor reads them, past Trivet.
//
// Most effects of webhooks bear repetition: a user who is written twice looks like one who is written once. So that a second time
// shows, keep adds triggers that write down every effect, in the transaction that makes it.
type books struct {
	t   *testing.T
	url string
}

// entry is one effect: an event that became done, a user or an object that was written.
type entry struct{ id, value string }

// open opens a service's store until end is called: nothing of the test's must be connected while a process is killed, as that would
// keep SQLite's log from being recovered.
func (b books) open(service string) (db *database.DB, end func()) {
	b.t.Helper()
	config := database.For(service, settings.NewSecret(b.url))
	config.Beside = true // Trivet owns the folder
	db, err := database.Open(b.t.Context(), config)
	require.NoError(b.t, err)
	return db, func() { require.NoError(b.t, db.Close(context.Background())) }
}

// keep begins the books, beside the running Trivet.
func (b books) keep() {
	b.t.Helper()
	for service, triggers := range map[string][]trigger{
		"auth": {
			{"done", "UPDATE OF state ON inbox_event", "NEW.state = 'done'", "NEW.source || ' ' || NEW.id", "''"},
			{"user_inserted", "INSERT ON users", "NEW.synced", "NEW.id", "NEW.first_name"},
			{"user_updated", "UPDATE ON users", "NEW.synced", "NEW.id", "NEW.first_name"},
		},
		"billing": {
			{"done", "UPDATE OF state ON inbox_event", "NEW.state = 'done'", "NEW.source || ' ' || NEW.id", "''"},
			{"object_updated", "UPDATE OF sequence ON stripe_object", "NEW.sequence > 0", "NEW.kind || ' ' || NEW.id", "CAST(NEW.sequence AS TEXT)"},
		},
	} {
		db, end := b.open(service)
		require.NoError(b.t, db.Write(b.t.Context(), "", func(ctx context.Context, tx database.Tx) error {
			statements := []string{"CREATE TABLE book (n " + serial(db.Dialect()) + " PRIMARY KEY, what TEXT NOT NULL, id TEXT NOT NULL, value TEXT NOT NULL)"}
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

// trigger writes down what happens to a table: what is the first word of its name.
type trigger struct{ name, on, when, id, value string }

func (t trigger) sql(d database.Dialect) []string {
	what, _, _ := strings.Cut(t.name, "_")
	insert := "INSERT INTO book (what, id, value) VALUES ('" + what + "', " + t.id + ", " + t.value + ");"
	if d == database.SQLite {
		return []string{"CREATE TRIGGER book_" + t.name + " AFTER " + t.on + " WHEN " + t.when + " BEGIN " + insert + " END"}
	}
	return []string{
		"CREATE FUNCTION book_" + t.name + "() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN " + insert + " RETURN NULL; END $$",
		"CREATE TRIGGER book_" + t.name + " AFTER " + t.on + " FOR EACH ROW WHEN (" + t.when + ") EXECUTE FUNCTION book_" + t.name + "()",
	}
}

// query returns the rows of a query of two columns of text.
func (b books) query(db *database.DB, query string, args ...any) (all []entry) {
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

// effects are the values that were written down of each id, in order.
func (b books) effects(db *database.DB, what string) map[string][]string {
	b.t.Helper()
	found := map[string][]string{}
	for _, e := range b.query(db, "SELECT id, value FROM book WHERE what = $1 ORDER BY n", what) {
		found[e.id] = append(found[e.id], e.value)
	}
	return found
}

// awaitDrained waits until no event of either service is to be handled: it must come to that without anybody's help. The
// second round of an erasure is due half an hour later, so it is not waited for.
func (b books) awaitDrained() {
	b.t.Helper()
	for _, service := range []string{"auth", "billing"} {
		db, end := b.open(service)
		require.Eventually(b.t, func() bool {
			return len(b.query(db, "SELECT id, state FROM inbox_event WHERE state IN ('pending', 'leased') AND source <> 'erasure-late'")) == 0
		}, 3*time.Minute, 200*time.Millisecond, service)
		end()
	}
}

// checkInbox checks that the events of a source that were sent are each stored once and done once, and returns how many it has in all.
func (b books) checkInbox(db *database.DB, source string, sent map[string]bool) int {
	b.t.Helper()
	rows := b.query(db, "SELECT id, state FROM inbox_event WHERE source = $1", source)
	done := b.effects(db, "done")
	stored := map[string]bool{}
	for _, row := range rows {
		require.False(b.t, stored[row.id], "%s %s is there twice", source, row.id)
		stored[row.id] = true
		if !sent[row.id] {
			continue // the sandbox's, in tests that do not ask about it
		}
		require.Equal(b.t, "done", row.value, "%s %s", source, row.id)
		require.Len(b.t, done[source+" "+row.id], 1, "how often %s %s became done", source, row.id)
	}
	for id := range sent {
		require.True(b.t, stored[id], "%s %s was acknowledged, and is lost", source, id)
	}
	return len(stored)
}

// checkRising checks that what was written of each object went only forwards, and never the same twice.
func (b books) checkRising(effects map[string][]string, of func(id string) bool) {
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

// metadata reads the number that a test has put into a Stripe object.
func metadata(t *testing.T, body string) string {
	t.Helper()
	var object struct{ Metadata struct{ N string } }
	require.NoError(t, json.Unmarshal([]byte(body), &object))
	return object.Metadata.N
}
