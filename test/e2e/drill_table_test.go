package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// troubles says what users saw since the outage began: the results by kind of those that failed at least once.
func (l *drillLoad) troubles() string {
	var all []string
	for _, kind := range drillKinds {
		if failed := l.failures(kind, duringDrill, afterDrill); len(failed) > 0 {
			all = append(all, fmt.Sprintf("%s: %s, 200 × %d", kind, strings.Join(failed, ", "), l.successes(kind, duringDrill, afterDrill)))
		}
	}
	if len(all) == 0 {
		return "nothing"
	}
	return strings.Join(all, "<br>")
}

// untroubled lists the kinds that always worked, with their slowest answer.
func (l *drillLoad) untroubled() string {
	var all []string
	n, slowest := 0, time.Duration(0)
	for _, kind := range drillKinds {
		if len(l.failures(kind, duringDrill, afterDrill)) == 0 {
			all, n = append(all, kind), n+l.successes(kind, duringDrill, afterDrill)
			l.mu.Lock()
			slowest = max(slowest, l.slowest[duringDrill][kind], l.slowest[afterDrill][kind])
			l.mu.Unlock()
		}
	}
	if len(all) == len(drillKinds) {
		all = []string{"everything"}
	}
	return fmt.Sprintf("%s (%d requests, the slowest %s)", strings.Join(all, ", "), n, slowest.Round(10*time.Millisecond))
}

// recovery is how long requests failed after the cause was gone.
func (l *drillLoad) recovery(fixed time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	longest := time.Duration(0)
	for _, at := range l.last {
		longest = max(longest, at.Sub(fixed))
	}
	return longest.Round(100 * time.Millisecond)
}

var pendingMetric = regexp.MustCompile(`(?m)^trivet_ai_settlements_pending(?:\{[^}]*\})? (\S+)$`)

// pendingSettlements is how many calls wait in ai for their settlement.
func (r *drillRun) pendingSettlements() int { return r.pendingSettlementsAt(r.ops[1]) }

// pendingSettlementsAt is the same for one process of ai.
func (in *installation) pendingSettlementsAt(ops string) int {
	in.t.Helper()
	response, err := http.Get(ops + "/metrics")
	require.NoError(in.t, err)
	defer func() { _ = response.Body.Close() }()
	raw, err := io.ReadAll(response.Body)
	require.NoError(in.t, err)
	found := pendingMetric.FindStringSubmatch(string(raw))
	require.NotNil(in.t, found, "ai has no metric of its settlements")
	n, err := strconv.ParseFloat(found[1], 64)
	require.NoError(in.t, err)
	return int(n)
}

// pendingEvents counts what waits in the inboxes and meets a condition, when the database answers.
func (r *drillRun) pendingEvents(condition string) (n int, ok bool) {
	ctx, cancel := context.WithTimeout(r.t.Context(), 5*time.Second)
	defer cancel()
	for _, service := range []string{"auth", "billing"} {
		waiting, err := r.audit.pendingOf(ctx, service, condition)
		if err != nil {
			return 0, false
		}
		n += waiting
	}
	return n, true
}

// queued says what waits at the end of an outage.
func (r *drillRun) queued(l *drillLoad) string {
	r.t.Helper()
	var all []string
	add := func(n int, what string) {
		if n > 0 {
			all = append(all, fmt.Sprintf("%s: %d", what, n))
		}
	}
	if events, ok := r.pendingEvents("source <> 'email'"); ok {
		add(events, "events in Trivet")
	}
	if mails, ok := r.pendingEvents("source = 'email'"); ok {
		add(mails, "mails")
	}
	add(l.refusedEvents(), "webhooks to be sent again")
	add(r.pendingSettlements(), "settlements")
	if len(all) == 0 {
		return "nothing"
	}
	return strings.Join(all, ", ")
}

// refusedEvents counts the attempts at events that failed in the outage; each is sent again.
func (l *drillLoad) refusedEvents() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, kind := range []string{drillClerk, drillStripe} {
		for result, times := range l.results[duringDrill][kind] {
			if result != "200" {
				n += times
			}
		}
	}
	return n
}

