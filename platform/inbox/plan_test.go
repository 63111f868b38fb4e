package inbox_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/inbox"
)

// TestNothingReadsAWholeTable: the tables keep a month of events, and the queue must not feel it.
func TestNothingReadsAWholeTable(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		db := databasetest.SQLite(t, schema)
		for name, query := range inbox.Statements(database.SQLite) {
			plan := sqlitePlan(t, db, query)
			for line := range strings.Lines(plan) {
				// Counting reads the indexes of what waits and of what is dead, and then the two or three results.
				allowed := strings.Contains(line, "inbox_event_active") || strings.Contains(line, "inbox_event_dead") || strings.TrimSpace(line) == "SCAN c"
				require.False(t, strings.Contains(line, "SCAN") && !allowed, "%s: %s\n%s", name, query, plan)
			}
			// The other index of subjects has done events too, months of them.
			require.NotContains(t, plan, "inbox_event_subject", "%s: %s", name, query)
		}
	})
	t.Run("postgres", func(t *testing.T) {
		url := ""
		databasetest.Postgres(t, schema, func(c *database.Config) { url = c.URL.Reveal() })
		conn, err := pgx.Connect(t.Context(), url)
		require.NoError(t, err)
		defer conn.Close(t.Context())
		// Without rows a table is read as a whole; forbidden, it is only where there is no index that helps.
		_, err = conn.Exec(t.Context(), "SET search_path = inbox; SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan")
		require.NoError(t, err)
		for name, query := range inbox.Statements(database.Postgres) {
			plan := postgresPlan(t, conn, name, query)
			require.NotContains(t, plan, "Seq Scan", "%s: %s", name, query)
		}
	})
}

func sqlitePlan(t *testing.T, db *database.DB, query string) (plan string) {
	t.Helper()
	var args []any
	for range parameters(query) {
		args = append(args, 1)
	}
	rows, err := db.Read().QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, args...)
	require.NoError(t, err, query)
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int
		var line string
		require.NoError(t, rows.Scan(&id, &parent, &unused, &line))
		plan += line + "\n"
	}
	require.NoError(t, rows.Err())
	return plan
}

func postgresPlan(t *testing.T, conn *pgx.Conn, name, query string) (plan string) {
	t.Helper()
	prepared := pgx.Identifier{name}.Sanitize()
	_, err := conn.Exec(t.Context(), "PREPARE "+prepared+" AS "+query)
	require.NoError(t, err, query)
	values := ""
	if n := parameters(query); n > 0 {
		values = "(NULL" + strings.Repeat(", NULL", n-1) + ")"
	}
	rows, err := conn.Query(t.Context(), "EXPLAIN EXECUTE "+prepared+values)
	require.NoError(t, err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return strings.Join(lines, "\n")
}

func parameters(query string) (n int) {
	for _, p := range regexp.MustCompile(`\$\d+`).FindAllString(query, -1) {
		var i int
		_, _ = fmt.Sscanf(p, "$%d", &i)
		n = max(n, i)
	}
	return n
}
