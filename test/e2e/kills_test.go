package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database/databasetest"
	standin "github.com/trivet-dev/trivet/sandbox"
)

// amounts say how much flows, and how often it is cut. Each round ends with a kill.
type amounts struct {
	rounds int
	turns  int // of each author, in a round
	bulk   int // users, and customers, that the providers make in a round
}

const (
	authors  = 15
	subjects = 3 // users, and customers, of each author
	perTurn  = 8 // events
)

// TestKilledWhileWebhooksFlow kills Trivet at random moments while webhooks of both providers flow: from the sandbox, which doubles and
// shuffles them, and from authors in the test, who know of each what was acknowledged. In the end every event that was acknowledged
// took effect once, and nobody had to help. With TRIVET_FAULTS=1 (make test-faults) over 10,000 events flow for each database.
func TestKilledWhileWebhooksFlow(t *testing.T) {
	how := amounts{rounds: 3, turns: 2, bulk: 30}
	if os.Getenv("TRIVET_FAULTS") != "" {
		how = amounts{rounds: 12, turns: 4, bulk: 100}
	}
	for name, url := range map[string]func(t *testing.T) string{
		"SQLite":     func(t *testing.T) string { return "sqlite://" + t.TempDir() },
		"PostgreSQL": func(t *testing.T) string { return databasetest.PostgresURL(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they wait more than they work
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			k := newKiller(t, url(t), rand.New(rand.NewPCG(seed, 0)))
			k.migrateWhileKilled()
			k.run(how)
			k.check()
		})
	}
}

// killer runs Trivet on a database, and kills it.
type killer struct {
	*installation
	audit   audit
	env     []string
	dice    *rand.Rand
	trivet  *program
	sender  *sender
	authors []*author
	begun   time.Time
	kills   int
	early   int // kills before it was ready
}

func newKiller(t *testing.T, url string, dice *rand.Rand) *killer {
	t.Helper()
	p := ports(t, 4)
	in := &installation{t: t, edge: "http://" + p[0], sandbox: "http://" + p[3], ops: []string{"http://" + p[2]}, log: &logFile{}, grpc: []string{"TRIVET_GRPC_ADDR=" + p[1]}}
	in.start("trivet", []string{"sandbox"}, []string{"TRIVET_SANDBOX_ADDR=" + p[3], "TRIVET_SANDBOX_EDGE_URL=" + in.edge, "TRIVET_DATA_DIR=" + t.TempDir()})
	in.await(in.sandbox + "/healthz")
	// At this scale Clerk's attempts come after 10 ms, 0.6 s, 3.6 s …, Stripe's after 0.6 s, 3.6 s, 14 s ….
	in.control(http.MethodPatch, "/control/webhooks/settings", map[string]any{"paused": true, "retry_scale": 0.002, "double_fraction": 0.2, "shuffle": 20, "seed": dice.Uint32()}, nil)
	in.token("user_operator", nil) // makes the operator, whose events are then not late for the comparison at the end
	return &killer{
		installation: in, audit: audit{t: t, url: url}, dice: dice, sender: newSender(in.edge), begun: time.Now(),
		env: []string{
			"TRIVET_HTTP_ADDR=" + p[0], "TRIVET_GRPC_ADDR=" + p[1], "TRIVET_OPS_ADDR=" + p[2], "TRIVET_DATA_DIR=" + t.TempDir(), "DATABASE_URL=" + url,
			"TRIVET_OPERATORS=user_operator", "LOG_LEVEL=warn", "OPENAI_API_KEY=" + standin.OpenAIKey, "OPENAI_BASE_URL=" + in.sandbox + "/openai/v1",
			"CLERK_SECRET_KEY=" + standin.ClerkSecretKey, "CLERK_API_URL=" + in.sandbox + "/clerk/v1", "CLERK_WEBHOOK_SECRET=" + standin.ClerkWebhookSecret,
			"CLERK_ISSUER=" + in.issuer(), "STRIPE_SECRET_KEY=" + standin.StripeSecretKey, "STRIPE_API_URL=" + in.sandbox + "/stripe",
			"STRIPE_WEBHOOK_SECRET=" + standin.StripeWebhookSecret, "STRIPE_READS_PER_SECOND=10000",
			"CLERK_RECONCILE_INTERVAL=0", "STRIPE_RECONCILE_INTERVAL=0", // reconciliation must not repair anything
		},
	}
}

func (k *killer) begin() { k.trivet = k.start("trivet", []string{"dev"}, k.env) }

func (k *killer) killAndRestartNow() {
	k.trivet.kill()
	k.kills++
}

