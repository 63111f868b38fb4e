package inbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// countTimeout bounds the counting for a scrape.
const countTimeout = 2 * time.Second

// instruments are the inbox's metrics. Those that count rows tell of the database: every process reports the same.
type instruments struct {
	meter    metric.Meter
	puts     metric.Int64Counter
	attempts metric.Int64Counter
	deaths   metric.Int64Counter
	expiries metric.Int64Counter
	duration metric.Float64Histogram
	delay    metric.Float64Histogram
	events   metric.Int64ObservableGauge
	age      metric.Float64ObservableGauge
}

func newInstruments(meter metric.Meter) (*instruments, error) {
	m := &instruments{meter: meter}
	var errs [8]error
	m.puts, errs[0] = meter.Int64Counter("trivet.inbox.puts",
		metric.WithDescription("Events put, by source and outcome: pending, duplicate, revived (a duplicate of a dead or ignored one), ignored or dead."))
	m.attempts, errs[1] = meter.Int64Counter("trivet.inbox.attempts",
		metric.WithDescription("Attempts, by source and outcome: done, failed, released (not counted) or lost (the lease)."))
	m.deaths, errs[2] = meter.Int64Counter("trivet.inbox.deaths", metric.WithDescription("Events given up, by source."))
	m.expiries, errs[3] = meter.Int64Counter("trivet.inbox.leases.expired",
		metric.WithDescription("Leases taken over because their workers showed no sign of life."))
	m.duration, errs[4] = meter.Float64Histogram("trivet.inbox.attempt.duration", metric.WithUnit("s"),
		metric.WithDescription("Time of an attempt, by source and outcome."))
	m.delay, errs[5] = meter.Float64Histogram("trivet.inbox.delay", metric.WithUnit("s"),
		metric.WithDescription("Time from an event's arrival to its effect, by source."))
	m.events, errs[6] = meter.Int64ObservableGauge("trivet.inbox.events",
		metric.WithDescription("Events in the database, by source and state: pending, leased or dead."))
	m.age, errs[7] = meter.Float64ObservableGauge("trivet.inbox.oldest.age", metric.WithUnit("s"),
		metric.WithDescription("Age of the oldest event that is pending or leased, by source."))
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("inbox metrics: %w", err)
	}
	return m, nil
}

func bySource(source string) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(attribute.String("source", source)))
}

func byOutcome(source, outcome string) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(attribute.String("source", source), attribute.String("outcome", outcome)))
}

func (m *instruments) put(ctx context.Context, source, outcome string) {
	m.puts.Add(ctx, 1, byOutcome(source, outcome))
}

func (m *instruments) died(ctx context.Context, source string, n int64) {
	m.deaths.Add(ctx, n, bySource(source))
}

func (m *instruments) expired(ctx context.Context, n int) { m.expiries.Add(ctx, int64(n)) }

func (m *instruments) attempt(ctx context.Context, j *Job, o outcome, took time.Duration) {
	by := byOutcome(j.Source, string(o.kind))
	m.attempts.Add(ctx, 1, by)
	m.duration.Record(ctx, took.Seconds(), by)
	if o.died > 0 {
		m.died(ctx, j.Source, o.died)
	}
	if o.kind != completed {
		return
	}
	now := j.w.in.now()
	for _, e := range j.group.events {
		m.delay.Record(ctx, now.Sub(e.PutTime).Seconds(), bySource(j.Source))
	}
}

// observe counts rows for each scrape until stop is called.
func (in *Inbox) observe() (stop func()) {
	registration, err := in.metrics.meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		ctx, cancel := context.WithTimeout(ctx, countTimeout)
		defer cancel()
		counts, err := in.Counts(ctx)
		if err != nil {
			return fmt.Errorf("inbox metrics: %w", err)
		}
		in.gauge(o, counts)
		return nil
	}, in.metrics.events, in.metrics.age)
	if err != nil {
		in.log.Error("the inbox's rows are not counted for metrics", slog.Any("error", err))
		return func() {}
	}
	return func() { _ = registration.Unregister() }
}

// gauge reports counts, and 0 for what there is none of: a gauge that falls silent keeps its last value for a while.
func (in *Inbox) gauge(o metric.Observer, counts []Count) {
	type row struct {
		source string
		state  State
	}
	events, oldest := map[row]int64{}, map[string]time.Time{}
	in.mu.RLock()
	for source := range in.handlers {
		oldest[source] = time.Time{}
	}
	in.mu.RUnlock()
	for _, c := range counts {
		events[row{c.Source, c.State}] = c.Events
		if first := oldest[c.Source]; c.State != Dead && (first.IsZero() || c.Oldest.Before(first)) {
			oldest[c.Source] = c.Oldest
		} else {
			oldest[c.Source] = first
		}
	}
	for source, first := range oldest {
		for _, state := range []State{Pending, Leased, Dead} {
			o.ObserveInt64(in.metrics.events, events[row{source, state}], metric.WithAttributeSet(attribute.NewSet(
				attribute.String("source", source), attribute.String("state", string(state)))))
		}
		age := 0.0
		if !first.IsZero() {
			age = max(in.now().Sub(first).Seconds(), 0)
		}
		o.ObserveFloat64(in.metrics.age, age, bySource(source))
	}
}
