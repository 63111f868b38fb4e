package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The phases of a drill. A request counts in the phase in which it ends, because an outage ends requests that began before it.
const (
	beforeDrill = iota
	duringDrill
	afterDrill
	drillPhases
)

// drillLoad is what users and providers do during a drill.
type drillLoad struct {
	in     *drillRun
	cancel context.CancelFunc
	// startNotices lets Stripe tell of refunds until the load stops.
	startNotices func()

	running sync.WaitGroup
	phase   atomic.Int64
	sender  *sender
	tokens  []string // of the users who chat
	started []account
	before  upstream

	mu      sync.Mutex
	results [drillPhases]map[string]map[string]int // by phase, kind and status
	last    map[string]time.Time                   // the last failure of each kind
	slowest [drillPhases]map[string]time.Duration
	cost    map[string]int64 // of answered chats, by token
	calls   map[string]int64 // answered chats, by token
}

// drillCallers is how many users chat at once, and as many others stream.
const drillCallers = 2

func (r *drillRun) startDrillLoad() *drillLoad {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	l := &drillLoad{in: r, cancel: cancel, sender: newSender(r.edge), last: map[string]time.Time{}, cost: map[string]int64{}, calls: map[string]int64{}}
	for phase := range l.results {
		l.results[phase], l.slowest[phase] = map[string]map[string]int{}, map[string]time.Duration{}
	}
	owner := r.token("user_owner", map[string]any{"ttl": "1h"})
	var key struct{ Secret string }
	r.post("/api/v1/apiKeys", owner, fmt.Sprintf(`{"name":"drill %d"}`, r.rounds), &key)
	checkout := `{"planId":"pro","successUrl":"https://app.example.com/paid","cancelUrl":"https://app.example.com/"}`
	requests := map[string]func() (answer, error){
		drillSignIn:   l.request(http.MethodGet, "/api/v1/me", owner, ""),
		drillAPIKey:   l.request(http.MethodGet, "/v1/models", key.Secret, ""),
		drillAccount:  l.request(http.MethodGet, "/api/v1/billing/account", owner, ""),
		drillCheckout: l.request(http.MethodPost, "/api/v1/billing/checkoutSessions", owner, checkout),
		drillStatus:   l.request(http.MethodGet, "/api/v1/status", "", ""),
		drillNewUser:  l.newUsers(),
	}
	for n := range 2 * drillCallers {
		token := r.token(fmt.Sprintf("user_drill_%d", n), map[string]any{"ttl": "1h"})
		l.tokens, l.started = append(l.tokens, token), append(l.started, r.account(token))
	}
	l.before = r.upstream()
	for kind, request := range requests {
		l.running.Go(func() { l.repeat(ctx, kind, 100*time.Millisecond, request) })
	}
	for n, token := range l.tokens {
		kind := []string{drillChat, drillStream}[n%2]
		l.running.Go(func() { l.repeat(ctx, kind, 50*time.Millisecond, l.chat(token, kind == drillStream)) })
	}
	w := newEventMaker(r.installation)
	w.written.Store(int64(r.rounds) * 1_000_000) // other ids in each drill
	for kind, source := range map[string]string{drillClerk: "clerk", drillStripe: "stripe"} {
		l.running.Go(func() { l.sendEvents(ctx, w, kind, source) })
	}
	l.startNotices = func() { l.running.Go(func() { l.sendNotices(ctx) }) }
	return l
}

