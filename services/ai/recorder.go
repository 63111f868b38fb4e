package ai

import (
	"context"
	"errors"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/telemetry"
	"github.com/trivet-dev/trivet/services/ai/internal/background"
	"github.com/trivet-dev/trivet/services/ai/internal/hold"
	"github.com/trivet-dev/trivet/services/ai/internal/invoke"
	"github.com/trivet-dev/trivet/services/ai/internal/tokens"
)

// recorder counts calls and tokens.
type recorder struct {
	calls      metric.Int64Counter
	tokens     metric.Int64Counter
	anomalies  metric.Int64Counter
	excess     metric.Int64Counter
	unreported metric.Int64Counter
	background metric.Int64Counter
	firstToken metric.Float64Histogram
	fallbacks  metric.Int64Counter
	cuts       metric.Int64Counter
	sets       telemetry.Memo[series, *options]
	models     telemetry.Memo[string, []metric.RecordOption]
}

type series struct {
	model     string
	outcome   billingv1.Outcome
	estimated bool
}

// options are the labels of a series, ready for use.
type options struct{ call, input, output []metric.AddOption }

func newRecorder(meter metric.Meter) (*recorder, error) {
	calls, err1 := meter.Int64Counter("trivet.ai.calls", metric.WithDescription("Calls to models by model, outcome, and whether Trivet had to count the tokens."))
	tokens, err2 := meter.Int64Counter("trivet.ai.tokens", metric.WithDescription("Tokens settled, by model and kind."))
	anomalies, err3 := meter.Int64Counter("trivet.ai.usage.anomalies", metric.WithDescription("Calls whose provider claimed or sent more tokens than the call's bound, by model."))
	excess, err4 := meter.Int64Counter("trivet.ai.usage.excess", metric.WithDescription("Tokens above the bounds of calls, which are not billed, by model and kind."))
	unreported, err5 := meter.Int64Counter("trivet.ai.usage.unreported", metric.WithDescription("Calls that the provider broke off without their usage, although they may have output that was not seen, by model."))
	background, err6 := meter.Int64Counter("trivet.ai.background.settled", metric.WithDescription("Responses that ran in the background and were settled, by their last status: completed, incomplete, failed, cancelled, lost."))
	firstToken, err7 := meter.Float64Histogram("trivet.ai.first_token", metric.WithUnit("s"), metric.WithDescription("Time from the arrival of a call that asks for a stream to the first output of its answer, by model."))
	fallbacks, err8 := meter.Int64Counter("trivet.ai.fallbacks", metric.WithDescription("Times that a call left a target for another one of its model, by model and by why it left; no_target: the caller got the text of TRIVET_FALLBACK_TEXT."))
	cuts, err9 := meter.Int64Counter("trivet.ai.streams.cut", metric.WithDescription("Streams that had begun at the caller and did not end in order, by model and cause."))
	return &recorder{
			calls: calls, tokens: tokens, anomalies: anomalies, excess: excess, unreported: unreported, background: background, firstToken: firstToken, fallbacks: fallbacks, cuts: cuts,
		},
		errors.Join(err1, err2, err3, err4, err5, err6, err7, err8, err9)
}

// observe adds the gauges.
func (r *recorder) observe(meter metric.Meter, keeper *hold.Keeper, invoker *invoke.Invoker) error {
	gauge := func(name, description string, value func() int) error {
		_, err := meter.Int64ObservableGauge(name, metric.WithDescription(description),
			metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error { o.Observe(int64(value())); return nil }))
		return err
	}
	_, err := meter.Int64ObservableCounter("trivet.ai.refusals.dropped",
		metric.WithDescription("Refused calls that the log of requests lacks, because too many waited for billing or billing rejected them."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error { o.Observe(keeper.RefusedDropped()); return nil }))
	return errors.Join(
		err,
		gauge("trivet.ai.refusals.pending", "Refused calls that wait for billing to be logged; above 0 for long means that billing is down.", keeper.RefusedPending),
		gauge("trivet.ai.holds.open", "Holds of running calls.", keeper.Running),
		gauge("trivet.ai.settlements.pending", "Settlements that wait for billing; above 0 for long means that billing is down.", keeper.Pending),
		gauge("trivet.ai.abandoned.reads", "Answers that are read to their end although their callers have left.", invoker.Abandoned),
	)
}

