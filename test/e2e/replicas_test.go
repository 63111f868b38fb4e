package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/redistest"
	standin "github.com/trivet-dev/trivet/sandbox"
)

const (
	question = `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hi"}]}`
	// perService is how many replicas of each service run.
	perService = 3
	// frozen is for how long a replica is stopped as a whole, longer than others wait for it.
	frozen = 4 * time.Second
)

// replicated is an installation with several processes of each service, on one PostgreSQL and one Redis.
type replicated struct {
	*installation
	audit    audit
	witness  *witness
	edges    []string
	replicas []*replica
	dice     *rand.Rand
}

// replica is one replica, which is started again after it was killed.
type replica struct {
	*program
	ops string
}

// TestReplicas runs three replicas of each service under load, and kills or freezes one after another at random. Nobody may be refused
// wrongly, every call is billed once and as the provider counted, and no event may be lost. The short form runs for some seconds, the
// long one (make test-replicas) for minutes.
func TestReplicas(t *testing.T) {
	rounds := 4
	if os.Getenv("TRIVET_FAULTS") != "" {
		rounds = 40
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := newReplicated(t, rand.New(rand.NewPCG(seed, 0)))
	r.limitsAreShared()
	r.audit.keep()

	load := r.startLoad()
	for round := range rounds {
		r.disturb(load, round%2 == 1)
	}
	load.stop(t)
	r.audit.awaitDrained()
	r.check(load)
	r.revocationsReachAll()
	out, err := r.operate("reconcile")
	require.NoError(t, err, out)
	r.checkReconciled("clerk")
	r.checkReconciled("stripe")
	r.verifyLedger()
}

func newReplicated(t *testing.T, dice *rand.Rand) *replicated {
	t.Helper()
	dir, err := programs()
	require.NoError(t, err)
	made, err := exec.Command(filepath.Join(dir, "trivet"), "keys").Output()
	require.NoError(t, err)
	url := databasetest.PostgresURL(t)
	r := &replicated{
		installation: &installation{t: t, log: &logFile{}}, audit: audit{t: t, url: url}, dice: dice,
	}
	names := []string{"auth", "ai", "billing", "gateway"}
	p := ports(t, 1+2*perService*len(names))
	of := func(service, i int) (grpc, ops string) {
		at := 1 + 2*(service*perService+i)
		return p[at], p[at+1]
	}
	lists := make([][]string, len(names))
	for s := range names {
		for i := range perService {
			grpc, _ := of(s, i)
			lists[s] = append(lists[s], grpc)
		}
	}
	for _, at := range lists[3] {
		r.edges = append(r.edges, "http://"+at)
	}
	r.edge, r.sandbox = r.edges[0], "http://"+p[0]
	r.grpc = []string{"TRIVET_AUTH_ADDR=" + strings.Join(lists[0], ","), "TRIVET_BILLING_ADDR=" + strings.Join(lists[2], ",")}
	r.start("trivet", []string{"sandbox"}, []string{"TRIVET_SANDBOX_ADDR=" + p[0], "TRIVET_SANDBOX_PACE=0s", "TRIVET_DATA_DIR=" + t.TempDir(), "TRIVET_SANDBOX_EDGE_URL=" + r.edge})
	r.await(r.sandbox + "/healthz")
	var provider string
	r.witness, provider = newWitness(t, r.sandbox)
	common := append([]string{
		"TRIVET_AI_ADDR=" + strings.Join(lists[1], ","), "DATABASE_URL=" + url, "DATABASE_READ_CONNECTIONS=5", "DATABASE_WRITE_CONNECTIONS=2",
		"REDIS_URL=" + redistest.New(t).URL(), "LOG_LEVEL=warn", "CLERK_ISSUER=" + r.issuer(), "DEFAULT_PLAN=unlimited", "TRIVET_OPERATORS=user_operator",
		"BILLING_HOLD_LEASE=10s", "BILLING_SWEEP_INTERVAL=500ms",
		"CLERK_SECRET_KEY=" + standin.ClerkSecretKey, "CLERK_API_URL=" + r.sandbox + "/clerk/v1", "CLERK_WEBHOOK_SECRET=" + standin.ClerkWebhookSecret,
		"OPENAI_API_KEY=" + standin.OpenAIKey, "OPENAI_BASE_URL=" + provider + "/openai/v1",
		"STRIPE_SECRET_KEY=" + standin.StripeSecretKey, "STRIPE_API_URL=" + r.sandbox + "/stripe", "STRIPE_WEBHOOK_SECRET=" + standin.StripeWebhookSecret,
		"STRIPE_READS_PER_SECOND=10000",
	}, append(withoutProbes(), r.grpc...)...)
	for line := range strings.Lines(string(made)) {
		if !strings.HasPrefix(line, "#") {
			common = append(common, strings.TrimSpace(line))
		}
	}
	for _, name := range names[:3] {
		r.once(name, []string{"migrate"}, append(common, "TRIVET_GRPC_ADDR=127.0.0.1:0", "TRIVET_OPS_ADDR=127.0.0.1:0"))
	}
	for s, name := range names {
		for i := range perService {
			grpc, ops := of(s, i)
			where := "TRIVET_GRPC_ADDR=" + grpc
			if name == "gateway" {
				where = "TRIVET_HTTP_ADDR=" + grpc
			}
			started := r.start(name, nil, append(append([]string{}, common...), where, "TRIVET_OPS_ADDR="+ops))
			r.replicas = append(r.replicas, &replica{program: started, ops: "http://" + ops})
			r.ops = append(r.ops, "http://"+ops)
		}
	}
	r.awaitReady()
	return r
}

// disturb kills or freezes one replica, and waits until it is back.
func (r *replicated) disturb(load *replicaLoad, freeze bool) {
	r.t.Helper()
	victim := r.replicas[r.dice.IntN(len(r.replicas))]
	if freeze {
		victim = r.replicas[r.dice.IntN(len(r.replicas)-perService)] // no gateway: it is the load balancer before them that leaves one
		load.freezes++
		require.NoError(r.t, victim.Process.Signal(syscall.SIGSTOP))
		r.leasesAreShort()
		time.Sleep(frozen)
		require.NoError(r.t, victim.Process.Signal(syscall.SIGCONT))
	} else {
		load.kills++
		if victim.name == "ai" {
			load.aiKills++
		}
		victim.kill()
		time.Sleep(500 * time.Millisecond) // others work meanwhile
		victim.program = r.start(victim.name, victim.Args[1:], victim.Env)
	}
	r.await(victim.ops + "/readyz")
	time.Sleep(time.Second)
}

// replicaLoad is what callers and providers do meanwhile.
type replicaLoad struct {
	kills, freezes int
	aiKills        int // of kills

	cancel   context.CancelFunc
	running  sync.WaitGroup
	failures chan error
	limited  *caller // one of the callers, whose key has a limit of a day
	keys     revocations
	sessions revocations
	senders  []*sender
	callers  []*caller
	before   upstream
}

// caller is one person who calls the model through all gateways in turn.
type caller struct {
	in           *replicated
	token        string
	key          string           // sent in place of the token, which reads the account
	limit        int64            // of the key
	since        time.Time        // when the key was made
	limited      int64            // requests that it refused
	answers      map[string]int64 // costs of the calls with a whole answer, by the answer's id
	interrupted  int64            // requests without an answer, or with one that says to try again
	refused      []string
	slowest      time.Duration
	calls, reads int64
}

func (r *replicated) startLoad() *replicaLoad {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	r.witness.forget()
	l := &replicaLoad{cancel: cancel, failures: make(chan error, 100), before: r.upstream()}
	for n := range 6 {
		c := &caller{in: r, answers: map[string]int64{}, token: r.token(fmt.Sprintf("user_caller_%d", n), map[string]any{"ttl": "1h"})}
		l.callers = append(l.callers, c)
		l.running.Go(func() { c.run(ctx) })
	}
	l.limited = r.newLimited(r.token("user_caller_limited", map[string]any{"ttl": "1h"}))
	l.callers = append(l.callers, l.limited)
	l.running.Go(func() { l.limited.run(ctx) })
	owner := r.token("user_revoker", map[string]any{"ttl": "1h"})
	l.running.Go(func() { r.revoke(ctx, l, &l.keys, func(int) (revocable, error) { return r.newRevocableKey(owner) }) })
	l.running.Go(func() { r.revoke(ctx, l, &l.sessions, r.newRevocableSession) })
	w := newEventMaker(r.installation)
	enough := make(chan struct{})
	context.AfterFunc(ctx, func() { close(enough) })
	for _, edge := range r.edges {
		c := newSender(edge)
		l.senders = append(l.senders, c)
		for _, source := range []string{"clerk", "stripe"} {
			l.running.Go(func() {
				deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Minute)
				defer cancel()
				if err := w.flowSlowly(deadline, c, source, enough); err != nil {
					l.failures <- err
				}
			})
		}
	}
	return l
}

