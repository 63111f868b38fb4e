package database_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/settings"
)

var arrivals = database.Migrations{Service: "arrivals", FS: fstest.MapFS{
	"00001_arrivals.sql": {Data: []byte(`-- +goose Up
CREATE TABLE event (source TEXT NOT NULL, id TEXT NOT NULL, payload BYTEA NOT NULL, PRIMARY KEY (source, id));
`)},
}}

// BenchmarkGroupCommit lets 64 callers store an event of 3 KB each, durably: with a commit for each, and with commits that
// they share. It reports the events per second and the commits per second.
//
//	go test -run xxx -bench GroupCommit -benchtime 10000x ./database
func BenchmarkGroupCommit(b *testing.B) {
	for _, size := range []struct {
		name     string
		maxBatch int
	}{{"one-by-one", 1}, {"grouped", 0}} {
		b.Run("sqlite/"+size.name, func(b *testing.B) {
			// Not in /tmp, which may be memory, where fsync costs nothing.
			dir, err := os.MkdirTemp(".", "bench-") //nolint:usetesting // see above
			require.NoError(b, err)
			defer os.RemoveAll(dir)
			storeEvents(b, database.Config{URL: settings.NewSecret("sqlite://" + filepath.Join(dir, "bench.db")), MaxBatch: size.maxBatch})
		})
		b.Run("postgres/"+size.name, func(b *testing.B) {
			server := databasetest.NewServer(b, true)
			storeEvents(b, database.Config{URL: settings.NewSecret(server.NewDatabase(b)), Schema: "arrivals", MaxBatch: size.maxBatch})
		})
	}
}

func storeEvents(b *testing.B, config database.Config) {
	var commits, next atomic.Int64
	config.Observe = func(batch database.Batch) { commits.Add(int64(batch.Attempts)) }
	db := databasetest.Open(b, config, arrivals)
	payload := make([]byte, 3<<10)
	var callers sync.WaitGroup
	b.ResetTimer()
	before, begun := cpu(), time.Now()
	for range 64 {
		callers.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				id := fmt.Sprintf("evt_%016d", n)
				if err := db.Write(b.Context(), id, func(ctx context.Context, tx database.Tx) error {
					_, err := tx.ExecContext(ctx, "INSERT INTO event (source, id, payload) VALUES ('s', $1, $2) ON CONFLICT DO NOTHING", id, payload)
					return err
				}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	callers.Wait()
	took := time.Since(begun)
	b.ReportMetric(float64(b.N)/took.Seconds(), "events/s")
	b.ReportMetric(float64(commits.Load())/took.Seconds(), "commits/s")
	b.ReportMetric(float64((cpu()-before).Microseconds())/float64(b.N), "cpu-µs/event")
	b.ReportMetric(0, "ns/op")
}
