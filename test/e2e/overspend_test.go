package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// 300 ask at once for what a budget affords 73 times: at most 73 get it, and none of them for free.
func TestNoOverspendUnderConcurrency(t *testing.T) {
	const fits = 73
	each := price(t, model, 400, 0, 100) // the hold is for the bound of the input, which is at most this long
	gate := newGate(t)
	plans := t.TempDir() + "/plans.yaml"
	writeFile(t, plans, fmt.Sprintf(`plans:
  - id: tight
    name: Tight
    price: "0"
    included_credit: "0.%09d"
    limits: {requests_per_minute: 0, tokens_per_minute: 0, concurrent_requests: 0}
`, fits*each))
	inEachMode(t, func(t *testing.T, in *installation) {
		in.control(http.MethodPatch, "/control/openai/settings", map[string]any{"pace_ms": 0, "reply_tokens": 100}, nil)
		token := in.token("user_tight", nil)
		in.account(token)
		type outcome struct {
			status int
			usage  openAIUsage
		}
		results := make(chan outcome, 300)
		body := `{"model":"gpt-4o-mini","max_tokens":100,"messages":[{"role":"user","content":"Say a hundred words."}]}`
		for range 300 {
			go func() {
				a := in.call(t.Context(), http.MethodPost, "/v1/chat/completions", token, body)
				var got struct{ Usage openAIUsage }
				_ = json.Unmarshal(a.body, &got)
				results <- outcome{a.status, got.Usage}
			}()
		}
		statuses, billed := map[int]int{}, int64(0)
		for range 300 {
			r := <-results
			statuses[r.status]++
			if r.status == http.StatusOK {
				billed += r.usage.price(t, model)
			}
		}
		now := in.account(token)
		t.Logf("statuses %v, billed %d of %d nano-dollars", statuses, billed, fits*each)
		require.Equal(t, 300, statuses[http.StatusOK]+statuses[http.StatusPaymentRequired])
		require.Positive(t, statuses[http.StatusPaymentRequired])
		require.LessOrEqual(t, billed, fits*each, "never more than there was")
		require.Equal(t, fits*each-billed, now.Balance, "every answer was billed, once")
		require.Zero(t, now.Held)

		gate.noMoreThanFit(t, in, fits, fits*each)
	}, "PLANS_FILE="+plans, "DEFAULT_PLAN=tight", "MODELS_FILE="+gate.models(t, each))
}

// gate is a provider that answers no call before it is opened.
type gate struct {
	url    string
	calls  atomic.Int64
	opened atomic.Pointer[chan struct{}]
}

// gatedTokens is the input of each call of a gate, and as many letters.
const gatedTokens = 400

func newGate(t *testing.T) *gate {
	t.Helper()
	g := &gate{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		g.calls.Add(1)
		select {
		case <-*g.opened.Load():
			_, _ = fmt.Fprintf(w, `{"data":[{"index":0,"embedding":[1]}],"usage":{"prompt_tokens":%d}}`, gatedTokens)
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	g.url = server.URL
	return g
}

// models is a price list with the usual model, and one of the gate, whose calls cost that much.
func (g *gate) models(t *testing.T, each int64) string {
	t.Helper()
	path := t.TempDir() + "/models.yaml"
	writeFile(t, path, fmt.Sprintf(`targets:
  gate: {kind: compatible, base_url: %q}
models:
  gpt-4o-mini: {kind: chat, provider: openai, vocabulary: o200k_base, context_tokens: 128000, max_output_tokens: 16384, default_output_tokens: 4096, input: "0.15", cached_input: "0.075", output: "0.60"}
  gated: {kind: embedding, provider: test, context_tokens: 8000, input: "0.%03d", targets: [{target: gate}]}
`, g.url, each/gatedTokens))
	return path
}

// noMoreThanFit has 300 callers share a balance. The gate opens when each of them has reached it, or was refused.
func (g *gate) noMoreThanFit(t *testing.T, in *installation, fits, balance int64) {
	t.Helper()
	const callers = 300
	opened := make(chan struct{})
	g.opened.Store(&opened)
	g.calls.Store(0)
	token := in.token("user_gated", nil)
	before := in.account(token)
	require.Equal(t, balance, before.Balance)
	var answered, refused atomic.Int64
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			switch a := in.call(t.Context(), http.MethodPost, "/v1/embeddings", token, `{"model":"gated","input":"`+strings.Repeat("a", gatedTokens)+`"}`); a.status {
			case http.StatusOK:
				answered.Add(1)
			case http.StatusPaymentRequired:
				refused.Add(1)
			default:
				t.Errorf("%d: %s", a.status, a.body)
			}
		})
	}
	everybody := func() bool { return g.calls.Load()+refused.Load() == callers }
	if !within(time.Minute, everybody) {
		t.Errorf("%d reached the provider, %d were refused", g.calls.Load(), refused.Load())
	}
	close(opened)
	all.Wait()
	require.True(t, everybody())
	require.Equal(t, g.calls.Load(), answered.Load())
	require.LessOrEqual(t, answered.Load(), fits)
	require.Greater(t, answered.Load(), fits/2, "the hold of a call is not far above its cost")
	now := in.account(token)
	require.Zero(t, now.Held)
	require.Equal(t, balance-answered.Load()*balance/fits, now.Balance)
	in.verifyLedger()
	t.Logf("%d calls at once on a balance for %d: %d reached the provider", callers, fits, answered.Load())
}

// within reports whether something holds before so much time has passed.
func within(most time.Duration, holds func() bool) bool {
	for end := time.Now().Add(most); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if holds() {
			return true
		}
	}
	return holds()
}
