package database_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
)

// logged opens the wallet's store with so many readers, and returns what is logged then.
func logged(t *testing.T, readers int) (*database.DB, string) {
	t.Helper()
	var log strings.Builder
	db := databasetest.Postgres(t, wallet, func(c *database.Config) {
		c.Lanes, c.MaxReaders, c.Logger = database.DefaultLanes, readers, slog.New(slog.NewTextHandler(&log, nil))
	})
	return db, log.String()
}

func TestTooFewConnectionsAreAnnouncedAtTheStart(t *testing.T) {
	db, log := logged(t, 10)
	require.NotContains(t, log, "WARN")
	c, err := db.Connections(t.Context())
	require.NoError(t, err)
	require.Positive(t, c.Usable)
	require.GreaterOrEqual(t, c.Open, database.DefaultLanes, "the connections that write are open")
	require.Zero(t, c.Foreign)

	_, log = logged(t, c.Usable+1)
	require.Contains(t, log, "PostgreSQL may run out of connections")
	require.Contains(t, log, "DATABASE_READ_CONNECTIONS")
}

// A process with several stores has room for each of them alone, and not for all.
func TestConnectionsOfAllStoresAreCounted(t *testing.T) {
	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(&log, nil))
	var process database.Process
	require.NoError(t, process.WarnOfConnections(t.Context(), logger), "without a store")
	open := func(readers int) *database.DB {
		return databasetest.Postgres(t, wallet, func(c *database.Config) { c.MaxReaders, c.Logger, c.Process = readers, logger, &process })
	}
	c, err := open(10).Connections(t.Context())
	require.NoError(t, err)
	open(c.Usable / 2)
	require.NoError(t, process.WarnOfConnections(t.Context(), logger))
	require.NotContains(t, log.String(), "run out")

	open(c.Usable / 2)
	require.NotContains(t, log.String(), "run out", "a store leaves the warning to its process")
	require.NoError(t, process.WarnOfConnections(t.Context(), logger))
	require.Contains(t, log.String(), "PostgreSQL may run out of connections")
	require.Contains(t, log.String(), fmt.Sprintf("allowed=%d", c.Usable))
	// Each store has its writers and one reader open. Its other readers and its listener may follow.
	require.Contains(t, log.String(), fmt.Sprintf("this_process_may_open=%d", 10+c.Usable/2*2))
}

// Behind a pooler, and on SQLite, the connections of the process are not the server's.
func TestConnectionsThatAreNotTheServersAreNotCounted(t *testing.T) {
	var log strings.Builder
	var process database.Process
	databasetest.SQLite(t, wallet, func(c *database.Config) { c.Process = &process })
	require.NoError(t, process.WarnOfConnections(t.Context(), slog.New(slog.NewTextHandler(&log, nil))))
	require.Empty(t, log.String())
}

func TestProcessesThatListenAreCounted(t *testing.T) {
	db := databasetest.Postgres(t, wallet)
	heard := make(chan struct{}, 1)
	listened := make(chan struct{})
	go func() {
		defer close(listened)
		db.Listen(t.Context(), "news", func() { heard <- struct{}{} })
	}()
	t.Cleanup(func() { <-listened })
	<-heard
	require.Eventually(t, func() bool {
		c, err := db.Connections(t.Context())
		require.NoError(t, err)
		return c.Processes == 1
	}, 30*time.Second, 10*time.Millisecond)
}

func TestSQLiteHasNoConnections(t *testing.T) {
	c, err := databasetest.SQLite(t, wallet).Connections(t.Context())
	require.NoError(t, err)
	require.Zero(t, c)
}

func TestConnectionsOfAProcess(t *testing.T) {
	require.Equal(t, 15, database.Config{}.PerProcess())
	require.Equal(t, 9, database.Config{MaxReaders: 6, Lanes: 2}.PerProcess())
}
