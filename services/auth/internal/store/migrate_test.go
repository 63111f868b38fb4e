package store_test

import (
	"context"
	"fmt"
	"io/fs"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
	"github.com/trivet-dev/trivet/services/auth/internal/store"
)

// upTo6 is the store's migrations of the version that had plural tables and TIMESTAMP.
func upTo6(t *testing.T) database.Migrations {
	t.Helper()
	all := store.Migrations()
	files, err := fs.Glob(all.FS, "0000[1-6]_*.sql")
	require.NoError(t, err)
	require.Len(t, files, 6)
	some := fstest.MapFS{}
	for _, name := range files {
		data, err := fs.ReadFile(all.FS, name)
		require.NoError(t, err)
		some[name] = &fstest.MapFile{Data: data}
	}
	return database.Migrations{Service: all.Service, FS: some}
}

// oldTable is a table of version 6 with rows, and the name that it has now.
type oldTable struct {
	old, now string
	columns  []string
	rows     [][]any
}

var (
	someTime  = time.Date(2026, 11, 23, 12, 0, 0, 123_456_000, time.UTC)
	justUnder = time.Date(2026, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
	whole     = time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC)
	tenths    = time.Date(2026, 1, 1, 0, 0, 0, 500_000_000, time.UTC)
	micro     = time.Date(2026, 1, 1, 0, 0, 0, 1_000, time.UTC)
	epoch     = time.Unix(0, 0).UTC()
	before70  = time.Date(1969, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
	zeroTime  = time.Time{}
	year9999  = time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
	year20000 = time.Date(20000, 6, 1, 0, 0, 0, 0, time.UTC)
	beforeBC  = time.Date(-300, 6, 1, 0, 0, 0, 0, time.UTC)
)

const oddText = "Zoë 'quoted' \"double\" \\ ; -- \n\t 🚲"

// oldTables are all tables with times or with another name, with every time and NULL in each column that takes them.
func oldTables() []oldTable {
	list, object := []byte(`["a","b"]`), []byte(`{"plan":"pro","n":1.50}`)
	var users, organizations, memberships, roles, names, ended, keys, revocations, erasures [][]any
	var emails, confirmations [][]any
	times := []time.Time{
		someTime, justUnder, whole, tenths, micro, epoch, before70, zeroTime, year9999, year20000, beforeBC,
	}
	for i, at := range times {
		id, next := fmt.Sprintf("id_%02d", i), times[(i+1)%len(times)]
		var null any
		if i%2 == 0 {
			null = next
		}
		users = append(users, []any{
			"user_" + id, i%2 == 0, oddText, list, "Ada", "", "https://img.test/?a=b&c", "", object, i%3 == 0, i%2 == 1, null, at, next, null, i%3 == 1,
			times[(i+2)%len(times)],
		})
		organizations = append(organizations, []any{"org_" + id, i%2 == 1, oddText, "", "x", object, next, at, null, at})
		memberships = append(memberships, []any{"org_" + id, "user_" + id, "admin", list, at, next, null, "orgmem_" + id, next})
		roles = append(roles, []any{"role_" + id, oddText, list, at, null, next})
		names = append(names, []any{"role_1", at, oddText}, []any{"role_" + id, next, ""})
		ended = append(ended, []any{"orgmem_" + id, null, at})
		keys = append(keys, []any{
			"key_" + id,
			[]byte{0, byte(i), 0xff},
			"tvt_", oddText, "acc", "", "user_" + id, "", list, []byte("[]"), int64(math.MaxInt64), int64(i), int64(math.MaxInt32),
			at, null, nil, next, "parent",
		})
		revocations = append(revocations, []any{int64(i + 1), "user_" + id, "", "", at})
		emails = append(emails, []any{"ada+" + id + "@example.test", "user_" + id}, []any{"shared@example.test", "user_" + id})
		erasures = append(erasures, []any{"user_" + id, at, null})
		confirmations = append(confirmations, []any{"user_" + id, "ai", at}, []any{"user_" + id, "billing", next})
	}
	columns := strings.Fields
	return []oldTable{
		{"users", "app_user", columns(`id synced primary_email emails first_name last_name image_url external_id public_metadata banned locked
			lock_expire_time create_time update_time delete_time deprovisioned event_time`), users},
		{"user_emails", "user_email", columns("address user_id"), emails},
		{"organizations", "organization", columns("id synced name slug image_url public_metadata create_time update_time delete_time event_time"), organizations},
		{"memberships", "membership", columns("organization_id user_id role permissions create_time update_time delete_time clerk_id event_time"), memberships},
		{"roles", "role", columns("id name permissions update_time delete_time event_time"), roles},
		{"role_names", "role_name", columns("role_id since_time name"), names},
		{"ended_memberships", "ended_membership", columns("clerk_id end_time note_time"), ended},
		{"api_keys", "api_key", columns(`id hash prefix name account_id organization_id user_id role scopes models spend_limit_nano_usd
			spend_period_seconds requests_per_minute create_time expire_time last_use_time revoke_time parent_id`), keys},
		{"revocations", "revocation", columns("revision user_id session_id api_key_id create_time"), revocations},
		{"erasures", "erasure", columns("user_id request_time complete_time"), erasures},
		{"erasure_confirmations", "erasure_confirmation", columns("user_id service confirm_time"), confirmations},
	}
}

// now is a value of version 6 as it is read since.
func now(d database.Dialect, v any) any {
	if v == true && d == database.SQLite {
		return int64(1)
	}
	if v == false && d == database.SQLite {
		return int64(0)
	}
	at, is := v.(time.Time)
	switch {
	case !is:
		return v
	case at.Year() < 1:
		at = zeroTime
	case at.Year() > 9999:
		at = year9999
	}
	return at.UnixMicro()
}

func exec(t *testing.T, db *database.DB, query string, args ...any) error {
	t.Helper()
	return db.Write(t.Context(), "test", func(ctx context.Context, tx database.Tx) error {
		_, err := tx.ExecContext(ctx, query, args...)
		return err
	})
}

func (o oldTable) insert(t *testing.T, db *database.DB) {
	t.Helper()
	values := make([]string, len(o.columns))
	for i := range values {
		values[i] = fmt.Sprintf("$%d", i+1)
	}
	for _, row := range o.rows {
		require.Len(t, row, len(o.columns))
		require.NoError(t, exec(t, db, "INSERT INTO "+o.old+" ("+strings.Join(o.columns, ", ")+") VALUES ("+strings.Join(values, ", ")+")", row...))
	}
}

// rows reads a whole table, in the order of its key.
func rows(t *testing.T, db *database.DB, table string, columns []string) [][]any {
	t.Helper()
	found, err := db.Read().QueryContext(t.Context(), "SELECT "+strings.Join(columns, ", ")+" FROM "+table)
	require.NoError(t, err)
	defer found.Close()
	var all [][]any
	for found.Next() {
		row, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range row {
			into[i] = &row[i]
		}
		require.NoError(t, found.Scan(into...))
		all = append(all, row)
	}
	require.NoError(t, found.Err())
	return all
}

// columnsOf are a table's columns, sorted.
func columnsOf(t *testing.T, db *database.DB, table string) []string {
	t.Helper()
	found, err := db.Read().QueryContext(t.Context(), "SELECT * FROM "+table)
	require.NoError(t, err)
	defer found.Close()
	columns, err := found.Columns()
	require.NoError(t, err)
	require.NoError(t, found.Err())
	return slices.Sorted(slices.Values(columns))
}

// Migrations 7 and 8 carry every value of every table over.
func TestSingularTablesHaveTheDataOfThePluralOnes(t *testing.T) {
	databasetest.Each(t, upTo6(t), func(t *testing.T, db *database.DB) {
		tables := oldTables()
		for _, o := range tables {
			require.Equal(t, slices.Sorted(slices.Values(o.columns)), columnsOf(t, db, o.old), "the test covers every column")
			o.insert(t, db)
		}
		require.NoError(t, exec(t, db, "UPDATE revocation_head SET revision = 11"))
		require.NoError(t, database.Migrate(t.Context(), db, store.Migrations()))

		for _, o := range tables {
			require.Subset(t, columnsOf(t, db, o.now), o.columns, "%s: later migrations add columns", o.now)
			want := make([][]any, 0, len(o.rows))
			for _, row := range o.rows {
				converted := make([]any, 0, len(row))
				for _, v := range row {
					converted = append(converted, now(db.Dialect(), v))
				}
				if !slices.ContainsFunc(want, func(other []any) bool { return slices.EqualFunc(other, converted, reflect.DeepEqual) }) {
					want = append(want, converted) // two names of a role whose times are out of bounds may have become one
				}
			}
			require.ElementsMatch(t, want, rows(t, db, o.now, o.columns), o.now)
		}
		require.Error(t, exec(t, db, "DELETE FROM jobs"), "platform/job has the job now")

		s := store.New(db, time.Now, nil)
		revision, err := s.Revision(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 11, revision)
		require.NoError(t, s.RevokeSession(t.Context(), "sess_1"))
		require.True(t, database.IsForeignKey(exec(t, db, "INSERT INTO user_email (address, user_id) VALUES ('x', 'nobody')")))
		require.True(t, database.IsForeignKey(exec(t, db, "INSERT INTO erasure_confirmation (user_id, service, confirm_time) VALUES ('nobody', 'ai', 0)")))
		require.True(t, database.IsUnique(exec(t, db, "UPDATE api_key SET hash = $1", []byte("same"))))
	})
}

func TestThePreviousVersionIsRefused(t *testing.T) {
	databasetest.Each(t, store.Migrations(), func(t *testing.T, db *database.DB) {
		var ahead *database.NewerError
		require.ErrorAs(t, database.CheckVersion(t.Context(), db, upTo6(t)), &ahead)
		require.Equal(t, database.NewerError{Service: "auth", Store: "auth", Version: 14, Known: 6}, *ahead)
	})
}

// A process of the previous version that runs while PostgreSQL is migrated reads as before, and cannot write.
func TestThePreviousVersionReadsOnUntilItIsReplaced(t *testing.T) {
	db := databasetest.Postgres(t, upTo6(t))
	tables := oldTables()
	for _, o := range tables {
		o.insert(t, db)
	}
	require.NoError(t, exec(t, db, "UPDATE revocation_head SET revision = 11"))
	// The process has prepared its statements already.
	old := func() (synced bool, created time.Time, deleted *time.Time, limit int64) {
		t.Helper()
		row := db.Read().QueryRowContext(t.Context(), `SELECT u.synced, m.create_time, o.delete_time FROM users u
			LEFT JOIN memberships m ON m.user_id = u.id LEFT JOIN organizations o ON o.id = m.organization_id WHERE u.id = $1`, "user_id_00")
		require.NoError(t, row.Scan(&synced, &created, &deleted))
		row = db.Read().QueryRowContext(t.Context(), "SELECT spend_limit_nano_usd FROM api_keys WHERE hash = $1", []byte{0, 0, 0xff})
		require.NoError(t, row.Scan(&limit))
		return synced, created, deleted, limit
	}
	synced, created, deleted, limit := old()
	require.NoError(t, database.Migrate(t.Context(), db, store.Migrations()))
	syncedNow, createdNow, deletedNow, limitNow := old()
	require.Equal(t, []any{synced, created, deleted, limit}, []any{syncedNow, createdNow, deletedNow, limitNow})
	require.Equal(t, someTime, createdNow)

	s := store.New(db, time.Now, nil)
	require.NoError(t, s.RevokeSession(t.Context(), "sess_1"))
	var session string
	row := db.Read().QueryRowContext(t.Context(), "SELECT session_id FROM revocations WHERE create_time > $1 AND session_id <> ''", whole)
	require.NoError(t, row.Scan(&session))
	require.Equal(t, "sess_1", session, "it learns what others revoke")

	for _, o := range tables {
		if i := slices.IndexFunc(o.columns, func(c string) bool { return strings.HasSuffix(c, "_time") }); i >= 0 {
			require.Error(t, exec(t, db, "UPDATE "+o.old+" SET "+o.columns[i]+" = $1", whole), o.old)
		}
	}
}

// What a process of the previous version commits before the tables are moved is moved too.
func TestTheMigrationWaitsForWritesUnderWay(t *testing.T) {
	db := databasetest.Postgres(t, upTo6(t))
	migrated := make(chan error, 1)
	require.NoError(t, db.Write(t.Context(), "old", func(ctx context.Context, tx database.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO erasures (user_id, request_time) VALUES ('user_1', $1)", someTime)
		require.NoError(t, err)
		go func() { migrated <- database.Migrate(t.Context(), db, store.Migrations()) }()
		require.Eventually(t, func() bool {
			var waiting int
			row := db.Read().QueryRowContext(ctx, "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'relation'")
			return row.Scan(&waiting) == nil && waiting > 0
		}, 30*time.Second, time.Millisecond)
		return nil
	}))
	require.NoError(t, <-migrated)
	require.Equal(t, [][]any{{"user_1", someTime.UnixMicro()}}, rows(t, db, "erasure", []string{"user_id", "request_time"}))
}

func TestTimesOutsideTheYears1To9999AreKeptAtTheBound(t *testing.T) {
	databasetest.Each(t, store.Migrations(), func(t *testing.T, db *database.DB) {
		s := store.New(db, time.Now, nil)
		for n, tc := range []struct{ put, want time.Time }{
			{time.UnixMilli(math.MaxInt64), year9999},
			{time.UnixMilli(math.MinInt64), zeroTime},
			{year20000, year9999},
			{beforeBC, zeroTime},
			{year9999, year9999},
			{zeroTime, zeroTime},
			{before70, before70},
			{someTime.Add(999), someTime},
		} {
			id := fmt.Sprintf("user_%d", n)
			_, err := s.PutUser(t.Context(), directory.User{ID: id, CreateTime: tc.put, UpdateTime: tc.put})
			require.NoError(t, err)
			u, err := s.User(t.Context(), id)
			require.NoError(t, err)
			require.Equal(t, tc.want, u.CreateTime, tc.put)
			require.Equal(t, tc.want, u.UpdateTime, tc.put)
		}
	})
}
