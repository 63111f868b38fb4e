package alert_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/trivet-dev/trivet/platform/alert"
	"github.com/trivet-dev/trivet/platform/platformtest"
)

// counters are the values of one counter by label; a test changes them.
type counters map[string]float64

func (c counters) Gather() ([]*dto.MetricFamily, error) {
	return webhooks(c), errors.New("another collector failed")
}

func webhooks(c counters) []*dto.MetricFamily {
	name := "trivet_webhooks_total"
	family := &dto.MetricFamily{Name: &name}
	for source, value := range c {
		source, outcome, names := source, "stale", []string{"source", "outcome"}
		family.Metric = append(family.Metric, &dto.Metric{
			Label:   []*dto.LabelPair{{Name: &names[0], Value: &source}, {Name: &names[1], Value: &outcome}},
			Counter: &dto.Counter{Value: &value},
		})
	}
	return []*dto.MetricFamily{family}
}

// A change of state is logged and told once, however long the condition holds. Run ends with its context.
func TestEachChangeIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log platformtest.Log
		var mu sync.Mutex // the race detector knows no order between sleepers
		var told []alert.Change
		values := counters{"stripe": 0}
		e, err := alert.NewEvaluator(alert.Options{
			Gatherer: prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
				mu.Lock()
				defer mu.Unlock()
				return values.Gather()
			}), Interval: time.Minute, Meter: noop.Meter{}, Logger: slog.New(slog.NewTextHandler(&log, nil)), Now: time.Now,
			Notify: func(_ context.Context, changes []alert.Change) {
				mu.Lock()
				defer mu.Unlock()
				told = append(told, changes...)
			},
		})
		require.NoError(t, err)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			e.Run(ctx)
			close(ended)
		}()
		time.Sleep(90 * time.Second)
		mu.Lock()
		values["stripe"] = 11
		mu.Unlock()
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		require.Len(t, told, 1)
		require.True(t, told[0].Firing)
		require.Equal(t, map[string]string{"source": "stripe"}, told[0].Labels)
		require.Equal(t, 1, strings.Count(log.String(), `msg="alert fires" alert=WebhookFailures severity=ticket`))
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Len(t, told, 2)
		require.False(t, told[1].Firing)
		require.Equal(t, told[0].Since, told[1].Since)
		require.Equal(t, 1, strings.Count(log.String(), `level=INFO msg="alert resolved"`))
		require.Equal(t, 2, strings.Count(log.String(), "\n"), log.String())
		stop()
		<-ended
	})
}

// A counter that cannot be read for one evaluation has not lost what it counted: nothing fires when that evaluation is where a window
// begins, whether the whole family, a group or one series of a group was missing.
func TestMissingSeriesCountAsUnchanged(t *testing.T) {
	all := counters{"stripe": 500, "clerk": 300}
	for name, gap := range map[string]counters{
		"the family": {}, "a group": {"clerk": 300}, "a part of a group": {"stripe": 100, "clerk": 300},
	} {
		t.Run(name, func(t *testing.T) {
			values := counters{}
			e, err := alert.NewEvaluator(alert.Options{Gatherer: values, Interval: time.Minute, Meter: noop.Meter{}, Now: time.Now})
			require.NoError(t, err)
			set := func(to counters) []alert.Change {
				clear(values)
				maps.Copy(values, to)
				return e.Evaluate()
			}
			require.Len(t, set(all), 2, "what was counted since the start counts")
			for range 60 {
				set(all)
			}
			require.Empty(t, set(gap))
			for range 120 {
				require.Empty(t, set(all))
			}
			require.Len(t, set(counters{"stripe": 511, "clerk": 300}), 1, "what is counted afterwards counts")
		})
	}
}

// The metric trivet_alerts_firing counts what fires, by rule, and shows 0 for what does not.
func TestFiringAlertsAreAMetric(t *testing.T) {
	values := counters{"stripe": 11, "clerk": 12}
	registry, meter := meters(t)
	e, err := alert.NewEvaluator(alert.Options{Gatherer: values, Interval: time.Minute, Meter: meter, Now: time.Now})
	require.NoError(t, err)
	require.Len(t, e.Evaluate(), 2)
	firing := map[string]float64{}
	for _, m := range family(t, registry, "trivet_alerts_firing") {
		firing[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
	}
	require.InDelta(t, 2, firing["WebhookFailures"], 0)
	require.Contains(t, firing, "IntegrationDown")
	require.InDelta(t, 0, firing["IntegrationDown"], 0)
}

func family(t *testing.T, from prometheus.Gatherer, name string) []*dto.Metric {
	t.Helper()
	all, err := from.Gather()
	require.NoError(t, err)
	for _, f := range all {
		if f.GetName() == name {
			return f.GetMetric()
		}
	}
	return nil
}

func TestIntervalMustBePositive(t *testing.T) {
	_, err := alert.NewEvaluator(alert.Options{Gatherer: counters{}, Meter: noop.Meter{}})
	require.ErrorContains(t, err, "Interval")
}
