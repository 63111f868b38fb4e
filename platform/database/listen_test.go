package database_test

import (
	"context"
	"log/slog"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/platformtest"
	"github.com/trivet-dev/trivet/platform/settings"
)

// listening starts Listen and returns what it calls, after the first call, which says that it listens.
func listening(t *testing.T, db *database.DB, channel string) <-chan struct{} {
	t.Helper()
	heard := make(chan struct{}, 100)
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { db.Listen(ctx, channel, func() { heard <- struct{}{} }) })
	t.Cleanup(func() {
		cancel()
		all.Wait()
	})
	requireHeard(t, heard)
	return heard
}

func requireHeard(t *testing.T, heard <-chan struct{}) {
	t.Helper()
	select {
	case <-heard:
	case <-time.After(30 * time.Second):
		t.Fatal("nothing was heard")
	}
}

func TestListenHearsItsSchemaAndChannelOnly(t *testing.T) {
	at := settings.NewSecret(databasetest.PostgresURL(t))
	open := func(schema string) *database.DB {
		return databasetest.Open(t, database.Config{URL: at, Schema: schema}, database.Migrations{})
	}
	a, b, other := open("wallet"), open("wallet"), open("other")
	heard := listening(t, a, "work")
	require.NoError(t, other.Notify(t.Context(), "work"))
	require.NoError(t, b.Notify(t.Context(), "play"))
	require.Empty(t, heard)
	require.NoError(t, b.Notify(t.Context(), "work"))
	requireHeard(t, heard)
	require.Empty(t, heard, "neither the other schema's nor the other channel's")
}

func TestListenSurvivesALostServer(t *testing.T) {
	server := databasetest.NewServer(t, false)
	db := databasetest.Open(t, database.Config{URL: settings.NewSecret(server.NewDatabase(t)), Schema: "wallet"}, database.Migrations{})
	heard := listening(t, db, "work")
	require.NoError(t, server.Restart())
	requireHeard(t, heard) // it listens again
	require.Eventually(t, func() bool { return db.Notify(t.Context(), "work") == nil }, 10*time.Second, 10*time.Millisecond)
	requireHeard(t, heard)
}

// pauses are those before listening again, in order.
func pauses(log *platformtest.Log) (all []string) {
	for _, m := range regexp.MustCompile(`pause=(\S+)`).FindAllStringSubmatch(log.String(), -1) {
		all = append(all, m[1])
	}
	return all
}

func TestListenTriesLessAndLessOftenUntilItWorked(t *testing.T) {
	server := databasetest.NewServer(t, false)
	log := &platformtest.Log{}
	db := databasetest.Open(t, database.Config{
		URL: settings.NewSecret(server.NewDatabase(t)), Schema: "wallet", Logger: slog.New(slog.NewTextHandler(log, nil)),
	}, database.Migrations{})
	heard := listening(t, db, "work")
	server.Stop()
	eventually(t, "several attempts", func() bool { return len(pauses(log)) >= 3 })
	require.Equal(t, []string{"100ms", "200ms", "400ms"}, pauses(log)[:3])
	require.NoError(t, server.Start())
	requireHeard(t, heard)
	before := len(pauses(log))
	require.NoError(t, server.Restart())
	eventually(t, "it broke again", func() bool { return len(pauses(log)) > before })
	require.Equal(t, "100ms", pauses(log)[before], "after a success it begins with the shortest pause")
	requireHeard(t, heard)
}

func TestListenOnSQLiteReturnsAtOnce(t *testing.T) {
	db := databasetest.SQLite(t, database.Migrations{Service: "wallet"})
	db.Listen(t.Context(), "work", func() { t.Error("called") })
	require.NoError(t, db.Notify(t.Context(), "work"))
}
