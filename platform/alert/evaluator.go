package alert

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Options are what an Evaluator is made of. All but Notify are required.
type Options struct {
	// Gatherer gives the metrics of the process.
	Gatherer prometheus.Gatherer
	// Interval is the time between two evaluations.
	Interval time.Duration
	Meter    metric.Meter
	Logger   *slog.Logger
	Now      func() time.Time
	// Notify receives the changes; it must not block.
	Notify func(ctx context.Context, changes []Change)
	// Shared, when set, tells of the rules about what replicas share; without it, this process tells of all rules.
	Shared *Shared
}

// Change is a change of state of an alert.
type Change struct {
	Rule Rule
	// Labels tell the alerts of a rule apart, such as integration="stripe".
	Labels map[string]string
	// Firing is false when the condition has ended.
	Firing bool
	// Since is when the condition began to hold, and At when the change was noticed.
	Since, At time.Time
	// Value is that of the rule's first condition at that time; nil when it is unknown.
	Value *float64

	delivery *delivery // of what replicas share
}

// Summary says what is wrong, with the values of the labels.
func (c Change) Summary() string {
	return placeholder.ReplaceAllStringFunc(c.Rule.Summary, func(name string) string { return c.Labels[strings.Trim(name, "{}")] })
}

// Evaluator evaluates the rules over the metrics of its process.
type Evaluator struct {
	options   Options
	rules     []Rule
	histories map[string]*history
	levels    map[string]filter

	mu     sync.Mutex
	active map[string]map[string]*state // rule to group
	shared round                        // of the last evaluation
}

// state is an alert whose condition holds.
type state struct {
	since  time.Time
	firing bool
}

// NewEvaluator makes an Evaluator of all rules that need nothing but the metrics of one process.
func NewEvaluator(o Options) (*Evaluator, error) {
	if o.Interval <= 0 {
		return nil, errors.New("alert: Interval must be above 0")
	}
	e := &Evaluator{options: o, histories: map[string]*history{}, levels: map[string]filter{}, active: map[string]map[string]*state{}}
	e.rules = slices.DeleteFunc(Rules(), func(r Rule) bool { return r.PromQL != "" })
	longest := time.Duration(0)
	for _, r := range e.rules {
		e.active[r.Name] = map[string]*state{}
		for _, c := range r.When {
			longest = max(longest, c.Signal.Over)
		}
	}
	size := ticksOf(longest, o.Interval) + 1
	for _, r := range e.rules {
		for _, c := range r.When {
			e.prepare(c.Signal, size)
		}
	}
	return e, e.observe()
}

func (e *Evaluator) prepare(s Signal, size int) {
	for _, selector := range s.selectors() {
		key := keyOf(selector, s.By)
		if s.Over == 0 {
			e.levels[key] = newFilter(selector, s.By)
		} else if e.histories[key] == nil {
			e.histories[key] = newHistory(newFilter(selector, s.By), size)
		}
	}
}

func keyOf(s Selector, by []string) string { return s.promQL() + strings.Join(by, ",") }

// observe reports the firing alerts as a metric.
func (e *Evaluator) observe() error {
	_, err := e.options.Meter.Int64ObservableGauge("trivet.alerts.firing",
		metric.WithDescription("Alerts that fire in this process, by rule. Prometheus evaluates the same rules over all processes."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			e.mu.Lock()
			defer e.mu.Unlock()
			for name, groups := range e.active {
				firing := int64(0)
				for _, s := range groups {
					if s.firing {
						firing++
					}
				}
				o.Observe(firing, metric.WithAttributes(attribute.String("alert", name)))
			}
			return nil
		}))
	if err != nil {
		return fmt.Errorf("alert metrics: %w", err)
	}
	return nil
}

// Run evaluates the rules at every interval until ctx ends.
func (e *Evaluator) Run(ctx context.Context) {
	ticker := time.NewTicker(e.options.Interval)
	defer ticker.Stop()
	if shared := e.options.Shared; shared != nil {
		var telling sync.WaitGroup
		defer telling.Wait()
		telling.Go(func() { shared.run(ctx, e.tell) })
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		changes := e.Evaluate()
		if e.options.Shared != nil {
			changes = slices.DeleteFunc(changes, func(c Change) bool { return c.Rule.Shared })
			e.options.Shared.offer(e.shared)
		}
		e.tell(ctx, changes)
	}
}

// tell logs changes and passes them on.
func (e *Evaluator) tell(ctx context.Context, changes []Change) {
	for _, c := range changes {
		e.log(ctx, c)
	}
	if len(changes) > 0 && e.options.Notify != nil {
		e.options.Notify(ctx, changes)
	}
}

