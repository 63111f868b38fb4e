package health

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	statusv1 "github.com/trivet-dev/trivet/gen/go/trivet/status/v1"
	"github.com/trivet-dev/trivet/platform/statuspb"
)

// Observe reports the state of an integration as trivet.integration.state: 1 for the current state, 0 for the others.
func Observe(meter metric.Meter, integration string, condition func() *statusv1.Health) error {
	name := attribute.String("integration", integration)
	labels := map[statusv1.Status]metric.MeasurementOption{}
	for _, state := range []statusv1.Status{Unknown, Operational, Degraded, Down} {
		labels[state] = metric.WithAttributeSet(attribute.NewSet(name, attribute.String("state", statuspb.Word(state))))
	}
	gauge, err1 := meter.Int64ObservableGauge("trivet.integration.state",
		metric.WithDescription("State of an integration: 1 for the current state, 0 for the others."))
	_, err2 := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		now := condition().GetStatus()
		for state, by := range labels {
			value := int64(0)
			if state == now {
				value = 1
			}
			o.ObserveInt64(gauge, value, by)
		}
		return nil
	}, gauge)
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("health metrics: %w", err)
	}
	return nil
}
