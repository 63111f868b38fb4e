package provider

import (
	"cmp"
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/trivet-dev/trivet/platform/telemetry"
)

// instruments count the calls of one provider.
type instruments struct {
	integration string
	target      string
	calls       metric.Int64Counter
	retries     metric.Int64Counter
	duration    metric.Float64Histogram
	firstByte   metric.Float64Histogram
	gauges      metric.Registration
	sets        telemetry.Memo[series, *labels]
}

// series names one combination of labels.
type series struct {
	method  string
	outcome outcome
}

// labels are the options of a series.
type labels struct {
	add    []metric.AddOption
	record []metric.RecordOption
}

func newInstruments(integration, target string, meter metric.Meter, t *Transport) (*instruments, error) {
	i := &instruments{integration: integration, target: target}
	var errs [7]error
	i.calls, errs[0] = meter.Int64Counter("trivet.provider.calls",
		metric.WithDescription("Calls to a provider by integration, target, method and outcome."))
	i.duration, errs[1] = meter.Float64Histogram("trivet.provider.call.duration", metric.WithUnit("s"),
		metric.WithDescription("Time of a call, from its start to the end of its body."))
	i.firstByte, errs[2] = meter.Float64Histogram("trivet.provider.call.first_byte", metric.WithUnit("s"),
		metric.WithDescription("Time of a call, from its start to the answer's header."))
	i.retries, errs[3] = meter.Int64Counter("trivet.provider.retries",
		metric.WithDescription("Calls that were repeated, at the same target or at the next one, by integration, target that failed, and outcome that was not final."))
	inFlight, err4 := meter.Int64ObservableGauge("trivet.provider.calls.in_flight",
		metric.WithDescription("Calls in progress, including those whose bodies are still being read."))
	state, err5 := meter.Int64ObservableGauge("trivet.provider.breaker.state",
		metric.WithDescription("State of a provider's circuit breaker: 0 closed, 1 half-open, 2 open."))
	errs[4], errs[5] = err4, err5
	name := metric.WithAttributeSet(attribute.NewSet(i.names()...))
	i.gauges, errs[6] = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		o.ObserveInt64(inFlight, t.inFlight.Load(), name)
		if t.breaker != nil {
			o.ObserveInt64(state, int64(t.State()), name)
		}
		return nil
	}, inFlight, state)
	return i, errors.Join(errs[:]...)
}

// close ends the gauges.
func (i *instruments) close() { _ = i.gauges.Unregister() }

// names are the labels that all series of the provider have.
func (i *instruments) names() []attribute.KeyValue {
	return []attribute.KeyValue{attribute.String("integration", i.integration), attribute.String("target", cmp.Or(i.target, i.integration))}
}

// retried counts a repetition.
func (i *instruments) retried(ctx context.Context, why string) {
	i.retries.Add(ctx, 1, metric.WithAttributes(append(i.names(), attribute.String("outcome", why))...))
}

func (i *instruments) record(ctx context.Context, method string, out outcome, took, firstByte time.Duration) {
	labels := i.sets.Get(series{method, out}, i.labels)
	i.calls.Add(ctx, 1, labels.add...)
	i.duration.Record(ctx, took.Seconds(), labels.record...)
	if firstByte > 0 {
		i.firstByte.Record(ctx, firstByte.Seconds(), labels.record...)
	}
}

func (i *instruments) labels(s series) *labels {
	set := metric.WithAttributeSet(attribute.NewSet(append(i.names(),
		attribute.String("method", s.method), attribute.String("outcome", string(s.outcome)))...))
	return &labels{add: []metric.AddOption{set}, record: []metric.RecordOption{set}}
}

// Retried counts a call that is repeated, here or at another target, because of that outcome.
func (t *Transport) Retried(ctx context.Context, why string) { t.metrics.retried(ctx, why) }
