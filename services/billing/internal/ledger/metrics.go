package ledger

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Metrics counts what the ledger does.
type Metrics struct {
	reservations metric.Int64Counter
	settlements  metric.Int64Counter
	charged      metric.Int64Counter
	// Sets of attributes, made once: these counters are on the path of every call.
	held    metric.MeasurementOption
	refused map[string]metric.MeasurementOption
	failed  metric.MeasurementOption
	ended   map[Outcome]metric.MeasurementOption

	mu     sync.RWMutex
	models map[string]metric.MeasurementOption // the models of the price list are few
}

// NewMetrics makes the counters trivet.billing.reservations (by result), trivet.billing.settlements (by outcome; "abandoned" is the
// sweeper's) and trivet.billing.charged (nano-dollars, by model).
func NewMetrics(meter metric.Meter) (*Metrics, error) {
	m := &Metrics{
		refused: map[string]metric.MeasurementOption{}, ended: map[Outcome]metric.MeasurementOption{}, models: map[string]metric.MeasurementOption{},
	}
	var failures [3]error
	m.reservations, failures[0] = meter.Int64Counter("trivet.billing.reservations",
		metric.WithDescription("Holds requested, by result."), metric.WithUnit("{hold}"))
	m.settlements, failures[1] = meter.Int64Counter("trivet.billing.settlements",
		metric.WithDescription("Holds closed, by outcome of the call; replaced: a hold of another size took its place before the call."), metric.WithUnit("{hold}"))
	m.charged, failures[2] = meter.Int64Counter("trivet.billing.charged",
		metric.WithDescription("Credit charged for calls, in nano-dollars, by model; corrections of swept calls are not counted."))
	if err := errors.Join(failures[:]...); err != nil {
		return nil, fmt.Errorf("billing metrics: %w", err)
	}
	m.held, m.failed = label("result", "held"), label("result", "failed")
	for _, result := range []string{
		resultBalance, resultModelNotAllowed, resultModelNotFound, resultConflict, resultInvalid, resultConfiguration,
	} {
		m.refused[result] = label("result", result)
	}
	for _, outcome := range []Outcome{OutcomeCompleted, OutcomeCallerLeft, OutcomeUpstreamFailed, OutcomeAbandoned} {
		m.ended[outcome] = label("outcome", string(outcome))
	}
	return m, nil
}

func label(key, value string) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(attribute.String(key, value)))
}

// Results of reservations that were refused. They are called like the reasons that callers see.
const (
	resultBalance         = "INSUFFICIENT_BALANCE"
	resultModelNotAllowed = "MODEL_NOT_ALLOWED"
	resultModelNotFound   = "MODEL_NOT_FOUND"
	resultConflict        = "CONFLICT"
	resultInvalid         = "INVALID_ARGUMENT"
	resultConfiguration   = "CONFIGURATION_ERROR"
)

// refusal is the result of a reservation that was refused; "" for a failure.
func refusal(err error) string {
	switch {
	case is[*InsufficientError](err):
		return resultBalance
	case is[*ModelNotAllowedError](err):
		return resultModelNotAllowed
	case is[*UnknownModelError](err):
		return resultModelNotFound
	case is[*RequestUsedError](err):
		return resultConflict
	case is[*InvalidError](err):
		return resultInvalid
	case is[*PlanMissingError](err):
		return resultConfiguration
	}
	return ""
}

func (m *Metrics) reserved(ctx context.Context, err error) {
	if m == nil {
		return
	}
	result := m.held
	if err != nil {
		var known bool
		if result, known = m.refused[refusal(err)]; !known {
			result = m.failed
		}
	}
	m.reservations.Add(ctx, 1, result)
}

// settled counts a hold that was just closed, not the repetition of an answer.
func (m *Metrics) settled(ctx context.Context, outcome Outcome, model string, cost int64) {
	if m == nil {
		return
	}
	if set, ok := m.ended[outcome]; ok {
		m.settlements.Add(ctx, 1, set)
		m.charged.Add(ctx, cost, m.model(model))
	}
}

func (m *Metrics) model(name string) metric.MeasurementOption {
	m.mu.RLock()
	known, ok := m.models[name]
	m.mu.RUnlock()
	if ok {
		return known
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.models[name] = label("model", name)
	return m.models[name]
}
