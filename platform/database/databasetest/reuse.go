package databasetest

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// original is a database that is copied for tests. A copy whose tables are still those of the original is emptied and used by later
// tests: to create and to drop a database takes the server longer than most tests run.
type original struct {
	database string
	shape    string            // see shapeQuery
	rows     map[string][]byte // the rows of its tables, by the name of the table
	counters []string          // see countersQuery
	spares   []*spare          // copies that no test uses
}

// spare is a copy that no test uses, with the connection that restores it, which has learned its tables.
type spare struct {
	name string
	conn *pgx.Conn // nil until the copy is given back
}

const (
	// shapeQuery changes with each change of the tables, functions, types, rights and settings of a database, and not with their rows.
	shapeQuery = `SELECT concat_ws(' ',
	(SELECT concat(count(*), '/', max(xmin::text::bigint)) FROM pg_namespace),
	(SELECT concat(count(*), '/', max(xmin::text::bigint)) FROM pg_attribute),
	(SELECT concat(count(*), '/', max(xmin::text::bigint)) FROM pg_attrdef),
	(SELECT concat(count(*), '/', max(xmin::text::bigint)) FROM pg_constraint),
	(SELECT concat(count(*), '/', max(xmin::text::bigint)) FROM pg_index),
	(SELECT concat(count(*), '/', max(xmin::text::bigint)) FROM pg_trigger),
	(SELECT concat(count(*), '/', max(xmin::text::bigint)) FROM pg_proc),
	(SELECT concat(count(*), '/', max(xmin::text::bigint)) FROM pg_policy),
	(SELECT concat(count(*), '/', max(xmin::text::bigint)) FROM pg_rewrite),
	(SELECT concat(count(*), '/', max(xmin::text::bigint)) FROM pg_type),
	(SELECT concat(count(*), '/', max(xmin::text::bigint)) FROM pg_enum),
	(SELECT concat(count(*), '/', max(xmin::text::bigint)) FROM pg_sequence),
	(SELECT concat(count(*), '/', max(xmin::text::bigint)) FROM pg_extension),
	(SELECT concat(count(*), '/', max(xmin::text::bigint)) FROM pg_default_acl),
	(SELECT count(*) FROM pg_largeobject_metadata),
	(SELECT concat_ws('/', datdba, datallowconn, datconnlimit, datacl::text) FROM pg_database WHERE datname = current_database()),
	(SELECT sum(hashtext(concat_ws(' ', oid, relname, relkind, relpersistence, relowner, relacl::text, reloptions::text, relrowsecurity)))
		FROM pg_class WHERE oid >= 16384),
	(SELECT sum(hashtext(concat_ws(' ', s.setrole, s.setconfig::text)))
		FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase WHERE d.datname = current_database()))`
	// countersQuery lists statements that make the sequences what they are. A sequence advances also without a row, as when an insert is refused.
	countersQuery = `SELECT format('SELECT setval(%L, %s, %L)', format('%I.%I', schemaname, sequencename), coalesce(last_value, start_value), last_value IS NOT NULL)
	FROM pg_sequences ORDER BY 1`
	// writtenQuery lists the tables that ever had rows.
	writtenQuery = `SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE c.relkind = 'r' AND c.oid >= 16384 AND pg_relation_size(c.oid) > 0 ORDER BY 1`
	// disconnectQuery ends the other connections. It lists those that have not ended yet.
	disconnectQuery = `SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`
)

// describe reads what is needed to make a copy like the original again.
func (o *original) describe(t testing.TB, address string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, address)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(ctx)) }()
	require.NoError(t, conn.QueryRow(ctx, shapeQuery).Scan(&o.shape))
	o.counters, err = list(ctx, conn, countersQuery)
	require.NoError(t, err)
	written, err := list(ctx, conn, writtenQuery)
	require.NoError(t, err)
	o.rows = map[string][]byte{}
	for _, table := range written {
		rows, err := rowsOf(ctx, conn, table)
		require.NoError(t, err)
		if len(rows) > 0 {
			o.rows[table] = rows
		}
	}
}

