package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// thinking is how long the provider's answers are kept back, so that a process that is killed usually has calls in hand.
const thinking = 50 * time.Millisecond

// witness is a proxy before the provider that notes the usage of each answer. It reads every answer to its end, whether the caller
// still lives or not: what it has noted is what the provider charges.
type witness struct {
	to     string // the provider's address
	client *http.Client

	mu      sync.Mutex
	answers map[string]openAIUsage // by the provider's id of the call
	calls   map[string]string      // the provider's id of the call by that of the answer
	twice   []string
}

// newWitness serves before the provider at the address until the test ends.
func newWitness(t *testing.T, to string) (w *witness, address string) {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	w = &witness{to: to, client: &http.Client{Transport: transport}, answers: map[string]openAIUsage{}, calls: map[string]string{}}
	server := httptest.NewServer(w)
	t.Cleanup(func() {
		server.Close()
		transport.CloseIdleConnections()
	})
	return w, server.URL
}

func (w *witness) ServeHTTP(to http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the caller died before it had sent the request
	}
	header, raw, err := w.forward(r, body)
	if err != nil {
		http.Error(to, err.Error(), http.StatusBadGateway)
		return
	}
	time.Sleep(thinking)
	maps.Copy(to.Header(), header)
	_, _ = to.Write(raw) // the caller may have died
}

// forward returns the provider's answer.
func (w *witness) forward(r *http.Request, body []byte) (http.Header, []byte, error) {
	request, err := http.NewRequestWithContext(context.WithoutCancel(r.Context()), r.Method, w.to+r.URL.Path, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	request.Header = r.Header.Clone()
	request.Header.Del("Accept-Encoding")
	response, err := w.client.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	raw, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("the provider answered %s: %s", response.Status, raw)
	}
	if err != nil {
		return nil, nil, err
	}
	return response.Header, raw, w.note(response.Header.Get("X-Request-Id"), raw)
}

func (w *witness) note(call string, raw []byte) error {
	var got struct {
		ID    string
		Usage openAIUsage
	}
	if err := json.Unmarshal(raw, &got); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, known := w.answers[call]; known || call == "" {
		w.twice = append(w.twice, call)
	}
	w.answers[call], w.calls[got.ID] = got.Usage, call
	return nil
}

// forget begins anew.
func (w *witness) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.answers)
	clear(w.calls)
}

// call is the provider's id of the call that had an answer.
func (w *witness) call(answer string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[answer]
}

// costs is what each call of the provider costs, by its id.
func (w *witness) costs(t *testing.T) map[string]int64 {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	require.Empty(t, w.twice, "each call of the provider has an id of its own")
	costs := make(map[string]int64, len(w.answers))
	for id, usage := range w.answers {
		costs[id] = usage.price(t, model)
	}
	return costs
}

// billedCall is a call in the log of an account.
type billedCall struct {
	ID, RequestID, Outcome, ErrorCode, ProviderRequestID string
	Cost                                                 int64 `json:"costNanoUsd,string"`
}

// billedCalls are the calls for which the account held credit.
func (in *installation) billedCalls(token string) (calls []billedCall) {
	in.t.Helper()
	for next := ""; ; {
		var page struct {
			Requests      []billedCall
			NextPageToken string
		}
		in.get("/api/v1/requests?pageSize=500&pageToken="+url.QueryEscape(next), token, &page)
		for _, call := range page.Requests {
			if call.Outcome != "OUTCOME_REFUSED" {
				calls = append(calls, call)
			}
		}
		if next = page.NextPageToken; next == "" {
			return calls
		}
	}
}

// bill is what the ledger has of all callers.
type bill struct {
	answers map[string]int64 // costs of the calls with an answer, by the provider's ids
	without []billedCall     // settled without an answer
	records int64
	cost    int64
}