// sendNotices lets Stripe tell of refunds, each of which makes a notice with a mail, until ctx ends.
func (l *drillLoad) sendNotices(ctx context.Context) {
	for ctx.Err() == nil {
		if err := l.in.payer.refund(); err != nil {
			l.note(drillStripe, time.Now(), answer{}, err)
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// repeat makes requests of a kind until ctx ends; one that has begun is finished.
func (l *drillLoad) repeat(ctx context.Context, kind string, pause time.Duration, request func() (answer, error)) {
	for ctx.Err() == nil {
		begun := time.Now()
		a, err := request()
		l.note(kind, begun, a, err)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// awaitShown waits until the drill has shown what it is for, however slow the machine is: each kind that must keep working has worked, and the
// kind that must fail has failed.
func (l *drillLoad) awaitShown(t *testing.T, d drill) {
	t.Helper()
	shown := func() bool {
		for _, kind := range drillKinds {
			if !slices.Contains(d.fails, kind) && l.successes(kind, duringDrill) == 0 {
				return false
			}
		}
		return d.mustFail == "" || len(l.failures(d.mustFail, duringDrill)) > 0
	}
	for end := time.Now().Add(time.Minute); !shown() && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
	}
}

// note records how a request ended.
func (l *drillLoad) note(kind string, begun time.Time, a answer, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	result := "200"
	switch {
	case err != nil:
		result = "no answer"
	case a.err != nil:
		result = "cut"
	case a.status != http.StatusOK:
		result = fmt.Sprint(a.status)
	}
	phase := l.phase.Load()
	if l.results[phase][kind] == nil {
		l.results[phase][kind] = map[string]int{}
	}
	l.results[phase][kind][result]++
	l.slowest[phase][kind] = max(l.slowest[phase][kind], time.Since(begun))
	if result != "200" {
		l.last[kind] = time.Now()
	}
}

// request returns a function that makes one request.
func (l *drillLoad) request(method, path, token, body string) func() (answer, error) {
	client := &http.Client{Timeout: 45 * time.Second} // longer than the edge waits
	l.in.t.Cleanup(client.CloseIdleConnections)
	return func() (answer, error) {
		request, err := http.NewRequest(method, l.in.edge+path, strings.NewReader(body)) //nolint:noctx // a request that has begun is finished
		if err != nil {
			return answer{}, err
		}
		if token != "" {
			request.Header.Set("Authorization", "Bearer "+token)
		}
		request.Header.Set("Content-Type", "application/json")
		response, err := client.Do(request)
		if err != nil {
			return answer{}, err
		}
		defer func() { _ = response.Body.Close() }()
		raw, err := io.ReadAll(response.Body)
		return answer{status: response.StatusCode, header: response.Header, body: raw, err: err}, nil
	}
}

// newUsers returns a function that signs in a new user at each call.
func (l *drillLoad) newUsers() func() (answer, error) {
	n := 0
	return func() (answer, error) {
		n++
		raw, err := providers{l.in.sandbox}.post(context.Background(), "/control/clerk/tokens", map[string]any{"user": fmt.Sprintf("user_new_%d_%d", l.in.rounds, n)})
		if err != nil {
			return answer{}, err
		}
		var made struct{ Token string }
		if err := json.Unmarshal(raw, &made); err != nil {
			return answer{}, err
		}
		return l.request(http.MethodGet, "/api/v1/me", made.Token, "")()
	}
}

// chat returns a function that asks the model, and adds up what the answers cost.
func (l *drillLoad) chat(token string, stream bool) func() (answer, error) {
	body := question
	if stream {
		body = strings.Replace(question, "{", `{"stream":true,"stream_options":{"include_usage":true},`, 1)
	}
	request := l.request(http.MethodPost, "/v1/chat/completions", token, body)
	return func() (answer, error) {
		a, err := request()
		if err != nil || a.err != nil || a.status != http.StatusOK {
			return a, err
		}
		usage, err := usageOfAnswer(a.body, stream)
		if err != nil {
			return a, err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.calls[token]++
		l.cost[token] += usage.price(l.in.t, model)
		return a, nil
	}
}

// usageOfAnswer reads the usage of an answer, or of the piece of a stream that has one.
func usageOfAnswer(body []byte, stream bool) (openAIUsage, error) {
	var got struct{ Usage *openAIUsage }
	if !stream {
		if err := json.Unmarshal(body, &got); err != nil {
			return openAIUsage{}, err
		}
		if got.Usage == nil {
			return openAIUsage{}, fmt.Errorf("an answer without its usage: %s", body)
		}
		return *got.Usage, nil
	}
	for line := range strings.Lines(string(body)) {
		data, ok := strings.CutPrefix(strings.TrimSpace(line), "data: ")
		if !ok || data == "[DONE]" {
			continue
		}
		if err := json.Unmarshal([]byte(data), &got); err != nil {
			return openAIUsage{}, err
		}
	}
	if got.Usage == nil {
		return openAIUsage{}, fmt.Errorf("a stream without its usage: %s", body)
	}
	return *got.Usage, nil
}

// sendEvents sends events as a provider does: again, until each is acknowledged.
func (l *drillLoad) sendEvents(ctx context.Context, w *eventMaker, kind, source string) {
	var pending []webhookEvent
	for ctx.Err() == nil || len(pending) > 0 {
		if ctx.Err() == nil {
			event, err := w.write(source)
			if err != nil {
				l.note(kind, time.Now(), answer{}, err)
				return
			}
			pending = append(pending, event)
		}
		begun := time.Now()
		a, err := l.sender.send(context.WithoutCancel(ctx), pending[0])
		l.note(kind, begun, a, err)
		if err == nil && a.status == http.StatusOK {
			pending = pending[1:]
		}
		pause := 100 * time.Millisecond
		if len(pending) > 0 {
			pause = 20 * time.Millisecond // others wait
		}
		time.Sleep(pause)
	}
}

// enter begins a phase.
func (l *drillLoad) enter(phase int) time.Time {
	l.phase.Store(int64(phase))
	return time.Now()
}

// awaitAll waits until each kind of request succeeds three times in the present phase, and fails no more.
func (l *drillLoad) awaitAll(t *testing.T, when string) {
	t.Helper()
	missing := func() (kinds []string) {
		phase := int(l.phase.Load())
		for _, kind := range drillKinds {
			l.mu.Lock()
			if l.results[phase][kind]["200"] < 3 || time.Since(l.last[kind]) < time.Second {
				kinds = append(kinds, kind)
			}
			l.mu.Unlock()
		}
		return kinds
	}
	deadline := time.Now().Add(2 * time.Minute)
	for len(missing()) > 0 {
		require.False(t, time.Now().After(deadline), "%s these do not work: %v; results %v", when, missing(), l.results)
		time.Sleep(20 * time.Millisecond)
	}
}

func (l *drillLoad) stop(t *testing.T) {
	t.Helper()
	l.cancel()
	ended := make(chan struct{})
	go func() { l.running.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(2 * time.Minute):
		require.Fail(t, "the load does not end")
	}
}

// failures are the results of a kind in some phases, other than success.
func (l *drillLoad) failures(kind string, phases ...int) (all []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	sum := map[string]int{}
	for _, phase := range phases {
		for result, n := range l.results[phase][kind] {
			sum[result] += n
		}
	}
	delete(sum, "200")
	for _, result := range slices.Sorted(maps.Keys(sum)) {
		all = append(all, fmt.Sprintf("%s × %d", result, sum[result]))
	}
	return all
}

func (l *drillLoad) successes(kind string, phases ...int) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, phase := range phases {
		n += l.results[phase][kind]["200"]
	}
	return n
}
