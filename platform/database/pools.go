package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// pool is a pool of connections with its ready labels.
type pool struct {
	*sql.DB
	labels, inUse, idle metric.MeasurementOption
}

// WatchPools reports the database's connections on meter, by service and pool ("read" or "write"): trivet.database.connections
// (by state), trivet.database.connections.max, trivet.database.waits and trivet.database.wait.time. trivet.database.queued is the
// number of writes that wait for a connection.
func (db *DB) WatchPools(meter metric.Meter, service string) error {
	var failed [6]error
	open, err := meter.Int64ObservableGauge("trivet.database.connections", metric.WithDescription("Open connections of a pool, by state."))
	failed[0] = err
	limit, err := meter.Int64ObservableGauge("trivet.database.connections.max", metric.WithDescription("Maximum connections of a pool."))
	failed[1] = err
	waits, err := meter.Int64ObservableCounter("trivet.database.waits", metric.WithDescription("Reads and writes that waited because every connection of the pool was in use."))
	failed[2] = err
	waited, err := meter.Float64ObservableCounter("trivet.database.wait.time", metric.WithUnit("s"), metric.WithDescription("Total time of the waits for a connection of the pool."))
	failed[3] = err
	queued, err := meter.Int64ObservableGauge("trivet.database.queued", metric.WithDescription("Writes that wait for their turn."))
	failed[4] = err
	name := attribute.String("service", service)
	pools := []pool{labeled(db.readers, name, "read"), labeled(db.writers, name, "write")}
	byService := metric.WithAttributeSet(attribute.NewSet(name))
	_, failed[5] = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for _, p := range pools {
			stats := p.Stats()
			o.ObserveInt64(open, int64(stats.InUse), p.inUse)
			o.ObserveInt64(open, int64(stats.Idle), p.idle)
			o.ObserveInt64(limit, int64(stats.MaxOpenConnections), p.labels)
			o.ObserveInt64(waits, stats.WaitCount, p.labels)
			o.ObserveFloat64(waited, stats.WaitDuration.Seconds(), p.labels)
		}
		o.ObserveInt64(queued, int64(db.Queued()), byService)
		return nil
	}, open, limit, waits, waited, queued)
	if err := errors.Join(failed[:]...); err != nil {
		return fmt.Errorf("database metrics: %w", err)
	}
	return nil
}

// labeled prepares the labels of a pool.
func labeled(connections *sql.DB, service attribute.KeyValue, name string) pool {
	by := func(more ...attribute.KeyValue) metric.MeasurementOption {
		return metric.WithAttributeSet(attribute.NewSet(append(more, service, attribute.String("pool", name))...))
	}
	return pool{connections, by(), by(attribute.String("state", "in_use")), by(attribute.String("state", "idle"))}
}