// observeBackground adds the gauges of responses that run in the background.
func observeBackground(meter metric.Meter, runner *background.Runner) error {
	_, err1 := meter.Int64ObservableGauge("trivet.ai.background.running", metric.WithDescription("Responses that run in the background and are not settled, in the database."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error { o.Observe(runner.Running()); return nil }))
	_, err2 := meter.Float64ObservableGauge("trivet.ai.background.oldest.age", metric.WithUnit("s"),
		metric.WithDescription("Age of the oldest response that runs in the background and is not settled; 0 without one."),
		metric.WithFloat64Callback(func(_ context.Context, o metric.Float64Observer) error {
			o.Observe(runner.OldestAge().Seconds())
			return nil
		}))
	return errors.Join(err1, err2)
}

// Background implements background.Recorder.
func (r *recorder) Background(ctx context.Context, status string) {
	r.background.Add(ctx, 1, metric.WithAttributes(attribute.String("status", status)))
}

// Call implements invoke.Recorder. The models are those of the price list, so the labels are few.
func (r *recorder) Call(ctx context.Context, model string, final hold.Final) {
	o := r.sets.Get(series{model, final.Outcome, final.Estimated}, newOptions)
	r.calls.Add(ctx, 1, o.call...)
	r.tokens.Add(ctx, final.Usage.Input, o.input...)
	r.tokens.Add(ctx, final.Usage.Output, o.output...)
}

// Unreported implements invoke.Recorder.
func (r *recorder) Unreported(ctx context.Context, model string) {
	r.unreported.Add(ctx, 1, metric.WithAttributes(attribute.String("model", model)))
}

// Excess implements invoke.Recorder.
func (r *recorder) Excess(ctx context.Context, model string, excess tokens.Usage) {
	o := r.sets.Get(series{model: model}, newOptions)
	r.anomalies.Add(ctx, 1, metric.WithAttributes(attribute.String("model", model)))
	r.excess.Add(ctx, excess.Input, o.input...)
	r.excess.Add(ctx, excess.Output, o.output...)
}

// FirstToken implements invoke.Recorder.
func (r *recorder) FirstToken(ctx context.Context, model string, after time.Duration) {
	r.firstToken.Record(ctx, after.Seconds(), r.models.Get(model, func(model string) []metric.RecordOption {
		return []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(attribute.String("model", model)))}
	})...)
}

// FellBack implements invoke.Recorder.
func (r *recorder) FellBack(ctx context.Context, model, reason string) {
	r.fallbacks.Add(ctx, 1, metric.WithAttributes(attribute.String("model", model), attribute.String("reason", reason)))
}

// Cut implements invoke.Recorder.
func (r *recorder) Cut(ctx context.Context, model, cause string) {
	r.cuts.Add(ctx, 1, metric.WithAttributes(attribute.String("model", model), attribute.String("cause", cause)))
}

func newOptions(s series) *options {
	model := attribute.String("model", s.model)
	outcome := strings.ToLower(strings.TrimPrefix(s.outcome.String(), "OUTCOME_"))
	return &options{
		call:   labels(model, attribute.String("outcome", outcome), attribute.Bool("estimated", s.estimated)),
		input:  labels(model, attribute.String("kind", "input")),
		output: labels(model, attribute.String("kind", "output")),
	}
}

func labels(attributes ...attribute.KeyValue) []metric.AddOption {
	return []metric.AddOption{metric.WithAttributeSet(attribute.NewSet(attributes...))}
}
