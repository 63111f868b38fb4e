package ledger

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// Metrics counts what the ledger does.
type Metrics struct {
	reservations metric.Int64Counter
	settlements  metric.Int64Counter
	charged      metric.Int64Counter
	// Sets of attributes, made once: these counters are on the path of every call.
	held    metric.MeasurementOption
	refused map[errorsv1.ErrorReason]metric.MeasurementOption
	failed  metric.MeasurementOption
	ended   map[Outcome]metric.MeasurementOption
}

// NewMetrics makes the counters trivet.billing.reservations (by result), trivet.billing.settlements (by outcome; "abandoned" is the
// sweeper's) and trivet.billing.charged (nano-dollars).
func NewMetrics(meter metric.Meter) (*Metrics, error) {
	m := &Metrics{refused: map[errorsv1.ErrorReason]metric.MeasurementOption{}, ended: map[Outcome]metric.MeasurementOption{}}
	var failures [3]error
	m.reservations, failures[0] = meter.Int64Counter("trivet.billing.reservations",
		metric.WithDescription("Holds asked for, by result."), metric.WithUnit("{hold}"))
	m.settlements, failures[1] = meter.Int64Counter("trivet.billing.settlements",
		metric.WithDescription("Holds closed, by outcome of the call."), metric.WithUnit("{hold}"))
	m.charged, failures[2] = meter.Int64Counter("trivet.billing.charged",
		metric.WithDescription("Credit charged for calls, in nano-dollars, corrections of swept calls not counted."))
	if err := errors.Join(failures[:]...); err != nil {
		return nil, fmt.Errorf("billing metrics: %w", err)
	}
	m.held, m.failed = label("result", "held"), label("result", "failed")
	for _, reason := range []errorsv1.ErrorReason{
		errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, errorsv1.ErrorReason_ERROR_REASON_MODEL_NOT_ALLOWED,
		errorsv1.ErrorReason_ERROR_REASON_MODEL_NOT_FOUND, errorsv1.ErrorReason_ERROR_REASON_CONFLICT,
		errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR,
	} {
		m.refused[reason] = label("result", errs.Code(reason))
	}
	for _, outcome := range []Outcome{OutcomeCompleted, OutcomeCallerLeft, OutcomeUpstreamFailed, OutcomeAbandoned} {
		m.ended[outcome] = label("outcome", string(outcome))
	}
	return m, nil
}

func label(key, value string) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(attribute.String(key, value)))
}

func (m *Metrics) reserved(ctx context.Context, err error) {
	if m == nil {
		return
	}
	result := m.held
	if err != nil {
		var known bool
		if result, known = m.refused[errs.ReasonOf(err)]; !known {
			result = m.failed
		}
	}
	m.reservations.Add(ctx, 1, result)
}

// settled counts a hold that was just closed, not the repetition of an answer.
func (m *Metrics) settled(ctx context.Context, outcome Outcome, cost int64) {
	if m == nil {
		return
	}
	if set, ok := m.ended[outcome]; ok {
		m.settlements.Add(ctx, 1, set)
		m.charged.Add(ctx, cost)
	}
}
