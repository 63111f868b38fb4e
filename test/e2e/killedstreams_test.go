package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database/databasetest"
)

const (
	streamAccounts = 6
	streamsAtOnce  = 24
	shortStream    = `[sandbox tokens=20 pace=2] Hi` // takes some 40 ms
	longStream     = `[sandbox tokens=300 pace=10] Hi`
)

// TestKilledDuringStreams kills Trivet at random moments while people read streams, some of them longer than the time between checkpoints. In the end no
// credit is held. Each stream of which somebody has seen the end, and each that the provider has charged while Trivet lived, is billed once and as the provider
// counted it. The other calls, which a killed process had in hand, are billed once and by the sweeper. With TRIVET_FAULTS=1 (make test-faults) 10,000
// streams reach their end on each database.
func TestKilledDuringStreams(t *testing.T) {
	kills, ends := 3, 150
	if os.Getenv("TRIVET_FAULTS") != "" {
		kills, ends = 40, 10_000
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
			w := newStreamWitness(t, k.sandbox)
			k.env = append(k.env, withoutProbes()...) // what it notes are the calls of people
			k.env = append(k.env, "OPENAI_BASE_URL="+w.address+"/openai/v1", "DEFAULT_PLAN=unlimited", "BILLING_HOLD_LEASE=10s", "BILLING_SWEEP_INTERVAL=100ms")
			k.begin()
			k.awaitReady()
			readers := k.readWhileKilled(kills, ends)
			k.checkStreams(w, readers, kills)
			k.verifyLedger()
		})
	}
}

// streamReader is one person who reads one stream after another.
type streamReader struct {
	edge, token, body string
	ended             *atomic.Int64
	// whole are the costs of the streams that were read to their end, by the request's id.
	whole map[string]int64
	// broken counts the requests without an answer, or with a part of one.
	broken int
	failed error
}

// readWhileKilled has people read streams until so many have ended, and kills Trivet at random moments meanwhile.
func (k *killer) readWhileKilled(kills, ends int) (readers []*streamReader) {
	k.t.Helper()
	var ended atomic.Int64
	var reading sync.WaitGroup
	ctx, enough := context.WithCancel(k.t.Context())
	defer func() { // also of a test that failed
		enough()
		reading.Wait()
	}()
	tokens := make([]string, streamAccounts)
	for i := range tokens {
		tokens[i] = k.token(fmt.Sprintf("user_reader_%d", i), map[string]any{"ttl": "1h"})
	}
	for i := range streamsAtOnce {
		question := shortStream
		if i%8 == 0 {
			question = longStream
		}
		r := &streamReader{
			edge: k.edge, token: tokens[i%streamAccounts], ended: &ended, whole: map[string]int64{},
			body: fmt.Sprintf(`{"model":"gpt-4o-mini","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":%q}]}`, question),
		}
		readers = append(readers, r)
		reading.Go(func() { r.run(ctx) })
	}
	reaches := func(n int) {
		k.t.Helper()
		require.Eventually(k.t, func() bool { return ended.Load() >= int64(n) }, 5*time.Minute, time.Millisecond)
	}
	for kill := range kills {
		reaches((kill*ends + k.dice.IntN(ends)) / kills)
		k.trivet.kill()
		k.begin()
	}
	reaches(ends)
	enough()
	reading.Wait()
	k.awaitReady()
	return readers
}

// run reads streams until ctx ends. A stream that has begun is read to its end.
func (r *streamReader) run(ctx context.Context) {
	client := &http.Client{Timeout: time.Minute}
	defer client.CloseIdleConnections()
	for ctx.Err() == nil && r.failed == nil {
		if r.read(client) {
			r.ended.Add(1)
			continue
		}
		r.broken++
		select { // the next process needs some time to start
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// read reads a stream, and reports whether it has seen the end.
func (r *streamReader) read(client *http.Client) bool {
	request, err := http.NewRequest(http.MethodPost, r.edge+"/v1/chat/completions", strings.NewReader(r.body)) //nolint:noctx // a stream that has begun is read to its end
	if err != nil {
		r.failed = err
		return false
	}
	request.Header.Set("Authorization", "Bearer "+r.token)
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		raw, _ := io.ReadAll(response.Body)
		if response.StatusCode < http.StatusInternalServerError {
			r.failed = fmt.Errorf("%s: %s", response.Status, raw)
		}
		return false
	}
	usage, ended, _ := readStream(response.Body, io.Discard)
	if !ended || usage == nil {
		return false
	}
	r.whole[response.Header.Get("X-Request-Id")], r.failed = usage.cost()
	return r.failed == nil
}

// readStream reads a stream of the format of chat completions, and copies it.
func readStream(from io.Reader, to io.Writer) (usage *openAIUsage, ended bool, err error) {
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return usage, ended, err
		}
		_, _ = io.WriteString(to, line) // who reads it may have left
		data, ok := strings.CutPrefix(strings.TrimSpace(line), "data: ")
		switch {
		case !ok:
		case data == "[DONE]":
			ended = true
		default:
			var chunk struct{ Usage *openAIUsage }
			if err := json.Unmarshal([]byte(data), &chunk); err != nil {
				return usage, ended, err
			}
			if chunk.Usage != nil {
				usage = chunk.Usage
			}
		}
	}
}

