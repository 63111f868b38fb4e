package provider

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// instruments count the calls of one provider.
type instruments struct {
	integration string
	calls       metric.Int64Counter
	duration    metric.Float64Histogram
	firstByte   metric.Float64Histogram
	sets        sync.Map // series to metric.MeasurementOption: making one for each call costs more than the rest
}

// series names one combination of labels.
type series struct {
	method  string
	outcome outcome
}

func newInstruments(integration string, meter metric.Meter, inFlight *atomic.Int64) (*instruments, error) {
	i := &instruments{integration: integration}
	var errs [4]error
	i.calls, errs[0] = meter.Int64Counter("trivet.provider.calls",
		metric.WithDescription("Calls to a provider by integration, method and outcome."))
	i.duration, errs[1] = meter.Float64Histogram("trivet.provider.call.duration", metric.WithUnit("s"),
		metric.WithDescription("Time of a call, from its start to the end of its body."))
	i.firstByte, errs[2] = meter.Float64Histogram("trivet.provider.call.first_byte", metric.WithUnit("s"),
		metric.WithDescription("Time of a call, from its start to the answer's header."))
	name := metric.WithAttributeSet(attribute.NewSet(attribute.String("integration", integration)))
	_, errs[3] = meter.Int64ObservableGauge("trivet.provider.calls.in_flight",
		metric.WithDescription("Calls under way, those whose bodies are still read included."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(inFlight.Load(), name)
			return nil
		}))
	return i, errors.Join(errs[:]...)
}

func (i *instruments) record(ctx context.Context, method string, out outcome, took, firstByte time.Duration) {
	labels := i.labels(series{method, out})
	i.calls.Add(ctx, 1, labels)
	i.duration.Record(ctx, took.Seconds(), labels)
	if firstByte > 0 {
		i.firstByte.Record(ctx, firstByte.Seconds(), labels)
	}
}

func (i *instruments) labels(s series) metric.MeasurementOption {
	if known, ok := i.sets.Load(s); ok {
		return known.(metric.MeasurementOption) //nolint:forcetypeassert // nothing else is stored
	}
	made := metric.WithAttributeSet(attribute.NewSet(
		attribute.String("integration", i.integration),
		attribute.String("method", s.method),
		attribute.String("outcome", string(s.outcome))))
	i.sets.Store(s, made)
	return made
}