// take returns a copy that no test uses, or nil.
func (o *original) take() (free *spare) {
	templates.Lock()
	defer templates.Unlock()
	if n := len(o.spares); n > 0 {
		free, o.spares = o.spares[n-1], o.spares[:n-1]
	}
	return free
}

// giveBack keeps a copy for another test, or drops it.
func (s *Server) giveBack(t testing.TB, o *original, used *spare) {
	t.Helper()
	if !t.Failed() && o.restore(used, s.URL(used.name)) == nil {
		templates.Lock()
		defer templates.Unlock()
		o.spares = append(o.spares, used)
		return
	}
	if used.conn != nil {
		_ = used.conn.Close(context.Background()) // the server may have cut it
	}
	dropDatabase(t, s.URL("postgres"), used.name)
}

// errChanged says that the tables of a copy are not those of the original.
var errChanged = errors.New("the tables have changed")

// restore gives a copy the rows of the original.
func (o *original) restore(used *spare, address string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if used.conn == nil {
		config, err := pgx.ParseConfig(address)
		if err != nil {
			return err
		}
		config.RuntimeParams["application_name"] = "trivet test" // not a foreign one, which tests look for
		if used.conn, err = pgx.ConnectConfig(ctx, config); err != nil {
			return err
		}
	}
	conn := used.conn
	if err := alone(ctx, conn); err != nil {
		return err
	}
	var shape string
	if err := conn.QueryRow(ctx, shapeQuery).Scan(&shape); err != nil {
		return err
	}
	if shape != o.shape {
		return errChanged
	}
	written, err := list(ctx, conn, writtenQuery)
	if err != nil {
		return err
	}
	return o.rewrite(ctx, conn, slices.DeleteFunc(written, func(table string) bool { return o.rows[table] != nil }))
}

// rewrite empties the tables that were written and restores those that had rows, without their triggers and foreign keys.
func (o *original) rewrite(ctx context.Context, conn *pgx.Conn, written []string) error {
	statements := []string{"SET session_replication_role = replica", "DELETE FROM pg_statistic WHERE starelid >= 16384"}
	if len(written) > 0 {
		statements = append(statements, "TRUNCATE "+strings.Join(written, ", ")+" RESTART IDENTITY CASCADE")
	}
	if _, err := conn.Exec(ctx, strings.Join(statements, ";\n")); err != nil {
		return err
	}
	for _, table := range slices.Sorted(maps.Keys(o.rows)) {
		rows, err := rowsOf(ctx, conn, table)
		if err != nil {
			return err
		}
		if bytes.Equal(rows, o.rows[table]) {
			continue
		}
		if _, err := conn.Exec(ctx, "DELETE FROM "+table); err != nil {
			return err
		}
		if _, err := conn.PgConn().CopyFrom(ctx, bytes.NewReader(o.rows[table]), "COPY "+table+" FROM STDIN"); err != nil {
			return err
		}
	}
	return o.recount(ctx, conn)
}

// recount makes the sequences those of the original. One that belongs to a table which was emptied has been reset.
func (o *original) recount(ctx context.Context, conn *pgx.Conn) error {
	now, err := list(ctx, conn, countersQuery)
	if err != nil || slices.Equal(now, o.counters) {
		return err
	}
	_, err = conn.Exec(ctx, strings.Join(o.counters, ";\n"))
	return err
}

// alone ends the other connections to the database and waits until they have ended.
func alone(ctx context.Context, conn *pgx.Conn) error {
	for {
		others, err := list(ctx, conn, disconnectQuery)
		if err != nil || len(others) == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
}

func list(ctx context.Context, conn *pgx.Conn, query string) ([]string, error) {
	rows, err := conn.Query(ctx, query)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

func rowsOf(ctx context.Context, conn *pgx.Conn, table string) ([]byte, error) {
	var rows bytes.Buffer
	_, err := conn.PgConn().CopyTo(ctx, &rows, "COPY "+table+" TO STDOUT")
	return rows.Bytes(), err
}
