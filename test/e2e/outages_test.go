package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
)

// eventMaker makes events with countable effects: a revoked session, which adds one row, or a changed customer.
type eventMaker struct {
	customers []string
	written   atomic.Int64
}

func newEventMaker(in *installation) *eventMaker {
	in.t.Helper()
	customers, err := providers{in.sandbox}.create(in.t.Context(), "/control/stripe/customers", "Customer ", 20, true)
	require.NoError(in.t, err)
	return &eventMaker{customers: customers}
}

func (w *eventMaker) write(source string) (webhookEvent, error) {
	n := w.written.Add(1)
	if source == "clerk" {
		return clerkEvent(fmt.Sprintf("msg_%d", n), "session.revoked",
			map[string]any{"id": fmt.Sprintf("sess_%d", n), "object": "session", "status": "revoked", "user_id": "user_any"})
	}
	return stripeEvent(fmt.Sprintf("evt_%d", n), "customer.updated",
		map[string]any{"id": w.customers[int(n)%len(w.customers)], "object": "customer"})
}

// events writes n of each source.
func (w *eventMaker) events(t *testing.T, n int) (all []webhookEvent) {
	t.Helper()
	for _, source := range []string{"clerk", "stripe"} {
		for range n {
			l, err := w.write(source)
			require.NoError(t, err)
			all = append(all, l)
		}
	}
	return all
}