// flowSlowly is flow with a pause between events, so that they leave calls some room.
func (w *eventMaker) flowSlowly(ctx context.Context, c *sender, source string, enough <-chan struct{}) error {
	for {
		select {
		case <-enough:
			return nil
		case <-time.After(100 * time.Millisecond):
		}
		l, err := w.write(source)
		if err != nil {
			return err
		}
		if err := c.deliver(ctx, l); err != nil {
			return err
		}
	}
}

func (l *replicaLoad) stop(t *testing.T) {
	t.Helper()
	l.cancel()
	l.running.Wait()
	close(l.failures)
	for err := range l.failures {
		require.NoError(t, err)
	}
}

// run calls until ctx ends; a call that has begun is finished.
func (c *caller) run(ctx context.Context) {
	client := &http.Client{Timeout: 20 * time.Second}
	defer client.CloseIdleConnections()
	for n := 0; ctx.Err() == nil; n++ {
		begun := time.Now()
		if n%4 == 3 && c.limit == 0 {
			c.reads++
			c.call(client, n, http.MethodGet, "/api/v1/billing/account", "", nil)
		} else {
			c.calls++
			var got struct {
				ID    string
				Usage openAIUsage
			}
			if c.call(client, n, http.MethodPost, "/v1/chat/completions", question, &got) {
				c.answers[got.ID] = got.Usage.price(c.in.t, model)
			}
		}
		c.slowest = max(c.slowest, time.Since(begun))
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// send makes one request through the nth gateway, or the next one that listens, as a load balancer does.
func (c *caller) send(client *http.Client, n int, method, path, body string) (response *http.Response, err error) {
	for range c.in.edges {
		request, failed := http.NewRequest(method, c.in.edges[n%len(c.in.edges)]+path, strings.NewReader(body)) //nolint:noctx // a call that has begun is finished
		if failed != nil {
			return nil, failed
		}
		request.Header.Set("Authorization", "Bearer "+cmp.Or(c.key, c.token))
		request.Header.Set("Content-Type", "application/json")
		if response, err = client.Do(request); !errors.Is(err, syscall.ECONNREFUSED) {
			return response, err
		}
		n++
	}
	return nil, err
}

// call makes one request, and reports whether it was answered.
func (c *caller) call(client *http.Client, n int, method, path, body string, into any) bool {
	response, err := c.send(client, n, method, path, body)
	if err != nil {
		c.interrupted++
		return false
	}
	defer func() { _ = response.Body.Close() }()
	raw, err := io.ReadAll(response.Body)
	switch {
	case err != nil, response.StatusCode >= 500:
		c.interrupted++
		return false
	case c.limit > 0 && response.StatusCode == http.StatusTooManyRequests:
		c.limited++
		return false
	case response.StatusCode != http.StatusOK:
		c.refused = append(c.refused, fmt.Sprintf("%d %s", response.StatusCode, raw))
		return false
	case into != nil:
		if err := json.Unmarshal(raw, into); err != nil {
			c.refused = append(c.refused, err.Error())
			return false
		}
	}
	return true
}

// check compares what callers got with the ledger and with the provider, and what was acknowledged with the inboxes.
func (r *replicated) check(l *replicaLoad) {
	r.t.Helper()
	billed := r.checkLedger(l)
	var answered, interrupted, calls, reads int64
	var slowest time.Duration
	var refused []string
	for _, c := range l.callers {
		answered, interrupted, calls, reads = answered+int64(len(c.answers)), interrupted+c.interrupted, calls+c.calls, reads+c.reads
		refused, slowest = append(refused, c.refused...), max(slowest, c.slowest)
	}
	provider := r.upstream()
	made := provider.Calls - l.before.Calls
	cost := price(r.t, model, provider.PromptTokens-l.before.PromptTokens, 0, provider.CompletionTokens-l.before.CompletionTokens)
	events := 0
	for _, s := range []struct{ service, source string }{{"auth", "clerk"}, {"billing", "stripe"}} {
		sent := map[string]bool{}
		for _, c := range l.senders {
			for id := range c.acknowledged[s.source] {
				sent[id] = true
			}
		}
		events += len(sent)
		db, end := r.audit.open(s.service)
		r.audit.checkInbox(db, s.source, sent) // fails for each that is lost
		end()
	}
	r.t.Logf("%d kills, %d freezes; %d calls and %d reads: %d calls answered, %d requests wrongly refused, %d interrupted; slowest %s",
		l.kills, l.freezes, calls, reads, answered, len(refused), interrupted, slowest.Round(time.Millisecond))
	r.t.Logf("provider: %d calls for %d nano-dollars; ledger: %d records of %d, %d without an answer; events: %d acknowledged, 0 lost",
		made, cost, billed.records, billed.cost, len(billed.without), events)
	require.Empty(r.t, refused)
	require.Positive(r.t, answered)
	r.checkLimit(l)
	r.t.Logf("revoked, and refused by all gateways from then on: %d keys, the slowest after %s; %d sessions, the slowest after %s",
		l.keys.count, l.keys.slowest.Round(time.Millisecond), l.sessions.count, l.sessions.slowest.Round(time.Millisecond))
	require.Positive(r.t, l.keys.count)
	require.Positive(r.t, l.sessions.count)
	r.checkTotals(l, billed, made, cost)
	require.LessOrEqual(r.t, interrupted, int64((l.kills+l.freezes)*len(l.callers)), "each kill or freeze ends the calls of one process at most")
}

// limitsAreShared checks that the replicas of ai count the limit of a key together. On a machine that is too busy for the time that they
// give Redis they count alone for some seconds, so it looks again with another key then.
func (r *replicated) limitsAreShared() {
	r.t.Helper()
	const limit, attempts = 10, 4
	var passed int64
	for range attempts {
		passed = r.passOf(limit)
		require.GreaterOrEqual(r.t, passed, int64(limit))
		if passed <= 2*limit { // a minute may have begun in between
			return
		}
		time.Sleep(6 * time.Second)
	}
	require.Fail(r.t, "the replicas count alone", "%d calls pass a limit of %d", passed, limit)
}

// passOf counts the calls at once that a new key with a limit lets pass.
func (r *replicated) passOf(limit int) int64 {
	r.t.Helper()
	const calls = 90
	var made struct{ Secret string }
	r.post("/api/v1/apiKeys", r.token("user_limited", nil), fmt.Sprintf(`{"name":"limited","requestsPerMinute":%d}`, limit), &made)
	var passed, limited atomic.Int64
	var all sync.WaitGroup
	failed := make(chan error, calls)
	for n := range calls {
		all.Go(func() {
			c := &caller{in: r, token: made.Secret}
			client := &http.Client{Timeout: 20 * time.Second}
			defer client.CloseIdleConnections()
			switch {
			case c.call(client, n, http.MethodPost, "/v1/chat/completions", question, nil):
				passed.Add(1)
			case len(c.refused) == 1 && strings.HasPrefix(c.refused[0], "429"):
				limited.Add(1)
			default:
				failed <- fmt.Errorf("%d interrupted, refused: %s", c.interrupted, strings.Join(c.refused, "; "))
			}
		})
	}
	all.Wait()
	close(failed)
	for err := range failed {
		require.NoError(r.t, err)
	}
	return passed.Load()
}

// revocationsReachAll deletes a key through one gateway, after all of them have used it.
func (r *replicated) revocationsReachAll() {
	r.t.Helper()
	owner := r.token("user_owner", nil)
	var made struct {
		APIKey struct{ ID string }
		Secret string
	}
	r.post("/api/v1/apiKeys", owner, `{"name":"short-lived"}`, &made)
	at := func(edge string) int {
		through := *r.installation
		through.edge = edge
		return through.call(r.t.Context(), http.MethodGet, "/v1/models", made.Secret, "").status
	}
	for _, edge := range r.edges {
		require.Equal(r.t, http.StatusOK, at(edge))
	}
	gone := r.call(r.t.Context(), http.MethodDelete, "/api/v1/apiKeys/"+made.APIKey.ID, owner, "")
	require.Equal(r.t, http.StatusOK, gone.status, "%s", gone.body)
	for _, edge := range r.edges {
		require.Eventually(r.t, func() bool { return at(edge) == http.StatusUnauthorized }, 30*time.Second, 10*time.Millisecond, edge)
	}
}
