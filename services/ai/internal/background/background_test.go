package background_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/services/ai/internal/background"
	"github.com/trivet-dev/trivet/services/ai/internal/billingtest"
	"github.com/trivet-dev/trivet/services/ai/internal/hold"
	"github.com/trivet-dev/trivet/services/ai/internal/invoke"
	"github.com/trivet-dev/trivet/services/ai/internal/store"
	"github.com/trivet-dev/trivet/services/ai/internal/stored"
	"github.com/trivet-dev/trivet/services/ai/internal/tokens"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// provider answers each question for a response with its number of output tokens, once it was asked often enough.
type provider struct {
	mu     sync.Mutex
	asked  map[string]int
	output map[string]int64
	after  map[string]int
	// before is called before each answer; its error is that of the request.
	before func(ctx context.Context, id string) error
	// unknown lets it know no response any more.
	unknown bool
}

func (p *provider) Redact(text string) string { return text }

func (p *provider) Do(ctx context.Context, q *invoke.Query, x invoke.Exchange) error {
	id := strings.TrimPrefix(q.Path, "responses/")
	if p.before != nil {
		if err := p.before(ctx, id); err != nil {
			return err
		}
	}
	p.mu.Lock()
	p.asked[id]++
	body := fmt.Sprintf(`{"id":%q,"status":"in_progress","output":[],"usage":null}`, id)
	if p.asked[id] > p.after[id] {
		n := p.output[id]
		body = fmt.Sprintf(`{"id":%q,"status":"completed","output":[],"usage":{"input_tokens":10,"output_tokens":%d,"total_tokens":%d}}`, id, n, n+10)
	}
	code := http.StatusOK
	if p.unknown {
		code = http.StatusNotFound
	}
	p.mu.Unlock()
	return x.Take(&invoke.Answer{Status: code, Headers: map[string]string{}, Length: -1, Body: io.NopCloser(strings.NewReader(body))})
}

type healthy struct{}

func (healthy) Good() {}
func (healthy) Bad()  {}

// recorder counts by model, and by status.
type recorder struct{ calls, settled atomic.Int64 }

func (r *recorder) Call(context.Context, string, hold.Final)          { r.calls.Add(1) }
func (r *recorder) Unreported(context.Context, string)                {}
func (r *recorder) Excess(context.Context, string, tokens.Usage)      {}
func (r *recorder) FirstToken(context.Context, string, time.Duration) {}
func (r *recorder) FellBack(context.Context, string, string)          {}
func (r *recorder) Cut(context.Context, string, string)               {}
func (r *recorder) Background(_ context.Context, _ string)            { r.settled.Add(1) }
func quiet() *slog.Logger                                             { return slog.New(slog.DiscardHandler) }
func keep(context.Context, *stored.Running, invoke.Kept) error        { return nil }
func cost(t *testing.T, m models.Model, output int64) (nanoUSD int64) {
	t.Helper()
	nanoUSD, err := m.Cost(10, 0, output)
	require.NoError(t, err)
	return nanoUSD
}

// world is a database, a provider and a billing, with any number of processes.
type world struct {
	*testing.T
	rows     *store.Store
	provider *provider
	billing  *billingtest.Fake
	list     *models.List
	model    models.Model
	counts   *recorder
	now      atomic.Int64
}

func newWorld(t *testing.T, db *database.DB) *world {
	t.Helper()
	list, err := models.Default()
	require.NoError(t, err)
	model, err := list.Get("gpt-4o-mini")
	require.NoError(t, err)
	w := &world{
		T: t, rows: store.New(db), provider: &provider{asked: map[string]int{}, output: map[string]int64{}, after: map[string]int{}},
		billing: billingtest.New(list, billingtest.Unlimited), list: list, model: model, counts: &recorder{},
	}
	w.now.Store(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC).UnixNano())
	return w
}

func (w *world) clock() time.Time     { return time.Unix(0, w.now.Load()) }
func (w *world) pass(d time.Duration) { w.now.Add(int64(d)) }

// process returns the runner of another process.
func (w *world) process(rows stored.Background) *background.Runner {
	keeper := hold.NewKeeper(w.billing, quiet(), w.clock)
	invoker := invoke.New(invoke.Deps{
		Models: w.list, Keeper: keeper, Targets: w.provider, Health: healthy{}, Counter: tokens.NewCounter(), Recorder: w.counts, Logger: quiet(), Now: w.clock,
	})
	return background.New(background.Options{
		Invoker: invoker, Store: rows, Keep: keep, Recorder: w.counts, MaxAge: 2 * time.Hour, Logger: quiet(), Now: w.clock,
	})
}

// begin has a response run that the provider ends after so many questions.
func (w *world) begin(id string, output int64, after int) {
	w.Helper()
	w.provider.output[id], w.provider.after[id] = output, after
	res, err := w.billing.Reserve(w.Context(), &billingv1.ReserveRequest{
		RequestId: id, AccountId: "acct", Model: w.model.ID, InputTokens: 1000, MaxOutputTokens: 1000, Choices: 1,
	})
	require.NoError(w, err)
	terms, err := json.Marshal(map[string]any{"model": w.model, "input": 1000, "output": 1000, "likely": 12})
	require.NoError(w, err)
	running := stored.Running{
		ID: id, Account: "acct", User: "user", Model: w.model.ID, Target: "t", Hold: res.GetHoldId(), Terms: terms, Created: w.clock(), Polled: w.clock(),
	}
	owner := stored.Response{ID: id, Account: "acct", User: "user", Model: w.model.ID, Target: "t"}
	require.NoError(w, w.rows.PutRunning(w.Context(), owner, running, w.clock().Add(1000*time.Hour)))
}

