package database_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/telemetry"
)

func TestObserver(t *testing.T) {
	metrics, err := telemetry.NewMetrics("test", "v0")
	require.NoError(t, err)
	observe, err := database.Observer(metrics.Meter("database"), "wallet")
	require.NoError(t, err)
	db := databasetest.SQLite(t, wallet, func(c *database.Config) { c.Observe = observe })
	errs := together(t, db,
		func(ctx context.Context, tx database.Tx) error { return put(ctx, tx, "a", 1) },
		func(ctx context.Context, tx database.Tx) error {
			_, err := tx.ExecContext(ctx, "DELETE FROM nowhere")
			return err
		})
	require.NoError(t, errs[0])
	require.Error(t, errs[1])

	require.NoError(t, db.Close(t.Context()), "waits for the lane, which counts after it told the callers")

	// The gate's batch held both: three writes, one failed, one begun again.
	page := httptest.NewRecorder()
	telemetry.OpsHandler(telemetry.Ops{Gatherer: metrics.Registry}).ServeHTTP(page,
		httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	for _, line := range []string{
		`trivet_database_writes_total{service="wallet"} 3`, `trivet_database_write_failures_total{service="wallet"} 1`,
		`trivet_database_retries_total{service="wallet"} 1`, `trivet_database_batch_size_bucket{service="wallet",le="2"} 0`,
		`trivet_database_batch_size_bucket{service="wallet",le="4"} 1`, `trivet_database_commit_duration_seconds_count{service="wallet"} 1`,
	} {
		require.Contains(t, page.Body.String(), line)
	}
}

func TestWatchPools(t *testing.T) {
	databasetest.Each(t, wallet, func(t *testing.T, db *database.DB) {
		metrics, err := telemetry.NewMetrics("test", "v0")
		require.NoError(t, err)
		require.NoError(t, db.WatchPools(metrics.Meter("database"), "wallet"))
		conn, err := db.Read().Conn(t.Context())
		require.NoError(t, err)
		page := httptest.NewRecorder()
		telemetry.OpsHandler(telemetry.Ops{Gatherer: metrics.Registry}).ServeHTTP(page,
			httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
		require.NoError(t, conn.Close())
		for _, line := range []string{
			`trivet_database_connections{pool="read",service="wallet",state="in_use"} 1`,
			`trivet_database_connections_max{pool="read",service="wallet"} `, `trivet_database_connections_max{pool="write",service="wallet"} `,
			`trivet_database_waits_total{pool="read",service="wallet"} 0`, `trivet_database_wait_time_seconds_total{pool="write",service="wallet"} 0`,
			`trivet_database_queued{service="wallet"} 0`,
		} {
			require.Contains(t, page.Body.String(), line)
		}
	})
}