// pause waits for a random time.
func (k *killer) pause(most time.Duration) { time.Sleep(time.Duration(k.dice.Int64N(int64(most)))) }

// killDuringStart kills the process during its start, perhaps while it recovers what the killed one left.
func (k *killer) killDuringStart() {
	k.begin()
	k.pause(600 * time.Millisecond)
	k.killAndRestartNow()
	k.early++
}

// migrateWhileKilled kills the first processes while they migrate the database.
func (k *killer) migrateWhileKilled() {
	for range 3 {
		k.killDuringStart()
	}
	k.begin()
	k.awaitReady()
	k.audit.keep()
	k.control(http.MethodPatch, "/control/webhooks/settings", map[string]any{"paused": false}, nil) // all events are recorded
}

// run has everybody write, and kills Trivet once in every round and, in every other, again as it comes back.
func (k *killer) run(how amounts) {
	k.startAuthors()
	gates := make([]chan struct{}, how.rounds)
	for i := range gates {
		gates[i] = make(chan struct{})
	}
	ctx, cancel := context.WithTimeout(k.t.Context(), 10*time.Minute)
	defer cancel()
	var all sync.WaitGroup
	failed := make(chan error, len(k.authors)+1)
	write := func(fn func(round int) error) {
		all.Go(func() {
			if err := inRounds(ctx, gates, fn); err != nil {
				failed <- err
			}
		})
	}
	write(func(round int) error { return providers{k.sandbox}.live(ctx, round, how.bulk) })
	for _, a := range k.authors {
		write(func(int) error { return a.round(ctx, how.turns) })
	}
	perRound := authors * how.turns * perTurn
	for round := range how.rounds {
		close(gates[round])
		moment := round*perRound + k.dice.IntN(perRound*9/10) // before all of the round are acknowledged
		require.Eventually(k.t, func() bool { return k.sender.count() >= moment || len(failed) > 0 }, time.Minute, time.Millisecond)
		k.pause(5 * time.Millisecond)
		k.killAndRestartNow()
		k.t.Logf("killed after %d events were acknowledged", k.sender.count())
		for range k.dice.IntN(3) {
			k.killDuringStart()
		}
		k.begin()
	}
	all.Wait()
	close(failed)
	for err := range failed {
		require.NoError(k.t, err)
	}
	k.awaitReady()
}

// startAuthors gives each author its own users and customers, which Trivet does not know yet.
func (k *killer) startAuthors() {
	p := providers{k.sandbox}
	users, err := p.create(k.t.Context(), "/control/clerk/users", "user_own_", authors*subjects, true)
	require.NoError(k.t, err)
	customers, err := p.create(k.t.Context(), "/control/stripe/customers", "Own ", authors*subjects, true)
	require.NoError(k.t, err)
	for n := range authors {
		k.authors = append(k.authors, &author{
			sender: k.sender, providers: p, n: n, dice: rand.New(rand.NewPCG(k.dice.Uint64(), uint64(n))),
			users: users[n*subjects : (n+1)*subjects], customers: customers[n*subjects : (n+1)*subjects], last: map[string]int{},
		})
	}
}

// providers are Clerk and Stripe as their dashboards change them, past all faults.
type providers struct{ sandbox string }

// change makes a call to a provider's API, and returns the object. Of a quiet one the provider tells nobody.
func (p providers) change(ctx context.Context, quiet bool, provider, method, path string, body any) (json.RawMessage, error) {
	call := map[string]any{"provider": provider, "method": method, "path": path, "quiet": quiet}
	if body != nil {
		call["body"] = body
	}
	return p.post(ctx, "/control/apply", call)
}

// create makes many objects at once, and returns their ids.
func (p providers) create(ctx context.Context, path, prefix string, n int, quiet bool) ([]string, error) {
	raw, err := p.post(ctx, path, map[string]any{"count": n, "prefix": prefix, "quiet": quiet})
	if err != nil {
		return nil, err
	}
	var made struct{ IDs []string }
	err = json.Unmarshal(raw, &made)
	return made.IDs, err
}

func (p providers) post(ctx context.Context, path string, body any) (json.RawMessage, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.sandbox+path, bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	got, err := io.ReadAll(response.Body)
	if err = errors.Join(err, response.Body.Close()); err == nil && response.StatusCode > 299 {
		err = fmt.Errorf("%s: %d %s", path, response.StatusCode, got)
	}
	return got, err
}

