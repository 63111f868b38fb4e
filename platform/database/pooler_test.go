package database_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/settings"
)

// pooled opens the wallet's store through a pooler with two connections.
func pooled(t *testing.T, options ...databasetest.Option) *database.DB {
	t.Helper()
	direct := databasetest.PostgresURL(t)
	pooler := databasetest.Pooler(t, direct, []string{"wallet"}, "default_pool_size = 2")
	return databasetest.Open(t, database.Config{
		URL: settings.NewSecret(pooler("wallet")), DirectURL: settings.NewSecret(direct), Schema: "wallet", MaxReaders: 8,
	}, wallet, options...)
}

// Many callers share two connections of the pooler, so that statements of one caller meet the sessions of others.
func TestReadsAndWritesThroughAPooler(t *testing.T) {
	db := pooled(t)
	var callers sync.WaitGroup
	for caller := range 16 {
		callers.Go(func() {
			for i := range 10 {
				id := fmt.Sprintf("%d-%d", caller, i)
				err := db.Write(t.Context(), id, func(ctx context.Context, tx database.Tx) error {
					_, err := tx.ExecContext(ctx, "INSERT INTO wallet (id, balance) VALUES ($1, $2)", id, i)
					return err
				})
				if err != nil {
					t.Errorf("write %s: %v", id, err)
				}
				var balance int
				if err := db.Reader().QueryRowContext(t.Context(), "SELECT balance FROM wallet WHERE id = $1", id).Scan(&balance); err != nil || balance != i {
					t.Errorf("read %s: %d, %v", id, balance, err)
				}
			}
		})
	}
	callers.Wait()
	pending, err := database.Pending(t.Context(), db, wallet)
	require.NoError(t, err)
	require.Empty(t, pending)
}

// A process that hangs in a transaction must not hold rows for long, and a lane must not wait for long, although a pooler passes no
// parameters of the session on.
func TestTransactionsThroughAPoolerAreBounded(t *testing.T) {
	db := pooled(t)
	require.NoError(t, db.Write(t.Context(), "", func(ctx context.Context, tx database.Tx) error {
		for setting, want := range map[string]string{
			"timezone": "UTC", "search_path": "wallet", "idle_in_transaction_session_timeout": "3s", "lock_timeout": "1500ms",
		} {
			var got string
			require.NoError(t, tx.QueryRowContext(ctx, "SELECT current_setting($1)", setting).Scan(&got))
			require.Equal(t, want, got, setting)
		}
		return nil
	}))
	var left string
	require.NoError(t, db.Reader().QueryRowContext(t.Context(), "SELECT current_setting('lock_timeout')").Scan(&left))
	require.Equal(t, "0", left, "the session keeps nothing of it")
}

func TestNotificationsGoPastThePooler(t *testing.T) {
	db := pooled(t)
	ctx, cancel := context.WithCancel(t.Context())
	heard := make(chan struct{}, 10)
	var listening sync.WaitGroup
	listening.Go(func() { db.Listen(ctx, "news", func() { heard <- struct{}{} }) })
	defer listening.Wait()
	defer cancel()
	<-heard // it listens
	require.NoError(t, db.Notify(t.Context(), "news"))
	select {
	case <-heard:
	case <-time.After(30 * time.Second):
		t.Fatal("the notification was lost")
	}
}

// A pooler that forgets the schema would have services write into each other's tables.
func TestAPoolerThatLeadsToAnotherSchemaIsRefused(t *testing.T) {
	direct := databasetest.PostgresURL(t)
	pooler := databasetest.Pooler(t, direct, []string{"wallet"}, "ignore_startup_parameters = idle_in_transaction_session_timeout,search_path,lock_timeout")
	for name, tc := range map[string]struct {
		config database.Config
		says   string
	}{
		"without a schema":         {database.Config{URL: settings.NewSecret(pooler("")), DirectURL: settings.NewSecret(direct)}, `connect_query='SET search_path TO wallet'`},
		"without a direct address": {database.Config{URL: settings.NewSecret(pooler(""))}, "set DATABASE_DIRECT_URL"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.config.Schema = "wallet"
			_, err := database.Open(t.Context(), tc.config)
			require.ErrorContains(t, err, `leads to the schema "public", and the one of this service is "wallet"`)
			require.ErrorContains(t, err, tc.says)
		})
	}
}

// Migrations that go through a pooler without a schema would make the tables of all services in one.
func TestMigrationsIntoAnotherSchemaAreRefused(t *testing.T) {
	direct := databasetest.PostgresURL(t)
	pooler := databasetest.Pooler(t, direct, []string{"wallet"}, "ignore_startup_parameters = idle_in_transaction_session_timeout,search_path,lock_timeout")
	db := databasetest.Open(t, database.Config{
		URL: settings.NewSecret(pooler("wallet")), DirectURL: settings.NewSecret(pooler("")), Schema: "wallet",
	}, database.Migrations{})
	require.ErrorContains(t, database.Migrate(t.Context(), db, wallet), `leads to the schema "public", and the one of this service is "wallet"`)
	var tables int
	require.NoError(t, db.Read().QueryRowContext(t.Context(), "SELECT count(*) FROM pg_tables WHERE schemaname IN ('public', 'wallet')").Scan(&tables))
	require.Zero(t, tables)
}

func TestAPoolerWithoutADirectAddressIsRefused(t *testing.T) {
	direct := databasetest.PostgresURL(t)
	pooler := databasetest.Pooler(t, direct, []string{"wallet"}, "")
	_, err := database.Open(t.Context(), database.Config{URL: settings.NewSecret(pooler("wallet")), Schema: "wallet"})
	require.ErrorContains(t, err, "set DATABASE_DIRECT_URL")
}