// log writes a change once: at ERROR when somebody must act now.
func (e *Evaluator) log(ctx context.Context, c Change) {
	level, text := slog.LevelWarn, "alert fires"
	switch {
	case !c.Firing:
		level, text = slog.LevelInfo, "alert resolved"
	case c.Rule.Severity == Page:
		level = slog.LevelError
	}
	attrs := []slog.Attr{
		slog.String("alert", c.Rule.Name), slog.String("severity", string(c.Rule.Severity)), slog.String("summary", c.Summary()),
		slog.Time("since", c.Since), slog.String("playbook", c.Rule.Playbook()),
	}
	e.options.Logger.LogAttrs(ctx, level, text, attrs...)
}

// Evaluate reads the metrics once and returns what changed. Metrics that cannot be read count as absent.
func (e *Evaluator) Evaluate() []Change {
	round := e.options.Shared.begin()
	gathered, _ := e.options.Gatherer.Gather() // what it has is used; the exporter reports what failed
	all := make(families, len(gathered))
	for _, f := range gathered {
		all[f.GetName()] = f
	}
	for _, h := range e.histories {
		h.add(all)
	}
	now := e.options.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	var changes []Change
	round.at = now
	for _, r := range e.rules {
		holding, values := e.holding(r, all)
		changes = append(changes, e.update(r, holding, values, now)...)
		if r.Shared {
			round.found = append(round.found, finding{rule: r, holding: holding, firing: e.firing(r), values: values})
		}
	}
	e.shared = round
	return changes
}

// update compares the groups in which a rule's condition holds with those before.
func (e *Evaluator) update(r Rule, holding map[string]bool, values map[string]float64, now time.Time) []Change {
	var changes []Change
	active := e.active[r.Name]
	changed := func(group string, s *state) {
		changes = append(changes, Change{Rule: r, Labels: labels(r, group), Firing: holding[group], Since: s.since, At: now, Value: valueOf(values, group)})
	}
	for _, group := range slices.Sorted(maps.Keys(holding)) {
		s := active[group]
		if s == nil {
			s = &state{since: now}
			active[group] = s
		}
		if !s.firing && now.Sub(s.since) >= r.For {
			s.firing = true
			changed(group, s)
		}
	}
	for _, group := range slices.Sorted(maps.Keys(active)) {
		if s := active[group]; !holding[group] {
			delete(active, group)
			if s.firing {
				changed(group, s)
			}
		}
	}
	return changes
}

// firing returns the groups of a rule that fire, and since when their conditions hold.
func (e *Evaluator) firing(r Rule) map[string]time.Time {
	found := map[string]time.Time{}
	for group, s := range e.active[r.Name] {
		if s.firing {
			found[group] = s.since
		}
	}
	return found
}

// valueOf returns the value of a group; nil when it has none that JSON can express.
func valueOf(values map[string]float64, group string) *float64 {
	value, ok := values[group]
	if !ok || math.IsNaN(value) || math.IsInf(value, 0) {
		return nil
	}
	return &value
}

func labels(r Rule, group string) map[string]string {
	names := r.By()
	values := strings.Split(group, separator)
	named := make(map[string]string, len(names))
	for i, name := range names {
		named[name] = values[i]
	}
	return named
}

// holding returns the groups in which all conditions of a rule hold, and the values of its first condition.
func (e *Evaluator) holding(r Rule, all families) (holding map[string]bool, first map[string]float64) {
	for i, c := range r.When {
		values := e.values(c.Signal, all)
		if i == 0 {
			first = values
		}
		now := map[string]bool{}
		for group, value := range values {
			if value > c.Above && (holding == nil || holding[group]) {
				now[group] = true
			}
		}
		holding = now
	}
	return holding, first
}

// values computes a signal for each group.
func (e *Evaluator) values(s Signal, all families) map[string]float64 {
	if s.Over == 0 {
		most := map[string]float64{}
		e.levels[keyOf(s.Part, s.By)].read(all, func(group string, value float64) {
			if old, ok := most[group]; !ok || value > old {
				most[group] = value
			}
		})
		return most
	}
	ticks := ticksOf(s.Over, e.options.Interval)
	part := e.histories[keyOf(s.Part, s.By)].increase(ticks)
	if !s.divided() {
		return part
	}
	whole := e.histories[keyOf(s.Whole, s.By)].increase(ticks)
	for group, gained := range part {
		if whole[group] == 0 {
			delete(part, group)
		} else {
			part[group] = gained / whole[group]
		}
	}
	return part
}
