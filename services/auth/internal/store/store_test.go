package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/services/auth/internal/store"
	"github.com/trivet-dev/trivet/services/auth/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func migrations(t testing.TB) database.Migrations {
	t.Helper()
	m := store.Migrations()
	return m
}

func TestSQLite(t *testing.T) {
	storetest.Run(t, func(t testing.TB, wake func()) storetest.Store {
		return store.New(databasetest.SQLite(t, migrations(t)), storetest.Now, wake)
	})
}

func TestPostgres(t *testing.T) {
	storetest.Run(t, func(t testing.TB, wake func()) storetest.Store {
		return store.New(databasetest.Postgres(t, migrations(t)), storetest.Now, wake)
	})
}

// TestAFailedWriteRevokesNothing: a subscriber that receives a revocation may rely on its commit.
func TestAFailedWriteRevokesNothing(t *testing.T) {
	woken := false
	s := store.New(databasetest.SQLite(t, migrations(t)), time.Now, func() { woken = true })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	changed, err := s.DeleteUser(ctx, "user_1", time.Now())
	require.ErrorIs(t, err, context.Canceled)
	require.False(t, changed)
	require.False(t, woken)
}
