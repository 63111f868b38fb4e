package alert_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric/noop"
	"go.yaml.in/yaml/v3"

	"github.com/trivet-dev/trivet/platform/alert"
)

// scenario is a test of promtool's.
type scenario struct {
	Name   string
	Series []struct{ Series, Values string } `yaml:"input_series"`
	Checks []struct {
		Time   string `yaml:"eval_time"`
		Alert  string `yaml:"alertname"`
		Expect []struct {
			Labels      map[string]string `yaml:"exp_labels"`
			Annotations map[string]string `yaml:"exp_annotations"`
		} `yaml:"exp_alerts"`
	} `yaml:"alert_rule_test"`
}

// last returns the minute of the last check.
func (s scenario) last(t *testing.T) int {
	t.Helper()
	last := time.Duration(0)
	for _, check := range s.Checks {
		at, err := time.ParseDuration(check.Time)
		require.NoError(t, err)
		last = max(last, at)
	}
	return int(last / time.Minute)
}

func scenarios(t *testing.T) []scenario {
	t.Helper()
	var all []scenario
	for _, path := range scenarioFiles(t) {
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		var file struct{ Tests []scenario }
		require.NoError(t, yaml.Unmarshal(raw, &file))
		require.NotEmpty(t, file.Tests)
		all = append(all, file.Tests...)
	}
	return all
}

func scenarioFiles(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root, "deploy/prometheus/tests/*.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	return paths
}

var (
	steps = regexp.MustCompile(`^(_|-?\d+)?([+-]\d+)?(?:x(\d+))?$`)
	pairs = regexp.MustCompile(`(\w+)="([^"]*)"`)
)

// expand returns the values that promtool's notation stands for; nil stands for a missing value.
func expand(t *testing.T, notation string) []*float64 {
	t.Helper()
	var all []*float64
	for _, word := range strings.Fields(notation) {
		parts := steps.FindStringSubmatch(word)
		require.NotNil(t, parts, word)
		times := 0
		if parts[3] != "" {
			times = number(t, parts[3])
		}
		if parts[1] == "_" {
			all = append(all, make([]*float64, max(times, 1))...)
			continue
		}
		first, step := number(t, parts[1]), 0
		if parts[2] != "" {
			step = number(t, parts[2])
		}
		for i := range times + 1 {
			value := float64(first + i*step)
			all = append(all, &value)
		}
	}
	return all
}

func number(t *testing.T, digits string) int {
	t.Helper()
	n, err := strconv.Atoi(digits)
	require.NoError(t, err)
	return n
}

// recorded gathers the values of a moment.
type recorded struct {
	names  []string
	labels [][]*dto.LabelPair
	values [][]*float64
	minute int
}

func record(t *testing.T, s scenario) *recorded {
	t.Helper()
	r := &recorded{}
	for _, series := range s.Series {
		name, rest, _ := strings.Cut(series.Series, "{")
		var labels []*dto.LabelPair
		for _, pair := range pairs.FindAllStringSubmatch(rest, -1) {
			labels = append(labels, &dto.LabelPair{Name: &pair[1], Value: &pair[2]})
		}
		r.names, r.labels, r.values = append(r.names, name), append(r.labels, labels), append(r.values, expand(t, series.Values))
	}
	return r
}

// Gather implements prometheus.Gatherer.
func (r *recorded) Gather() ([]*dto.MetricFamily, error) {
	byName := map[string]*dto.MetricFamily{}
	var all []*dto.MetricFamily
	for i, name := range r.names {
		if r.minute >= len(r.values[i]) || r.values[i][r.minute] == nil {
			continue
		}
		metric := &dto.Metric{Label: r.labels[i]}
		base := fill(metric, name, *r.values[i][r.minute])
		family := byName[base+name]
		if family == nil {
			family = &dto.MetricFamily{Name: &base}
			byName[base+name] = family
			all = append(all, family)
		}
		family.Metric = append(family.Metric, metric)
	}
	return merged(all), nil
}

// fill puts a value into a metric and returns the name of its family.
func fill(m *dto.Metric, name string, value float64) string {
	if base, ok := strings.CutSuffix(name, "_sum"); ok {
		m.Histogram = &dto.Histogram{SampleSum: &value}
		return base
	}
	if base, ok := strings.CutSuffix(name, "_count"); ok {
		count := uint64(value)
		m.Histogram = &dto.Histogram{SampleCount: &count}
		return base
	}
	if strings.HasSuffix(name, "_total") {
		m.Counter = &dto.Counter{Value: &value}
	} else {
		m.Gauge = &dto.Gauge{Value: &value}
	}
	return name
}

// merged joins the families of a histogram's sums and counts.
func merged(all []*dto.MetricFamily) []*dto.MetricFamily {
	byName := map[string]*dto.MetricFamily{}
	var out []*dto.MetricFamily
	for _, f := range all {
		if first := byName[f.GetName()]; first != nil {
			first.Metric = append(first.Metric, f.GetMetric()...)
			continue
		}
		byName[f.GetName()] = f
		out = append(out, f)
	}
	return out
}

// What Prometheus finds in a scenario, the evaluator finds in the same series: the same alerts, at the same minutes.
func TestEvaluatorAgreesWithPrometheus(t *testing.T) {
	inProcess := map[string]bool{}
	for _, r := range alert.Rules() {
		inProcess[r.Name] = r.PromQL == ""
	}
	for _, s := range scenarios(t) {
		t.Run(s.Name, func(t *testing.T) {
			firing := evaluate(t, s)
			for _, check := range s.Checks {
				at, err := time.ParseDuration(check.Time)
				require.NoError(t, err)
				if !inProcess[check.Alert] {
					continue
				}
				want := []string{}
				for _, e := range check.Expect {
					want = append(want, e.Annotations["summary"])
				}
				require.ElementsMatch(t, want, firing[int(at/time.Minute)][check.Alert], "%s at %s", check.Alert, check.Time)
			}
		})
	}
}

// evaluate returns the summaries of the alerts that fire at each minute, by rule.
func evaluate(t *testing.T, s scenario) map[int]map[string][]string {
	t.Helper()
	series := record(t, s)
	start := time.Date(2026, 11, 29, 8, 0, 0, 0, time.UTC)
	e, err := alert.NewEvaluator(alert.Options{
		Gatherer: series, Interval: time.Minute, Meter: noop.Meter{}, Now: func() time.Time { return start.Add(time.Duration(series.minute) * time.Minute) },
	})
	require.NoError(t, err)
	at := map[int]map[string][]string{}
	now := map[string]map[string]bool{}
	for last := s.last(t); series.minute <= last; series.minute++ {
		for _, c := range e.Evaluate() {
			if now[c.Rule.Name] == nil {
				now[c.Rule.Name] = map[string]bool{}
			}
			now[c.Rule.Name][c.Summary()] = c.Firing
		}
		at[series.minute] = map[string][]string{}
		for name, summaries := range now {
			for summary, firing := range summaries {
				if firing {
					at[series.minute][name] = append(at[series.minute][name], summary)
				}
			}
		}
	}
	return at
}