// awaitSettled waits until nothing is queued and no credit is held, and returns when that was so.
func (r *drillRun) awaitSettled(l *drillLoad) time.Time {
	r.t.Helper()
	r.audit.awaitDrained()
	require.Eventually(r.t, func() bool { return r.pendingSettlements() == 0 }, 2*time.Minute, 50*time.Millisecond)
	settled := time.Now()
	for _, token := range l.tokens {
		require.Eventually(r.t, func() bool { return r.account(token).Held == 0 }, 2*time.Minute, 50*time.Millisecond, "no hold stays open")
	}
	return settled
}

// checkLosses compares the ledger with the provider and with the answers, and the inboxes with what was acknowledged.
func (r *drillRun) checkLosses(d drill, l *drillLoad) string {
	r.t.Helper()
	var records, billed, answered int64
	for n, token := range l.tokens {
		a := r.account(token)
		calls, cost := a.Usage.Requests-l.started[n].Usage.Requests, a.Usage.Cost-l.started[n].Usage.Cost
		require.GreaterOrEqual(r.t, calls, l.calls[token], "%s %s: every answer is billed", d.what, d.how)
		require.GreaterOrEqual(r.t, cost, l.cost[token], "%s %s: every answer is billed", d.what, d.how)
		records, billed, answered = records+calls, billed+cost, answered+l.calls[token]
	}
	now := r.upstream()
	made := price(r.t, model, now.PromptTokens-l.before.PromptTokens, 0, now.CompletionTokens-l.before.CompletionTokens)
	require.Equal(r.t, made, billed, "%s %s: the provider's tokens are billed to the nano-dollar; %d calls billed, %d answered", d.what, d.how, records, answered)
	events := 0
	for _, s := range []struct{ service, source string }{{"auth", "clerk"}, {"billing", "stripe"}} {
		db, end := r.audit.open(s.service)
		r.audit.checkInbox(db, s.source, l.sender.acknowledged[s.source]) // fails for each that is lost
		end()
		events += len(l.sender.acknowledged[s.source])
	}
	lost := fmt.Sprintf("0 of %d calls ($%.6f), 0 of %d events", records, float64(billed)/1e9, events)
	if d.mails {
		notices := r.payer.noticed()
		r.payer.requireMailedOnce(notices)
		lost += fmt.Sprintf(", 0 of %d mails", len(notices)-r.mailed)
		r.mailed = len(notices)
	}
	return lost
}

// door is a TCP proxy before a provider, which can be closed.
type door struct {
	address, to string

	mu          sync.Mutex
	listener    net.Listener
	connections map[net.Conn]bool
	running     sync.WaitGroup
}

func newDoor(t *testing.T, to string) *door {
	t.Helper()
	d := &door{address: ports(t, 1)[0], to: to}
	d.open(t)
	t.Cleanup(func() { d.close(t) })
	return d
}

func (d *door) open(t *testing.T) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	listener, err := net.Listen("tcp", d.address)
	require.NoError(t, err)
	d.listener, d.connections = listener, map[net.Conn]bool{}
	d.running.Go(func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			d.running.Go(func() { d.forward(from) })
		}
	})
}

func (d *door) forward(from net.Conn) {
	to, err := net.Dial("tcp", d.to)
	if err != nil {
		_ = from.Close()
		return
	}
	d.mu.Lock()
	if d.connections == nil { // it was closed meanwhile
		_, _ = from.Close(), to.Close()
	} else {
		d.connections[from], d.connections[to] = true, true
	}
	d.mu.Unlock()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{from, to}, {to, from}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			_ = way[0].Close()
		})
	}
	both.Wait()
}

// close breaks all connections, and refuses new ones.
func (d *door) close(t *testing.T) {
	t.Helper()
	d.mu.Lock()
	if d.listener == nil {
		d.mu.Unlock()
		return
	}
	require.NoError(t, d.listener.Close())
	for c := range d.connections {
		_ = c.Close()
	}
	d.listener, d.connections = nil, nil
	d.mu.Unlock()
	d.running.Wait()
}
