package alert_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/trivet-dev/trivet/platform/alert"
	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/job"
)

// sharedLease is far longer than a busy machine stops a test.
const sharedLease = 5 * time.Second

// deadLetters are rows that all replicas see. When they are away, nothing is measured.
type deadLetters struct {
	atomic.Int64
	away    atomic.Bool
	gathers atomic.Int64
}

func (d *deadLetters) Gather() ([]*dto.MetricFamily, error) {
	defer d.gathers.Add(1)
	if d.away.Load() {
		return nil, errors.New("the count takes too long")
	}
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
	past atomic.Int64 // what the clock is ahead; a time.Duration
}

// pass has that time pass for the evaluations.
func (r *replicas) pass(d time.Duration) { r.past.Add(int64(d)) }

func (r *replicas) now() time.Time { return time.Now().Add(time.Duration(r.past.Load())) }

// replica is one of them.
type replica struct {
	*alert.Evaluator
	stop func()
}

func (r *replicas) start(number int) replica {
	r.Helper()
	return r.startWith(r.dead, func(_ context.Context, changes []alert.Change) {
		for _, c := range changes {
			r.told <- message{number, c}
		}
	})
}

func (r *replicas) startWith(gatherer prometheus.Gatherer, notify func(context.Context, []alert.Change), also ...func(context.Context)) replica {
	r.Helper()
	logger := slog.New(slog.DiscardHandler)
	e, err := alert.NewEvaluator(alert.Options{
		Gatherer: gatherer, Interval: time.Millisecond, Meter: noop.Meter{}, Logger: logger, Now: r.now, Notify: notify,
		Shared: alert.NewShared(alert.SharedOptions{Database: r.db, Logger: logger, Lease: sharedLease}),
	})
	require.NoError(r, err)
	ctx, cancel := context.WithCancel(r.Context())
	var running sync.WaitGroup
	for _, run := range append(also, e.Run) {
		running.Go(func() { run(ctx) })
	}
	stop := sync.OnceFunc(func() {
		cancel()
		running.Wait()
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

// evaluated waits until some evaluations began and were compared.
func (r *replicas) evaluated() {
	r.Helper()
	least := r.dead.gathers.Load() + 10
	require.Eventually(r, func() bool { return r.dead.gathers.Load() >= least }, time.Minute, time.Millisecond)
}

// saved waits until the database has what was told last: an alert, or none.
func (r *replicas) saved(firing bool) {
	r.Helper()
	r.stored("EventsDead", firing)
}

// unmeasured waits until the database has that nothing is measured of the alert, or that something is.
func (r *replicas) unmeasured(is bool) {
	r.Helper()
	r.stored("unmeasured", is)
}

func (r *replicas) stored(text string, is bool) {
	r.Helper()
	require.Eventually(r, func() bool {
		var progress []byte
		err := r.db.Read().QueryRowContext(r.Context(), "SELECT progress FROM job_lease WHERE name = 'alerts'").Scan(&progress)
		return err == nil && len(progress) > 0 && bytes.Contains(progress, []byte(text)) == is
	}, time.Minute, time.Millisecond)
}

// holder is who tells; "" for nobody.
func (r *replicas) holder() (id string) {
	_ = r.db.Read().QueryRowContext(r.Context(), "SELECT holder FROM job_lease WHERE name = 'alerts'").Scan(&id)
	return id
}

func eachReplicas(t *testing.T, test func(r *replicas)) {
	t.Helper()
	databasetest.Each(t, job.Migrations(), func(t *testing.T, db *database.DB) {
		test(&replicas{T: t, db: db, dead: &deadLetters{}, told: make(chan message, 100)})
	})
}

// TestWhatIsNotMeasuredIsNotResolved: a count that takes too long, or that a stopping process makes no more, says nothing about the rows.
func TestWhatIsNotMeasuredIsNotResolved(t *testing.T) {
	eachReplicas(t, func(r *replicas) {
		r.dead.Store(3)
		r.start(0)
		began := r.next(true).change
		r.dead.away.Store(true)
		r.evaluated()
		require.Empty(r, r.told)
		r.dead.away.Store(false)
		r.evaluated()
		require.Empty(r, r.told)
		r.dead.Store(0)
		require.True(r, began.Since.Equal(r.next(false).change.Since))
	})
}

// TestWhatIsNeverMeasuredAgainIsForgotten: a source that was removed has no gauge any more. After a day without it, the alert is resolved, by whichever
// replica tells then. A gauge that comes back in time begins the day anew.
func TestWhatIsNeverMeasuredAgainIsForgotten(t *testing.T) {
	eachReplicas(t, func(r *replicas) {
		r.dead.Store(3)
		first := r.start(0)
		began := r.next(true).change
		r.saved(true)
		r.dead.away.Store(true)
		r.unmeasured(true)
		r.pass(24*time.Hour - time.Minute)
		r.evaluated()
		require.Empty(r, r.told, "a minute is left")
		r.dead.away.Store(false)
		r.unmeasured(false)
		r.dead.away.Store(true)
		r.unmeasured(true)
		r.pass(24*time.Hour - time.Minute)
		r.evaluated()
		require.Empty(r, r.told, "it was measured in between")
		first.stop()
		r.start(1)
		r.evaluated()
		require.Empty(r, r.told, "a minute is left for the next replica")
		r.pass(2 * time.Minute)
		ended := r.next(false)
		require.Equal(r, 1, ended.from)
		require.True(r, began.Since.Equal(ended.change.Since))
		require.Nil(r, ended.change.Value)
		r.saved(false)
		r.dead.away.Store(false)
		r.next(true)
	})
}

// late gathers once and then waits.
type late struct {
	*deadLetters
	once        sync.Once
	found, wait chan struct{}
}

func (l *late) Gather() ([]*dto.MetricFamily, error) {
	first := false
	l.once.Do(func() { first = true })
	if first {
		defer close(l.found)
	} else {
		<-l.wait
	}
	return l.deadLetters.Gather()
}

// TestAReplicaThatTakesOverEvaluatesFirst: what it found before may be older than what another replica told.
func TestAReplicaThatTakesOverEvaluatesFirst(t *testing.T) {
	eachReplicas(t, func(r *replicas) {
		first := r.start(0)
		require.Eventually(r, func() bool { return r.holder() != "" }, time.Minute, time.Millisecond)
		l := &late{deadLetters: r.dead, found: make(chan struct{}), wait: make(chan struct{})}
		release := sync.OnceFunc(func() { close(l.wait) })
		r.startWith(l, func(_ context.Context, changes []alert.Change) {
			for _, c := range changes {
				r.told <- message{1, c}
			}
		})
		r.Cleanup(release)
		<-l.found
		r.dead.Store(3)
		r.next(true)
		r.saved(true)
		before := r.holder()
		first.stop()
		require.Eventually(r, func() bool { id := r.holder(); return id != "" && id != before }, time.Minute, time.Millisecond)
		release()
		r.evaluated()
		require.Empty(r, r.told, "it used what it had found before")
		r.dead.Store(0)
		require.Equal(r, 1, r.next(false).from)
	})
}

// transport answers the attempts of a Notifier.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestAMessageThatWasNotSentIsToldAgain: the queue of messages ends with its process. What was sent, or given up, is not told again.
func TestAMessageThatWasNotSentIsToldAgain(t *testing.T) {
	eachReplicas(t, func(r *replicas) {
		start := func(to transport) replica {
			n, err := alert.NewNotifier(alert.NotifierOptions{
				Receiver: slack(to), Meter: noop.Meter{}, Logger: slog.New(slog.DiscardHandler), Jitter: func(d time.Duration) time.Duration { return d },
			})
			require.NoError(r, err)
			return r.startWith(r.dead, n.Notify, n.Run)
		}
		attempts := make(chan string, 100)
		answering := func(status int) transport {
			return func(q *http.Request) (*http.Response, error) {
				body, err := io.ReadAll(q.Body)
				attempts <- string(body)
				return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody, Request: q}, err
			}
		}
		next := func(text string) {
			r.Helper()
			select {
			case body := <-attempts:
				require.Contains(r, body, text)
			case <-time.After(time.Minute):
				require.Fail(r, "nothing is sent")
			}
		}
		r.dead.Store(3)
		hanging := start(func(q *http.Request) (*http.Response, error) {
			attempts <- "hangs"
			<-q.Context().Done()
			return nil, q.Context().Err()
		})
		next("hangs")
		hanging.stop()
		sending := start(answering(http.StatusOK))
		next("[FIRING] EventsDead")
		r.saved(true)
		r.evaluated()
		sending.stop()
		gone := start(answering(http.StatusNotFound))
		r.evaluated()
		r.dead.Store(0)
		next("[RESOLVED] EventsDead")
		r.saved(false)
		gone.stop()
		last := start(answering(http.StatusOK))
		r.dead.Store(3)
		next("[FIRING] EventsDead")
		last.stop()
		require.Empty(r, attempts)
	})
}

// TestADatabaseThatFailsRepeatsNoMessage: what was told is stored when the database is back.
func TestADatabaseThatFailsRepeatsNoMessage(t *testing.T) {
	eachReplicas(t, func(r *replicas) {
		rename := func(from, to string) {
			require.NoError(r, r.db.Write(r.Context(), "test", func(ctx context.Context, tx database.Tx) error {
				_, err := tx.ExecContext(ctx, "ALTER TABLE "+from+" RENAME TO "+to)
				return err
			}))
		}
		first := r.start(0)
		require.Eventually(r, func() bool { return r.holder() != "" }, time.Minute, time.Millisecond)
		rename("job_lease", "away")
		r.dead.Store(3)
		r.next(true)
		r.evaluated()
		rename("away", "job_lease")
		r.saved(true)
		first.stop()
		r.start(1)
		r.evaluated()
		r.dead.Store(0)
		require.Equal(r, 1, r.next(false).from)
		require.Empty(r, r.told)
	})
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
