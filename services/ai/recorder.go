package ai

import (
	"context"
	"errors"
	"strings"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/trivet-dev/trivet/services/ai/internal/hold"
)

// recorder counts calls and tokens.
type recorder struct {
	calls  metric.Int64Counter
	tokens metric.Int64Counter
	sets   sync.Map // series to options: making a set for each call costs more than counting
}

type series struct {
	model     string
	outcome   string
	estimated bool
}

// options are a series' labels, ready for use.
type options struct{ call, input, output metric.MeasurementOption }

func newRecorder(meter metric.Meter, keeper *hold.Keeper) (*recorder, error) {
	calls, err1 := meter.Int64Counter("ai.calls", metric.WithDescription("Calls to models by model, outcome, and whether Trivet had to count the tokens."))
	tokens, err2 := meter.Int64Counter("ai.tokens", metric.WithDescription("Tokens settled, by model and kind."))
	_, err3 := meter.Int64ObservableGauge("ai.holds.open", metric.WithDescription("Holds of running calls."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error { o.Observe(int64(keeper.Running())); return nil }))
	_, err4 := meter.Int64ObservableGauge("ai.settlements.pending", metric.WithDescription("Settlements that wait for billing; above 0 for long means that billing is down."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error { o.Observe(int64(keeper.Pending())); return nil }))
	return &recorder{calls: calls, tokens: tokens}, errors.Join(err1, err2, err3, err4)
}

// Call implements invoke.Recorder. The models are those of the price list, so the labels are few.
func (r *recorder) Call(ctx context.Context, model string, final hold.Final) {
	o := r.options(series{model, strings.ToLower(strings.TrimPrefix(final.Outcome.String(), "OUTCOME_")), final.Estimated})
	r.calls.Add(ctx, 1, o.call)
	r.tokens.Add(ctx, final.Usage.Input, o.input)
	r.tokens.Add(ctx, final.Usage.Output, o.output)
}

func (r *recorder) options(s series) *options {
	if known, ok := r.sets.Load(s); ok {
		return known.(*options) //nolint:forcetypeassert // nothing else is stored
	}
	model := attribute.String("model", s.model)
	made := &options{
		call:   metric.WithAttributeSet(attribute.NewSet(model, attribute.String("outcome", s.outcome), attribute.Bool("estimated", s.estimated))),
		input:  metric.WithAttributeSet(attribute.NewSet(model, attribute.String("kind", "input"))),
		output: metric.WithAttributeSet(attribute.NewSet(model, attribute.String("kind", "output"))),
	}
	r.sets.Store(s, made)
	return made
}
