package ledger_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store"
)

func TestMetrics(t *testing.T) {
	reader := sdk.NewManualReader()
	meters := sdk.NewMeterProvider(sdk.WithReader(reader))
	t.Cleanup(func() { require.NoError(t, meters.Shutdown(context.Background())) })
	metrics, err := ledger.NewMetrics(meters.Meter("billing"))
	require.NoError(t, err)
	b := newFixture(t, databasetest.SQLite(t, store.Migrations()), "monthly")
	b.Ledger = ledger.New(ledger.Options{
		Store: b.store, Prices: prices(t), Plans: b.plans, Now: b.clock.Now, Logger: slog.New(slog.DiscardHandler), Lease: lease, Metrics: metrics,
	})
	b.settle(b.hold("r1", 10), 7)
	swept := b.hold("r2", 10)
	again := b.hold("r3", 10)
	_, err = b.Reserve(t.Context(), ledger.Reservation{RequestID: "r4", AccountID: alice, Model: "embed", InputTokens: 5000})
	require.Error(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = b.Reserve(ctx, ledger.Reservation{RequestID: "r5", AccountID: alice, Model: "embed", InputTokens: 1})
	require.ErrorIs(t, err, context.Canceled)
	b.settle(again, 5)
	b.settle(again, 5) // counts once
	b.clock.Add(lease)
	b.sweep(1)
	b.settle(swept, 1) // not a second settlement

	var all metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &all))
	got := map[string]int64{}
	for _, m := range all.ScopeMetrics[0].Metrics {
		for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
			name := m.Name
			if p.Attributes.Len() > 0 {
				name += " " + p.Attributes.ToSlice()[0].Value.AsString()
			}
			got[name] = p.Value
		}
	}
	require.Equal(t, map[string]int64{
		"trivet.billing.reservations held": 3, "trivet.billing.reservations INSUFFICIENT_BALANCE": 1, "trivet.billing.reservations failed": 1,
		"trivet.billing.settlements completed": 2, "trivet.billing.settlements abandoned": 1, "trivet.billing.charged embed": 22,
	}, got)
}