// flow delivers events of a source, one after another, until enough is closed.
func (w *eventMaker) flow(ctx context.Context, c *sender, source string, enough <-chan struct{}) error {
	for {
		select {
		case <-enough:
			return nil
		default:
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

// again starts the program of that name once more, as it was started before.
func (in *installation) again(name string) {
	in.t.Helper()
	p := in.program(name)
	in.start(p.name, p.Args[1:], p.Env)
}

// program is the one of that name that was started last.
func (in *installation) program(name string) *program {
	in.t.Helper()
	var found *program
	for _, p := range in.running {
		if p.name == name {
			found = p
		}
	}
	require.NotNil(in.t, found, name)
	return found
}

// A service is killed while its provider's webhooks come in. The edge says 503 for it, and for it alone, until it is back; what was
// acknowledged took effect once.
func TestServiceKilledDuringWebhooks(t *testing.T) {
	b := audit{t: t, url: databasetest.PostgresURL(t)}
	in := split(t, "DATABASE_URL="+b.url)
	b.keep()
	w, c := newEventMaker(in), newSender(in.edge)
	for _, each := range []struct{ service, source, other string }{{"auth", "clerk", "stripe"}, {"billing", "stripe", "clerk"}} {
		in.killAndRestart(w, c, each.service, each.source, each.other)
		t.Logf("%s was killed: %s", each.service, c)
	}
	require.Zero(t, c.unknown, "the edge always has an answer")
	b.awaitDrained()
	b.checkDelivered(c)
	in.verifyLedger()
}

func (in *installation) killAndRestart(w *eventMaker, c *sender, service, source, other string) {
	in.t.Helper()
	const writers = 8
	ctx, cancel := context.WithTimeout(in.t.Context(), 2*time.Minute)
	defer cancel()
	enough, ended := make(chan struct{}), make(chan error, writers)
	for range writers {
		go func() { ended <- w.flow(ctx, c, source, enough) }()
	}
	reaches := func(count func() int, n int, why string) {
		in.t.Helper()
		n += count()
		require.Eventually(in.t, func() bool { return count() >= n || len(ended) > 0 }, time.Minute, time.Millisecond, why)
	}
	refused := func() int { return c.answered(http.StatusServiceUnavailable) }
	reaches(c.count, 50, "it flows")
	in.program(service).kill()
	reaches(refused, 20, "the edge says so")
	for _, l := range w.events(in.t, 1) {
		a, err := c.send(ctx, l)
		require.NoError(in.t, err)
		if l.source == other {
			require.Equal(in.t, http.StatusOK, a.status, "%s: %s", l.source, a.body)
			continue
		}
		require.Equal(in.t, http.StatusServiceUnavailable, a.status, "%s: %s", l.source, a.body)
		require.NotEmpty(in.t, a.header.Get("Retry-After"))
	}
	in.again(service)
	reaches(c.count, 100, "the edge finds it by itself")
	close(enough)
	for range writers {
		require.NoError(in.t, <-ended)
	}
}

// PostgreSQL itself goes away. Both providers are told to come again, soon enough for them to hear it; what they were not told was
// taken is taken when they come again, and takes effect once.
func TestPostgreSQLOutage(t *testing.T) {
	for name, start := range map[string]func(*testing.T, ...string) *installation{"all-in-one": allInOne, "split": split} {
		t.Run(name, func(t *testing.T) {
			server := databasetest.NewServer(t, true)
			b := audit{t: t, url: server.NewDatabase(t)}
			in := start(t, "DATABASE_URL="+b.url)
			b.keep()
			w, c := newEventMaker(in), newSender(in.edge)
			require.NoError(t, c.deliverAll(t.Context(), w.events(t, 10)))

			server.Stop()
			events := w.events(t, 10)
			in.turnedAway(c, events)
			require.NoError(t, server.Start())

			require.NoError(t, c.deliverAll(t.Context(), events))
			b.awaitDrained()
			b.checkDelivered(c)
			in.verifyLedger()
			t.Log(c)
		})
	}
}

// SQLite can't be written to, for a while: the process stands it, and needs no restart.
func TestUnwritableSQLite(t *testing.T) {
	for name, begin := range map[string]func(audit, *installation) (end func()){
		"another process, such as a repair, locks the files": func(b audit, _ *installation) func() { return b.lock() },
		"the disk is full": func(_ audit, in *installation) func() { return in.fill() },
	} {
		t.Run(name, func(t *testing.T) {
			b := audit{t: t, url: "sqlite://" + t.TempDir()}
			in := allInOne(t, "DATABASE_URL="+b.url)
			b.keep()
			w, c := newEventMaker(in), newSender(in.edge)
			require.NoError(t, c.deliverAll(t.Context(), w.events(t, 10)))
			events := w.events(t, 10)
			end := begin(b, in)
			in.turnedAway(c, events)
			end()
			require.NoError(t, c.deliverAll(t.Context(), events))
			b.awaitDrained()
			b.checkDelivered(c)
			in.verifyLedger()
		})
	}
}

// fill lets the process write no file any more, as on a full disk, until empty is called.
func (in *installation) fill() (empty func()) {
	in.t.Helper()
	limit := func(size string) {
		in.t.Helper()
		pid := strconv.Itoa(in.program("trivet").Process.Pid)
		out, err := exec.Command("prlimit", "--pid", pid, "--fsize="+size+":unlimited").CombinedOutput()
		require.NoError(in.t, err, "prlimit is part of util-linux: %s", out)
	}
	limit("1")
	return func() { limit("unlimited") }
}

// lock keeps everybody else from writing, until unlock is called.
func (b audit) lock() (unlock func()) {
	b.t.Helper()
	const holders = 2
	held, release, released := make(chan struct{}), make(chan struct{}), make(chan error, holders)
	for _, service := range []string{"auth", "billing"} {
		db, end := b.open(service)
		b.t.Cleanup(end)
		go func() {
			released <- db.Write(context.Background(), "", func(context.Context, database.Tx) error {
				held <- struct{}{}
				<-release
				return nil
			})
		}()
		<-held
	}
	var once sync.Once
	unlock = func() {
		once.Do(func() {
			close(release)
			for range holders {
				require.NoError(b.t, <-released)
			}
		})
	}
	b.t.Cleanup(unlock) // also of a test that failed
	return unlock
}

// turnedAway sends events while the store is down. Each must get a 503 within the time that a provider waits.
func (in *installation) turnedAway(c *sender, events []webhookEvent) {
	in.t.Helper()
	type outcome struct {
		a    answer
		err  error
		took time.Duration
	}
	outcomes := make(chan outcome, len(events))
	for _, l := range events {
		go func() {
			begun := time.Now()
			a, err := c.send(in.t.Context(), l)
			outcomes <- outcome{a, err, time.Since(begun)}
		}()
	}
	longest := time.Duration(0)
	for range events {
		o := <-outcomes
		require.NoError(in.t, o.err, "the sender waits as long as a provider does")
		require.Equal(in.t, http.StatusServiceUnavailable, o.a.status, "%s", o.a.body)
		require.NotEmpty(in.t, o.a.header.Get("Retry-After"))
		require.Contains(in.t, string(o.a.body), `"SERVICE_UNAVAILABLE"`)
		longest = max(longest, o.took)
	}
	in.t.Logf("turned away within %s", longest.Round(time.Millisecond))
}

// checkDelivered checks that the delivered events, and no others, took effect once.
func (b audit) checkDelivered(c *sender) {
	b.t.Helper()
	auth, endAuth := b.open("auth")
	defer endAuth()
	b.checkInbox(auth, "clerk", c.acknowledged["clerk"])
	require.Len(b.t, b.query(auth, "SELECT session_id, user_id FROM revocation WHERE session_id <> ''"), len(c.acknowledged["clerk"]))
	billing, endBilling := b.open("billing")
	defer endBilling()
	b.checkInbox(billing, "stripe", c.acknowledged["stripe"])
	b.checkRising(b.effects(billing, "object"), func(string) bool { return true })
}