// live is what happens at the providers in a round, of which they tell: objects come, change and go.
func (p providers) live(ctx context.Context, round, n int) error {
	users, err := p.create(ctx, "/control/clerk/users", fmt.Sprintf("user_%d_", round), n, false)
	if err != nil {
		return err
	}
	customers, err := p.create(ctx, "/control/stripe/customers", fmt.Sprintf("Round %d ", round), n, false)
	if err != nil {
		return err
	}
	for i := range n {
		user, customer := "/v1/users/"+users[i], "/v1/customers/"+customers[i]
		_, err1 := p.change(ctx, false, "clerk", http.MethodPatch, user, map[string]any{"first_name": "Changed"})
		_, err2 := p.change(ctx, false, "stripe", http.MethodPost, customer, map[string]any{"metadata": map[string]any{"changed": "yes"}})
		if i%5 == 0 {
			_, err3 := p.change(ctx, false, "clerk", http.MethodDelete, user, nil)
			_, err4 := p.change(ctx, false, "stripe", http.MethodDelete, customer, nil)
			err1, err2 = errors.Join(err1, err3), errors.Join(err2, err4)
		}
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
	}
	return nil
}

// inRounds calls fn behind each gate.
func inRounds(ctx context.Context, gates []chan struct{}, fn func(round int) error) error {
	for round, gate := range gates {
		select {
		case <-gate:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := fn(round); err != nil {
			return err
		}
	}
	return nil
}

// author changes objects at the providers, of which these say nothing, and tells of it in their place.
type author struct {
	*sender
	providers
	n                int
	dice             *rand.Rand
	users, customers []string
	turns            int
	written          int            // events
	sessions         []string       // that were revoked
	last             map[string]int // the last change of each object
}

// round takes some turns, each with other subjects.
func (a *author) round(ctx context.Context, turns int) error {
	for range turns {
		a.turns++
		if err := a.turn(ctx, a.turns%subjects); err != nil {
			return err
		}
	}
	return nil
}

// turn changes one user three times and one customer twice, and revokes three sessions. It sends the events of all that at once, in any
// order, and some of them again, as a provider does that did not hear the answer.
func (a *author) turn(ctx context.Context, subject int) error {
	var events []webhookEvent
	for i := range perTurn {
		var l webhookEvent
		var err error
		switch {
		case i < 3:
			l, err = a.changeUser(ctx, a.users[subject])
		case i < 5:
			l, err = a.changeCustomer(ctx, a.customers[subject])
		default:
			l, err = a.revokeSession()
		}
		if err != nil {
			return err
		}
		events = append(events, l)
	}
	a.dice.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	return a.deliverAll(ctx, append(events, events[:2]...))
}

func (a *author) id(prefix string) string {
	a.written++
	return fmt.Sprintf("%s_own_%d_%d", prefix, a.n, a.written)
}

func (a *author) changeUser(ctx context.Context, id string) (webhookEvent, error) {
	a.last[id]++
	object, err := a.change(ctx, true, "clerk", http.MethodPatch, "/v1/users/"+id, map[string]any{"first_name": fmt.Sprint(a.last[id])})
	if err != nil {
		return webhookEvent{}, err
	}
	return clerkEvent(a.id("msg"), "user.updated", object)
}

func (a *author) changeCustomer(ctx context.Context, id string) (webhookEvent, error) {
	a.last[id]++
	object, err := a.change(ctx, true, "stripe", http.MethodPost, "/v1/customers/"+id, map[string]any{"metadata": map[string]any{"n": fmt.Sprint(a.last[id])}})
	if err != nil {
		return webhookEvent{}, err
	}
	return stripeEvent(a.id("evt"), "customer.updated", object)
}

// revokeSession tells of a session that nobody else knows. Each of these events adds a row: the one effect that does not bear repetition.
func (a *author) revokeSession() (webhookEvent, error) {
	id := a.id("msg")
	session := "sess_of_" + id
	a.sessions = append(a.sessions, session)
	return clerkEvent(id, "session.revoked", map[string]any{"id": session, "object": "session", "status": "revoked", "user_id": a.users[0]})
}

// check reads the audit after all events are delivered and handled.
//
// What it can see: every event stored and done once; users and customers written forwards only, never the same state twice, and last as
// the providers have them; one revocation for each session. That any effect, however it is made, is committed exactly once with its
// event is shown by TestKill of platform/inbox, whose handler inserts a row each time it runs.
func (k *killer) check() {
	k.t.Helper()
	k.awaitDelivered()
	k.audit.awaitDrained()
	sent := k.delivered()
	k.t.Logf("%d kills, %d of them before it was ready; sandbox: %d Clerk events and %d Stripe events; authors: %s; all %d events done after %s",
		k.kills, k.early, len(sent["clerk"]), len(sent["stripe"]), k.sender, len(sent["clerk"])+len(sent["stripe"])+k.sender.count(), time.Since(k.begun).Round(time.Second))
	for source, acknowledged := range k.sender.acknowledged {
		for id := range acknowledged {
			sent[source][id] = true
		}
	}
	k.checkAuth(sent["clerk"])
	k.checkBilling(sent["stripe"])
	k.verifyLedger()
	for source := range sent {
		k.checkReconciled(source)
		for _, state := range []string{"DEAD", "PENDING", "LEASED"} {
			require.Empty(k.t, k.events(source, "?state=EVENT_STATE_"+state), "%s, %s", source, state)
		}
	}
}

func (k *killer) checkAuth(sent map[string]bool) {
	k.t.Helper()
	db, end := k.audit.open("auth")
	defer end()
	require.Equal(k.t, len(sent), k.audit.checkInbox(db, "clerk", sent), "there are no other events")
	written := k.audit.effects(db, "user")
	k.audit.checkRising(written, func(id string) bool { return strings.HasPrefix(id, "user_own_") })
	revoked := map[string]int{}
	for _, row := range k.audit.query(db, "SELECT session_id, user_id FROM revocation WHERE session_id <> ''") {
		revoked[row.id]++
	}
	for _, a := range k.authors {
		for _, id := range a.users {
			require.NotEmpty(k.t, written[id], id)
			require.Equal(k.t, fmt.Sprint(a.last[id]), written[id][len(written[id])-1], id)
		}
		for _, session := range a.sessions {
			require.Equal(k.t, 1, revoked[session], session)
		}
	}
}

func (k *killer) checkBilling(sent map[string]bool) {
	k.t.Helper()
	db, end := k.audit.open("billing")
	defer end()
	require.Equal(k.t, len(sent), k.audit.checkInbox(db, "stripe", sent), "there are no other events")
	k.audit.checkRising(k.audit.effects(db, "object"), func(string) bool { return true })
	bodies := map[string]string{}
	for _, row := range k.audit.query(db, "SELECT id, body FROM stripe_object WHERE kind = 'customer'") {
		bodies[row.id] = row.value
	}
	for _, a := range k.authors {
		for _, id := range a.customers {
			require.Equal(k.t, fmt.Sprint(a.last[id]), metadata(k.t, bodies[id]), id)
		}
	}
}

// awaitDelivered waits until the sandbox has delivered all, and gave nothing up.
func (k *killer) awaitDelivered() {
	k.t.Helper()
	var sent struct{ Counts map[string]int }
	require.Eventually(k.t, func() bool {
		k.control(http.MethodPost, "/control/webhooks/flush", map[string]any{}, nil)
		k.control(http.MethodGet, "/control/webhooks/deliveries?limit=1", nil, &sent)
		return sent.Counts["pending"]+sent.Counts["sending"] == 0
	}, time.Minute, 100*time.Millisecond)
	require.Zero(k.t, sent.Counts["failed"]+sent.Counts["lost"]+sent.Counts["dropped"], "%v", sent.Counts)
}

// delivered returns the ids of the events that the sandbox has delivered, once or more often.
func (k *killer) delivered() map[string]map[string]bool {
	k.t.Helper()
	ids := map[string]map[string]bool{}
	for _, source := range []string{"clerk", "stripe"} {
		ids[source] = map[string]bool{}
		var list struct {
			Counts     map[string]int
			Deliveries []struct {
				EventID string `json:"event_id"`
			}
		}
		k.control(http.MethodGet, "/control/webhooks/deliveries?limit=10000&provider="+source, nil, &list)
		require.Len(k.t, list.Deliveries, list.Counts["delivered"], "the sandbox remembers all")
		for _, d := range list.Deliveries {
			ids[source][d.EventID] = true
		}
	}
	return ids
}

// checkReconciled checks that a comparison with a provider finds no difference.
func (in *installation) checkReconciled(source string) {
	in.t.Helper()
	found, err := in.operate("reconcile", "--source", source)
	require.NoError(in.t, err, found)
	lines := 0
	for line := range strings.Lines(found) {
		if strings.HasPrefix(line, "clerk roles ") {
			continue // no webhook tells of the roles that every instance has
		}
		progress := strings.Split(strings.TrimSpace(line), "\r")
		require.Contains(in.t, progress[len(progress)-1], "repaired 0, created 0, removed 0", "%s", found)
		lines++
	}
	require.Positive(in.t, lines)
}
