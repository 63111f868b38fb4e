package databasetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/skip"
)

// A copy that a test gave back is the original again, whatever the test wrote. One whose tables were changed is not used again.
func TestACopyIsUsedAgain(t *testing.T) {
	if os.Getenv("TEST_POSTGRES_URL") != "" {
		skip.Unless(t, "copies of PostgreSQL databases", errors.New("TEST_POSTGRES_URL names a server, on which tests copy nothing"), "unset TEST_POSTGRES_URL")
	}
	m := database.Migrations{Service: "reused", FS: fstest.MapFS{"00001_init.sql": {Data: []byte(`-- +goose Up
CREATE TABLE parent (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE child (parent BIGINT NOT NULL REFERENCES parent (id));
CREATE TABLE seeded (name TEXT PRIMARY KEY, n BIGINT NOT NULL CHECK (n > 0));
INSERT INTO seeded VALUES ('a', 1), ('b', 2);
CREATE TABLE counted (id BIGINT GENERATED ALWAYS AS IDENTITY, name TEXT);
INSERT INTO counted (name) VALUES ('c'), ('d');
CREATE SEQUENCE free START 7;
CREATE SEQUENCE called START 3;
SELECT nextval('called');
`)}}}
	seen := map[string]string{}
	in := func(name, at string, test func(t *testing.T, conn *pgx.Conn)) {
		t.Run(name, func(t *testing.T) {
			var conn *pgx.Conn
			t.Cleanup(func() {
				if conn != nil {
					_ = conn.Close(context.Background()) // it was cut when the copy was given back
				}
			})
			address := MigratedURL(t, m)
			seen[name] = databaseName(address)
			if at != "" {
				require.Equal(t, seen[at], seen[name])
			}
			var err error
			conn, err = pgx.Connect(t.Context(), address)
			require.NoError(t, err)
			_, err = conn.Exec(t.Context(), "SET search_path = reused")
			require.NoError(t, err)
			test(t, conn)
		})
	}
	ask := func(t *testing.T, conn *pgx.Conn, query string) (got string) {
		t.Helper()
		require.NoError(t, conn.QueryRow(t.Context(), query).Scan(&got))
		return got
	}
	do := func(statement string) func(t *testing.T, conn *pgx.Conn) {
		return func(t *testing.T, conn *pgx.Conn) {
			t.Helper()
			_, err := conn.Exec(t.Context(), statement)
			require.NoError(t, err)
		}
	}
	asNew := func(t *testing.T, conn *pgx.Conn) {
		t.Helper()
		require.Equal(t, "a 1, b 2", ask(t, conn, "SELECT string_agg(name || ' ' || n, ', ' ORDER BY name) FROM seeded"))
		require.Equal(t, "0 0", ask(t, conn, "SELECT concat_ws(' ', (SELECT count(*) FROM parent), (SELECT count(*) FROM child))"))
		require.Equal(t, "1", ask(t, conn, "INSERT INTO parent (name) VALUES ('x') RETURNING id::text"))
		require.Equal(t, "3", ask(t, conn, "INSERT INTO counted (name) VALUES ('x') RETURNING id::text"))
		require.Equal(t, "7 4", ask(t, conn, "SELECT concat_ws(' ', nextval('free'), nextval('called'))"))
		require.Equal(t, "reused, on", ask(t, conn, "SELECT concat_ws(', ', current_setting('search_path'), current_setting('synchronize_seqscans'))"))
		require.Equal(t, "t", ask(t, conn, "SELECT pg_try_advisory_lock(7)::text::char"))
		require.Equal(t, "0", ask(t, conn, "SELECT count(*)::text FROM pg_statistic WHERE starelid >= 16384"))
	}
	in("first", "", asNew)
	in("rows", "first", do("INSERT INTO parent (name) SELECT 'y' FROM generate_series(1, 300); INSERT INTO child SELECT id FROM parent; ANALYZE"))
	in("after rows", "first", asNew)
	in("seeds", "first", do("UPDATE seeded SET n = 7 WHERE name = 'b'; DELETE FROM seeded WHERE name = 'a'"))
	in("after seeds", "first", asNew)
	in("ids without rows", "first", func(t *testing.T, conn *pgx.Conn) {
		_, err := conn.Exec(t.Context(), "INSERT INTO parent (name) VALUES (NULL)")
		require.Error(t, err)
	})
	in("after ids", "first", asNew)
	in("sequences", "first", do("SELECT setval('free', 100), setval('called', 100); INSERT INTO counted (name) VALUES ('e')"))
	in("after sequences", "first", asNew)
	in("a session", "first", do("SELECT pg_advisory_lock(7); SET synchronize_seqscans = off; LISTEN x; PREPARE p AS SELECT 1"))
	in("after the session", "first", asNew)
	in("a transaction that is open", "first", do("BEGIN; LOCK TABLE parent; INSERT INTO parent (name) VALUES ('z')"))
	in("after the transaction", "first", asNew)
	for i, change := range []string{
		"ALTER TABLE seeded ADD COLUMN other BIGINT", "ALTER TABLE seeded DROP CONSTRAINT seeded_n_check", "CREATE INDEX other ON parent (name)",
		"ALTER TABLE child ALTER COLUMN parent DROP NOT NULL", "CREATE TABLE other ()", "DROP TABLE child", "ALTER TABLE seeded SET UNLOGGED",
		"CREATE FUNCTION other () RETURNS BIGINT LANGUAGE SQL AS 'SELECT 1'", "ALTER TABLE seeded ALTER COLUMN n SET DEFAULT 4", "CREATE SCHEMA other",
		"DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = 64', current_database()); END $$", "GRANT SELECT ON seeded TO PUBLIC",
		"CREATE TYPE other AS ENUM ('a')", "CREATE DOMAIN other AS BIGINT", "ALTER SEQUENCE free INCREMENT BY 2", "CREATE SEQUENCE other",
		"ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC", "SELECT lo_create(0)",
		"DO $$ BEGIN EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT 90', current_database()); END $$",
		"DO $$ BEGIN EXECUTE format('ALTER ROLE %I IN DATABASE %I SET search_path = other', current_user, current_database()); END $$",
	} {
		changed, next := fmt.Sprint("changed ", i), fmt.Sprint("after changed ", i)
		in(changed, "", do(change))
		in(next, "", asNew)
		require.NotEqual(t, seen[changed], seen[next], change)
	}
}
