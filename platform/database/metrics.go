package database

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Observer returns a Config.Observe that counts a service's batches on meter, each by service: trivet.database.writes and
// trivet.database.write.failures, trivet.database.batch.size (writes per commit), trivet.database.batch.duration and
// trivet.database.commit.duration (seconds), and trivet.database.retries (transactions that were retried).
func Observer(meter metric.Meter, service string) (func(Batch), error) {
	var errs [6]error
	writes, err := meter.Int64Counter("trivet.database.writes", metric.WithDescription("Writes that callers asked for."))
	errs[0] = err
	failures, err := meter.Int64Counter("trivet.database.write.failures", metric.WithDescription("Writes that the database or a defect made fail; a refusal is not one."))
	errs[1] = err
	retries, err := meter.Int64Counter("trivet.database.retries", metric.WithDescription("Transactions that were retried after a failure."))
	errs[2] = err
	size, err := meter.Int64Histogram("trivet.database.batch.size", metric.WithDescription("Writes that shared a commit."),
		metric.WithExplicitBucketBoundaries(1, 2, 4, 8, 16, 32, 64, 128))
	errs[3] = err
	total, err := meter.Float64Histogram("trivet.database.batch.duration", metric.WithUnit("s"),
		metric.WithDescription("Time of a batch, from its first statement to its commit."))
	errs[4] = err
	commit, err := meter.Float64Histogram("trivet.database.commit.duration", metric.WithUnit("s"),
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
		if b.Broken > 0 {
			failures.Add(ctx, int64(b.Broken), labels)
		}
		if b.Attempts > 1 {
			retries.Add(ctx, int64(b.Attempts-1), labels)
		}
	}, nil
}
