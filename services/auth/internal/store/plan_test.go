package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/paging"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
	"github.com/trivet-dev/trivet/services/auth/internal/store/db"
)

// recorder keeps the last query, so that a test can ask for its plan.
type recorder struct {
	database.Querier
	query string
	args  []any
}

func (r *recorder) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	r.query, r.args = query, args
	return r.Querier.QueryContext(ctx, query, args...)
}

func (r *recorder) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	r.query, r.args = query, args
	return r.Querier.QueryRowContext(ctx, query, args...)
}

// plan is how the database runs the last query.
func (r *recorder) plan(t *testing.T, d *database.DB) string {
	t.Helper()
	explain := "EXPLAIN "
	if d.Dialect() == database.SQLite {
		explain = "EXPLAIN QUERY PLAN "
	}
	rows, err := r.Querier.QueryContext(t.Context(), explain+r.query, r.args...)
	require.NoError(t, err)
	defer rows.Close()
	columns, err := rows.Columns()
	require.NoError(t, err)
	var lines []string
	for rows.Next() {
		cells := make([]any, len(columns))
		for i := range cells {
			cells[i] = new(any)
		}
		require.NoError(t, rows.Scan(cells...))
		last, _ := cells[len(cells)-1].(*any)
		lines = append(lines, fmt.Sprint(*last))
	}
	require.NoError(t, rows.Err())
	return strings.Join(lines, "\n")
}

func seeded(t testing.TB, d *database.DB, n int) *Store {
	t.Helper()
	s := New(d, time.Now, nil)
	const batch = 500
	for from := 0; from < n; from += batch {
		err := s.write(t.Context(), "seed", func(ctx context.Context, q *db.Queries) error {
			for i := from; i < min(from+batch, n); i++ {
				if err := seedUser(ctx, q, i); err != nil {
					return err
				}
			}
			return nil
		})
		require.NoError(t, err)
	}
	// In production autovacuum and PRAGMA optimize do this.
	require.NoError(t, d.Write(t.Context(), "", func(ctx context.Context, tx database.Tx) error {
		_, err := tx.ExecContext(ctx, "ANALYZE")
		return err
	}))
	return s
}

func seedUser(ctx context.Context, q *db.Queries, i int) error {
	at := time.Unix(1_700_000_000+int64(i), 0)
	id := fmt.Sprintf("user_%07d", i)
	_, err := q.PutUser(ctx, db.PutUserParams{
		ID: id, PrimaryEmail: id + "@example.test", Emails: []byte(`["` + id + `@example.test"]`), FirstName: "A", LastName: "B",
		PublicMetadata: emptyObject, CreateTime: micros(at), UpdateTime: micros(at),
	})
	if err != nil {
		return err
	}
	if err := replaceEmails(ctx, q, id, []string{id + "@example.test"}); err != nil {
		return err
	}
	_, err = q.PutMembership(ctx, db.PutMembershipParams{
		OrganizationID: fmt.Sprintf("org_%05d", i/10), UserID: id, Role: "member", Permissions: emptyList, CreateTime: micros(at), UpdateTime: micros(at),
	})
	return err
}

// TestEveryHotQueryUsesAnIndex: with a million users a walk through a table would be felt.
func TestEveryHotQueryUsesAnIndex(t *testing.T) {
	m := Migrations()
	databasetest.Each(t, m, func(t *testing.T, d *database.DB) {
		s := seeded(t, d, 5000)
		r := &recorder{Querier: d.Reader()}
		s.read = db.New(r)
		ctx, cursor := t.Context(), paging.Cursor{Time: time.Unix(1_700_001_000, 0), ID: "user_0001000", Second: "user_0001000"}
		for name, query := range map[string]func() error{
			"standing":        func() error { _, err := s.Standing(ctx, "user_0000001", "org_00000", "sess_1"); return err },
			"user":            func() error { _, err := s.User(ctx, "user_0000001"); return err },
			"users":           func() error { _, err := s.Users(ctx, "", cursor, 50); return err },
			"users by email":  func() error { _, err := s.Users(ctx, "user_0000001@example.test", paging.Cursor{}, 50); return err },
			"organizations":   func() error { _, err := s.Organizations(ctx, cursor, 50); return err },
			"memberships":     func() error { _, err := s.Memberships(ctx, "", "", cursor, 50); return err },
			"of organization": func() error { _, err := s.Memberships(ctx, "org_00001", "", paging.Cursor{}, 50); return err },
			"of user":         func() error { _, err := s.Memberships(ctx, "", "user_0000001", paging.Cursor{}, 50); return err },
			"membership by id": func() error {
				_, err := s.read.FindMembership(ctx, "orgmem_1")
				return notFoundIsFine(notFound(err, nil))
			},
			"revocations":     func() error { _, err := s.Since(ctx, 5, 500); return err },
			"API keys":        func() error { _, err := s.Keys(ctx, "org_1", cursor, 50); return err },
			"API key by hash": func() error { _, err := s.KeyByHash(ctx, []byte("x")); return notFoundIsFine(err) },
			"API key by id":   func() error { _, err := s.KeyByID(ctx, "org_1", "key_1"); return notFoundIsFine(err) },
		} {
			require.NoError(t, query(), name)
			plan := r.plan(t, d)
			t.Logf("%s:\n%s", name, plan)
			require.NotRegexp(t, `Seq Scan on (app_user|user_email|membership)\b`, plan, name)
			for line := range strings.Lines(plan) {
				require.False(t, strings.Contains(line, "SCAN ") && !strings.Contains(line, "USING INDEX") &&
					!slices.ContainsFunc([]string{"CONSTANT ROW", "SCAN q"}, func(ok string) bool { return strings.Contains(line, ok) }),
					"%s walks a table: %s", name, line)
			}
			if name != "users by email" { // the few who share an address are sorted
				require.NotContains(t, plan, "TEMP B-TREE", name)
			}
		}
	})
}

// notFoundIsFine: only the plan counts.
func notFoundIsFine(err error) error {
	if err != nil && strings.Contains(err.Error(), "not found") {
		return nil
	}
	return err
}

// BenchmarkLookup reads single users out of many; p99 is reported beside the mean.
func BenchmarkLookup(b *testing.B) {
	m := Migrations()
	const users = 100_000
	for name, open := range map[string]func() *database.DB{
		"sqlite":   func() *database.DB { return databasetest.SQLite(b, m) },
		"postgres": func() *database.DB { return databasetest.Postgres(b, m) },
	} {
		s := seeded(b, open(), users)
		for kind, look := range map[string]func(n int) error{
			"id": func(n int) error { _, err := s.User(b.Context(), fmt.Sprintf("user_%07d", n)); return err },
			"standing": func(n int) error {
				_, err := s.Standing(b.Context(), fmt.Sprintf("user_%07d", n), fmt.Sprintf("org_%05d", n/10), "sess_1")
				return err
			},
			"email": func(n int) error {
				found, err := s.Users(b.Context(), fmt.Sprintf("USER_%07d@example.test", n), paging.Cursor{}, 50)
				if err == nil && len(found) != 1 {
					return directory.ErrNotFound
				}
				return err
			},
		} {
			b.Run(name+"/"+kind, func(b *testing.B) {
				var took []time.Duration
				for i := 0; b.Loop(); i++ {
					begin := time.Now()
					if err := look(i * 7919 % users); err != nil {
						b.Fatal(err)
					}
					took = append(took, time.Since(begin))
				}
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
			})
		}
	}
}