// checkLedger compares the ledger with the provider, call by call. Every answer that a caller got, and every answer of the provider whose
// process lived, is billed once, at the price of the usage in it.
//
// One thing may differ. A process of ai that is killed takes the answers with it that it had not settled: the provider has charged them,
// nobody has got them, and nobody knows their usage. The sweeper settles their holds at the last checkpoint: at nothing, or at the input as ai
// guessed it from the request's length. There are at most as many as calls that the killed processes had in hand.
func (r *replicated) checkLedger(l *replicaLoad) bill {
	r.t.Helper()
	b := bill{answers: map[string]int64{}}
	var interrupted int64
	for _, ops := range r.ops[perService : 2*perService] { // those of ai
		require.Eventually(r.t, func() bool { return r.pendingSettlementsAt(ops) == 0 }, time.Minute, 100*time.Millisecond, "late settlements correct what the sweeper settled")
	}
	for _, c := range l.callers {
		require.Eventually(r.t, func() bool { return r.account(c.token).Held == 0 }, time.Minute, 100*time.Millisecond, "the sweeper closes the holds of dead processes")
		r.checkCaller(c, &b)
		interrupted += c.interrupted
	}
	made := r.witness.costs(r.t)
	require.NotEmpty(r.t, made)
	cheapest := slices.Min(slices.Collect(maps.Values(made)))
	for _, call := range b.without {
		require.Equal(r.t, "OUTCOME_ABANDONED", call.Outcome, "%+v", call)
		require.Less(r.t, call.Cost, cheapest, "a call without an answer costs less than one with an answer: %+v", call)
	}
	for id, cost := range b.answers {
		require.Contains(r.t, made, id, "the provider has no such answer")
		require.Equal(r.t, made[id], cost, "%s, to the nano-dollar", id)
		delete(made, id)
	}
	require.LessOrEqual(r.t, len(made), l.aiKills*len(l.callers), "answers that are not billed: %v", made)
	require.LessOrEqual(r.t, len(made), len(b.without), "the call of each answer that is not billed has a hold")
	require.LessOrEqual(r.t, int64(len(b.without)), interrupted, "only calls without an answer are settled without one: %v", b.without)
	return b
}

// checkCaller compares the account of one caller with the log of its calls, and with what the caller got.
func (r *replicated) checkCaller(c *caller, b *bill) {
	r.t.Helper()
	var cost, used int64
	calls := r.billedCalls(c.token)
	for _, call := range calls {
		cost += call.Cost
		if call.Cost > 0 {
			used++
		} else { // the sums of usage leave out a call that the sweeper settled at nothing
			require.Empty(r.t, call.ProviderRequestID, "only a call whose answer nobody had costs nothing")
		}
		if call.ProviderRequestID == "" {
			b.without = append(b.without, call)
			continue
		}
		require.NotContains(r.t, b.answers, call.ProviderRequestID, "no call is billed twice")
		b.answers[call.ProviderRequestID] = call.Cost
	}
	account := r.account(c.token)
	require.Equal(r.t, used, account.Usage.Requests)
	require.Equal(r.t, cost, account.Usage.Cost)
	for answer, cost := range c.answers {
		billed, ok := b.answers[r.witness.call(answer)]
		require.True(r.t, ok, "every answer is billed: %s is not", answer)
		require.Equal(r.t, cost, billed, "%s, to the nano-dollar", answer)
	}
	b.records, b.cost = b.records+int64(len(calls)), b.cost+cost
}

// checkTotals compares the sums with what the provider itself has counted: they are equal unless a process of ai was killed.
func (r *replicated) checkTotals(l *replicaLoad, b bill, made, cost int64) {
	r.t.Helper()
	var noted int64
	for _, each := range r.witness.costs(r.t) {
		noted += each
	}
	require.Equal(r.t, made, int64(len(r.witness.costs(r.t))), "the provider made the calls that passed")
	require.Equal(r.t, cost, noted)
	if l.aiKills == 0 {
		require.Len(r.t, b.answers, int(made), "every call of the provider is billed once")
		require.Equal(r.t, cost, b.cost, "to the nano-dollar")
	}
}
