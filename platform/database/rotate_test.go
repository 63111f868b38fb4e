package database_test

import (
	"context"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/platformtest"
	"github.com/trivet-dev/trivet/platform/settings"
)

// protected is a server that asks for passwords, with a database for the roles.
func protected(t *testing.T) (server *databasetest.Server, at string) {
	t.Helper()
	server = databasetest.NewServer(t, false)
	at = server.NewDatabase(t)
	server.AskPasswords(t)
	server.Admin(t, "CREATE ROLE app SUPERUSER LOGIN PASSWORD 'one'")
	server.Admin(t, "CREATE ROLE app_b SUPERUSER LOGIN PASSWORD 'b'")
	return server, at
}

// A password and a user change under reads and writes, and none fails. Connections of the earlier login are replaced.
func TestLoginsRotateUnderLoad(t *testing.T) {
	server, at := protected(t)
	as := func(role, password string) settings.Secret {
		return settings.NewSecret(databasetest.As(t, at, role, password))
	}
	db := databasetest.Open(t, database.Config{URL: as("app", "one"), Schema: "wallet", MaxReaders: 3}, database.Migrations{})
	heard := listening(t, db, "work")

	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	var done atomic.Int64
	failed := make(chan error, 100)
	note := func(err error) {
		if err == nil {
			done.Add(1)
			return
		}
		select {
		case failed <- err:
		default:
		}
	}
	for range 24 { // more than the pool has connections
		running.Go(func() {
			for ctx.Err() == nil {
				var one int
				note(db.Read().QueryRowContext(context.WithoutCancel(ctx), "SELECT 1").Scan(&one))
				note(db.Reader().QueryRowContext(context.WithoutCancel(ctx), "SELECT 1").Scan(&one))
				note(db.Write(context.WithoutCancel(ctx), "", func(ctx context.Context, tx database.Tx) error {
					_, err := tx.ExecContext(ctx, "SELECT 1")
					return err
				}))
			}
		})
	}
	none := func() {
		t.Helper()
		select {
		case err := <-failed:
			require.NoError(t, err)
		default:
		}
	}
	works := func() {
		t.Helper()
		before := done.Load()
		require.Eventually(t, func() bool { return done.Load() > before+200 || len(failed) > 0 }, time.Minute, time.Millisecond)
		none()
	}
	works()

	require.NoError(t, db.Rotate(as("app", "two"), settings.Secret{}), "the server does not know the password yet")
	requireHeard(t, heard)
	works()
	server.Admin(t, "ALTER ROLE app PASSWORD 'two'")
	works()
	for range 50 {
		require.NoError(t, db.Rotate(as("app_b", "b"), settings.Secret{}))
		requireHeard(t, heard)
		require.NoError(t, db.Rotate(as("app", "two"), settings.Secret{}))
		requireHeard(t, heard)
	}
	require.NoError(t, db.Rotate(as("app_b", "b"), settings.Secret{}))
	requireHeard(t, heard)
	works()
	require.Eventually(t, func() bool {
		var left int
		require.NoError(t, db.Read().QueryRowContext(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND state <> 'idle'").Scan(&left))
		return left == 0
	}, time.Minute, 10*time.Millisecond, "the earlier role works no more")
	server.Admin(t, "ALTER ROLE app NOLOGIN")
	server.Admin(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")
	works()
	require.NoError(t, db.Notify(t.Context(), "work"))
	requireHeard(t, heard)
	stop()
	running.Wait()
	none()
}

// Only the login may change.
func TestOtherAddressesNeedARestart(t *testing.T) {
	server, at := protected(t)
	db := databasetest.Open(t, database.Config{URL: settings.NewSecret(databasetest.As(t, at, "app", "one")), Schema: "wallet"}, database.Migrations{})
	with := func(parameter, value string) string {
		address, err := url.Parse(databasetest.As(t, at, "app", "one"))
		require.NoError(t, err)
		parameters := address.Query()
		parameters.Set(parameter, value)
		address.RawQuery = parameters.Encode()
		return address.String()
	}
	for name, url := range map[string]string{
		"another database": databasetest.As(t, server.NewDatabase(t), "app", "one"), "SQLite": "sqlite://" + t.TempDir(), "another server": "postgres://app:one@db.example/trivet",
		"another mode of TLS": with("sslmode", "prefer"), "another name": with("application_name", "other"),
	} {
		err := db.Rotate(settings.NewSecret(url), settings.Secret{})
		require.ErrorContains(t, err, "DATABASE_URL leads to another server or database", name)
		require.NotContains(t, err.Error(), "one@")
	}
	err := db.Rotate(settings.NewSecret("postgres://app:s3cret@ho st"), settings.Secret{})
	require.ErrorContains(t, err, "DATABASE_URL is not a valid address")
	require.NotContains(t, err.Error(), "s3cret")
	require.ErrorContains(t, db.Rotate(settings.NewSecret(databasetest.As(t, at, "app", "two")), settings.NewSecret(at)), "DATABASE_DIRECT_URL was set or removed")
	require.NoError(t, db.Ping(t.Context()))

	file := settings.NewSecret("sqlite://" + t.TempDir() + "/a.db")
	lite := databasetest.Open(t, database.Config{URL: file}, database.Migrations{})
	require.NoError(t, lite.Rotate(file, settings.Secret{}))
	require.ErrorContains(t, lite.Rotate(settings.NewSecret("sqlite://other.db"), settings.Secret{}), "DATABASE_URL leads to another server or database")
}

// A login that the server refuses leaves the earlier one in use, and the next one replaces it. Notifications come meanwhile.
func TestAWrongPasswordKeepsTheEarlierLogin(t *testing.T) {
	for name, direct := range map[string]bool{"DATABASE_URL": false, "DATABASE_DIRECT_URL": true} {
		t.Run(name, func(t *testing.T) {
			_, at := protected(t)
			as := func(password string) settings.Secret {
				return settings.NewSecret(databasetest.As(t, at, "app", password))
			}
			var log platformtest.Log
			config := database.Config{URL: as("one"), Schema: "public", Logger: slog.New(slog.NewTextHandler(&log, nil))}
			if direct {
				config.DirectURL = as("one")
			}
			db := databasetest.Open(t, config, database.Migrations{})
			heard := listening(t, db, "work")
			for _, password := range []string{"wrong", "wrong again", "wrong thrice", "wrong once more", "one"} {
				var err error
				if direct {
					err = db.Rotate(as("one"), as(password))
				} else {
					err = db.Rotate(as(password), settings.Secret{})
				}
				require.NoError(t, err)
				requireHeard(t, heard)
				require.NoError(t, db.Ping(t.Context()), password)
				require.NoError(t, db.Write(t.Context(), "", func(context.Context, database.Tx) error { return nil }), password)
				require.NoError(t, db.Notify(t.Context(), "work"))
				requireHeard(t, heard)
			}
			require.Equal(t, 4, strings.Count(log.String(), "PostgreSQL refuses the new user or password in "+name+";"))
			require.Equal(t, 4, strings.Count(log.String(), "PostgreSQL refuses"))
			require.NotContains(t, log.String(), "listening for notifications failed")
			require.NotContains(t, log.String(), "wrong")
		})
	}
}