// streamWitness is a proxy before the provider that notes the cost of each stream. It reads each to its end, whether the process that called still lives or not:
// what it has noted is what the provider charges.
type streamWitness struct {
	address, to string
	client      *http.Client
	open        atomic.Int64

	mu     sync.Mutex
	costs  map[string]int64 // by the provider's id of the call
	failed []error
}

func newStreamWitness(t *testing.T, to string) *streamWitness {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: streamsAtOnce}
	w := &streamWitness{to: to, client: &http.Client{Transport: transport}, costs: map[string]int64{}}
	server := httptest.NewServer(w)
	w.address = server.URL
	t.Cleanup(func() {
		server.Close()
		transport.CloseIdleConnections()
	})
	return w
}

func (w *streamWitness) ServeHTTP(to http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the caller died before it had sent the request
	}
	w.open.Add(1)
	defer w.open.Add(-1)
	if err := w.forward(to, r, body); err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.failed = append(w.failed, err)
	}
}

func (w *streamWitness) forward(to http.ResponseWriter, r *http.Request, body []byte) error {
	request, err := http.NewRequestWithContext(context.WithoutCancel(r.Context()), r.Method, w.to+r.URL.Path, strings.NewReader(string(body)))
	if err != nil {
		return err
	}
	request.Header = r.Header.Clone()
	request.Header.Del("Accept-Encoding")
	response, err := w.client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	maps.Copy(to.Header(), response.Header)
	to.WriteHeader(response.StatusCode)
	if r.Method == http.MethodGet { // a probe
		_, _ = io.Copy(to, response.Body) // a killed process reads no more
		return nil
	}
	usage, ended, err := readStream(response.Body, flushing{to, http.NewResponseController(to)})
	if !ended || usage == nil || !errors.Is(err, io.EOF) {
		return fmt.Errorf("a stream of the provider has no end or no usage: %w", err)
	}
	cost, err := usage.cost()
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	id := response.Header.Get("X-Request-Id")
	if _, known := w.costs[id]; known || id == "" {
		return fmt.Errorf("the provider has answered the call %q twice", id)
	}
	w.costs[id] = cost
	return nil
}

// flushing passes each piece on at once.
type flushing struct {
	io.Writer
	control *http.ResponseController
}

func (f flushing) Write(p []byte) (int, error) {
	n, err := f.Writer.Write(p)
	_ = f.control.Flush()
	return n, err
}

// checkStreams compares the ledger with the provider and with what people have read, call by call.
func (k *killer) checkStreams(w *streamWitness, readers []*streamReader, kills int) {
	k.t.Helper()
	require.Eventually(k.t, func() bool { return w.open.Load() == 0 }, time.Minute, 10*time.Millisecond, "the provider ends all streams")
	w.mu.Lock() // a call that is not a stream may still be under way
	defer w.mu.Unlock()
	require.Empty(k.t, w.failed)
	billed := map[string]billedCall{} // by the request's id
	var swept []billedCall
	provider := maps.Clone(w.costs)
	for _, r := range readers[:streamAccounts] {
		require.Eventually(k.t, func() bool { return k.account(r.token).Held == 0 }, time.Minute, 100*time.Millisecond, "the sweeper closes the holds of dead processes")
		var cost int64
		for _, call := range k.billedCalls(r.token) {
			cost += call.Cost
			if call.ProviderRequestID == "" { // the sweeper does not know the request
				swept = append(swept, call)
				continue
			}
			require.NotContains(k.t, billed, call.RequestID, "a request is billed once")
			billed[call.RequestID] = call
			require.Contains(k.t, provider, call.ProviderRequestID, "the provider made the call, and it is not billed twice")
			require.Equal(k.t, provider[call.ProviderRequestID], call.Cost, "%+v", call)
			delete(provider, call.ProviderRequestID)
		}
		require.Equal(k.t, cost, k.account(r.token).Usage.Cost)
	}
	whole, broken := 0, 0
	for _, r := range readers {
		require.NoError(k.t, r.failed)
		for id, cost := range r.whole {
			require.NotEmpty(k.t, billed[id].ProviderRequestID, "%s was read to its end", id)
			require.Equal(k.t, cost, billed[id].Cost, id)
		}
		whole, broken = whole+len(r.whole), broken+r.broken
	}
	dearest := slices.Max(slices.Collect(maps.Values(w.costs)))
	partly := 0
	for _, call := range swept {
		require.Equal(k.t, "OUTCOME_ABANDONED", call.Outcome, "%+v", call)
		require.LessOrEqual(k.t, call.Cost, dearest, "%+v", call)
		if call.Cost > 0 {
			partly++
		}
	}
	k.t.Logf("%d kills; %d streams of the provider, %d read to their end, %d requests broken; the ledger has %d calls, of which the sweeper has settled %d, %d of these with a cost",
		kills, len(w.costs), whole, broken, len(billed)+len(swept), len(swept), partly)
	require.LessOrEqual(k.t, len(provider), len(swept), "each stream of the provider that is not billed as counted is one that the sweeper has settled")
	require.LessOrEqual(k.t, len(swept), kills*streamsAtOnce, "a killed process had at most so many calls in hand")
	require.Len(k.t, billed, len(w.costs)-len(provider))
}
