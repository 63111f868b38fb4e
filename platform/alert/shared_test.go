package alert_test

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/trivet-dev/trivet/platform/alert"
	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/job"
)

// deadLetters are rows that all replicas see.
type deadLetters struct{ atomic.Int64 }

func (d *deadLetters) Gather() ([]*dto.MetricFamily, error) {
	name, labels, values := "trivet_inbox_events", []string{"source", "state"}, []string{"stripe", "dead"}
	count := float64(d.Load())
	return []*dto.MetricFamily{{Name: &name, Metric: []*dto.Metric{{
		Label: []*dto.LabelPair{{Name: &labels[0], Value: &values[0]}, {Name: &labels[1], Value: &values[1]}}, Gauge: &dto.Gauge{Value: &count},
	}}}}, nil
}

// message is a change and the replica that sent it.
type message struct {
	from   int
	change alert.Change
}

// replicas are processes that watch the same rows.
type replicas struct {
	*testing.T
	db   *database.DB
	dead *deadLetters
	told chan message
}

// replica is one of them.
type replica struct {
	*alert.Evaluator
	stop func()
}

func (r *replicas) start(number int) replica {
	r.Helper()
	logger := slog.New(slog.DiscardHandler)
	e, err := alert.NewEvaluator(alert.Options{
		Gatherer: r.dead, Interval: time.Millisecond, Meter: noop.Meter{}, Logger: logger, Now: time.Now,
		Shared: alert.NewShared(alert.SharedOptions{Database: r.db, Logger: logger, Lease: 300 * time.Millisecond}),
		Notify: func(_ context.Context, changes []alert.Change) {
			for _, c := range changes {
				r.told <- message{number, c}
			}
		},
	})
	require.NoError(r, err)
	ctx, cancel := context.WithCancel(r.Context())
	ended := make(chan struct{})
	go func() {
		e.Run(ctx)
		close(ended)
	}()
	stop := sync.OnceFunc(func() {
		cancel()
		<-ended
	})
	r.Cleanup(stop)
	return replica{e, stop}
}

// next is the next message. None follows it while the rows stay as they are: each later call would return a message that is one too many.
func (r *replicas) next(firing bool) message {
	r.Helper()
	select {
	case m := <-r.told:
		require.Equal(r, "EventsDead", m.change.Rule.Name)
		require.Equal(r, map[string]string{"source": "stripe"}, m.change.Labels)
		require.Equal(r, firing, m.change.Firing)
		return m
	case <-time.After(time.Minute):
		require.Fail(r, "nobody tells of the change")
		return message{}
	}
}

// TestReplicasTellOnceOfWhatTheyShare: of several replicas one tells of each change. When it stops while the alert fires, another one neither tells of it
// again nor forgets to tell of its end, also when it ended while no replica ran.
func TestReplicasTellOnceOfWhatTheyShare(t *testing.T) {
	databasetest.Each(t, job.Migrations(), func(t *testing.T, db *database.DB) {
		r := &replicas{T: t, db: db, dead: &deadLetters{}, told: make(chan message, 100)}
		all := []replica{r.start(0), r.start(1), r.start(2)}
		for range 5 {
			r.dead.Store(3)
			first := r.next(true)
			require.InDelta(t, 3, *first.change.Value, 0)
			r.dead.Store(0)
			require.True(t, first.change.Since.Equal(r.next(false).change.Since), "the end has the beginning of the alert")
		}
		r.dead.Store(1)
		teller := r.next(true).from
		all[teller].stop()
		r.dead.Store(0)
		require.NotEqual(t, teller, r.next(false).from)
		r.dead.Store(1)
		began := r.next(true).change
		for _, each := range all {
			each.stop()
		}
		r.dead.Store(0)
		again := r.start(3)
		require.True(t, began.Since.Equal(r.next(false).change.Since))
		again.stop()
		require.Empty(t, r.told)
	})
}

// TestRulesThatReplicasShare: the other rules are about one process.
func TestRulesThatReplicasShare(t *testing.T) {
	var shared []string
	for _, rule := range alert.Rules() {
		if rule.Shared {
			shared = append(shared, rule.Name)
		}
	}
	require.Equal(t, []string{"EventsOld", "EventsDead", "HoldsOld"}, shared)
}