// billed requires that every hold was charged what the provider reported.
func (w *world) billed() {
	w.Helper()
	backlog, err := w.rows.Backlog(w.Context())
	require.NoError(w, err)
	require.Zero(w, backlog.Running)
	require.Zero(w, w.billing.Held())
	var sum int64
	for _, h := range w.billing.Holds() {
		want := cost(w.T, w.model, w.provider.output[h.Request.GetRequestId()])
		require.Equal(w, want, h.Cost, h.ID)
		sum += want
	}
	require.Equal(w, billingtest.Unlimited-sum, w.billing.Balance(), "once")
	require.EqualValues(w, len(w.billing.Holds()), w.counts.calls.Load(), "each is counted once")
	require.Equal(w, w.counts.calls.Load(), w.counts.settled.Load())
}

func each(t *testing.T, test func(w *world)) {
	t.Helper()
	databasetest.Each(t, store.Migrations(), func(t *testing.T, db *database.DB) { test(newWorld(t, db)) })
}

var errKilled = errors.New("the process was killed")

// forgetful is a store of a process that dies after it has settled a response.
type forgetful struct {
	stored.Background
	dies *atomic.Int64
}

func (f forgetful) Settled(ctx context.Context, id string) (bool, error) {
	if f.dies.Add(-1) >= 0 {
		return false, errKilled
	}
	return f.Background.Settled(ctx, id)
}

// Several processes ask for many responses while some of them die at any point; each response is charged what the provider reported, once.
func TestManyProcessesSettleEachResponseOnce(t *testing.T) {
	each(t, func(w *world) {
		const responses, processes = 40, 3
		random := rand.New(rand.NewPCG(1, 2))
		for i := range responses {
			w.begin(fmt.Sprintf("resp_%d", i), 1+random.Int64N(900), random.IntN(4))
		}
		var kills, dies atomic.Int64
		kills.Store(15)
		dies.Store(7)
		w.provider.before = func(context.Context, string) error {
			if kills.Add(-1) >= 0 {
				return errKilled
			}
			return nil
		}
		for round := 0; ; round++ {
			require.Less(w, round, 200)
			var all sync.WaitGroup
			for range processes {
				runner := w.process(forgetful{w.rows, &dies})
				all.Go(func() { background.Look(w.Context(), runner) })
			}
			all.Wait()
			backlog, err := w.rows.Backlog(w.Context())
			require.NoError(w, err)
			if backlog.Running == 0 {
				break
			}
			w.pass(20 * time.Second)
		}
		w.billed()
	})
}

// A process that hangs at the provider loses its response to another one after its lease. When it wakes up, it changes nothing.
func TestALeaseThatIsLostInTheMiddle(t *testing.T) {
	each(t, func(w *world) {
		w.begin("resp_1", 321, 0)
		hangs, wake := make(chan struct{}), make(chan struct{})
		var first atomic.Bool
		w.provider.before = func(context.Context, string) error {
			if first.CompareAndSwap(false, true) {
				close(hangs)
				<-wake
			}
			return nil
		}
		var slow sync.WaitGroup
		slow.Go(func() { background.Look(w.Context(), w.process(w.rows)) })
		<-hangs
		other := w.process(w.rows)
		w.pass(time.Minute)
		background.Look(w.Context(), other)
		require.Positive(w, w.billing.Held(), "the first one has the lease")
		w.pass(2 * time.Minute)
		background.Look(w.Context(), other)
		w.billed()
		close(wake)
		slow.Wait()
		w.billed()
	})
}

// A provider that hangs keeps no hold from being extended, also when more responses wait than are asked for at once.
func TestHoldsAreExtendedWhileAProviderHangs(t *testing.T) {
	w := newWorld(t, databasetest.SQLite(t, store.Migrations()))
	const responses = 100 // more than are asked for at once
	for i := range responses {
		w.begin(fmt.Sprintf("resp_%d", i), 5, 0)
	}
	w.provider.before = func(ctx context.Context, _ string) error {
		<-ctx.Done()
		return ctx.Err()
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { w.process(w.rows).Run(ctx) })
	require.Eventually(t, func() bool {
		extended := map[string]bool{}
		for _, c := range w.billing.Checkpoints() {
			extended[c.GetHoldId()] = true
		}
		return len(extended) == responses
	}, time.Minute, 10*time.Millisecond)
	stop()
	running.Wait()
	w.provider.before = nil
	w.pass(time.Hour)
	background.Look(w.Context(), w.process(w.rows))
	w.billed()
}

// The hold of a response that takes long is extended with each question, so that nobody sweeps it.
func TestTheHoldIsExtendedUntilTheEnd(t *testing.T) {
	each(t, func(w *world) {
		w.begin("resp_1", 5, 150)
		runner := w.process(w.rows)
		for range 500 {
			background.Look(w.Context(), runner)
			w.pass(5 * time.Second)
		}
		w.billed()
		checkpoints := w.billing.Checkpoints()
		require.Len(w, checkpoints, 151, "one for each question")
		require.EqualValues(w, 1000, checkpoints[0].GetUsage().GetOutputTokens(), "at the bound")
		require.Equal(w, 151, w.provider.asked["resp_1"], "every 15 seconds at the most")
	})
}
