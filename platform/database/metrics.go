package database

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Observer returns a Config.Observe that counts a service's batches on meter: database.writes and database.write.failures,
// database.batch.size (writes per commit), database.batch.duration and database.commit.duration (seconds), and
// database.retries (transactions begun again), all by service.
func Observer(meter metric.Meter, service string) (func(Batch), error) {
	var errs [6]error
	writes, err := meter.Int64Counter("database.writes", metric.WithDescription("Writes asked for."))
	errs[0] = err
	failures, err := meter.Int64Counter("database.write.failures", metric.WithDescription("Writes that ended with an error."))
	errs[1] = err
	retries, err := meter.Int64Counter("database.retries", metric.WithDescription("Transactions begun again after a failure."))
	errs[2] = err
	size, err := meter.Int64Histogram("database.batch.size", metric.WithDescription("Writes that shared a commit."),
		metric.WithExplicitBucketBoundaries(1, 2, 4, 8, 16, 32, 64, 128))
	errs[3] = err
	total, err := meter.Float64Histogram("database.batch.duration", metric.WithUnit("s"),
		metric.WithDescription("Time of a batch, from its begin to its commit."))
	errs[4] = err
	commit, err := meter.Float64Histogram("database.commit.duration", metric.WithUnit("s"),
		metric.WithDescription("Time of the durable commit."))
	errs[5] = err
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("database metrics: %w", err)
	}
	labels := metric.WithAttributeSet(attribute.NewSet(attribute.String("service", service)))
	return func(b Batch) {
		ctx := context.Background()
		writes.Add(ctx, int64(b.Ops), labels)
		size.Record(ctx, int64(b.Ops), labels)
		total.Record(ctx, b.Total.Seconds(), labels)
		commit.Record(ctx, b.Commit.Seconds(), labels)
		if b.Failed > 0 {
			failures.Add(ctx, int64(b.Failed), labels)
		}
		if b.Attempts > 1 {
			retries.Add(ctx, int64(b.Attempts-1), labels)
		}
	}, nil
}
