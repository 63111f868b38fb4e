package ai_test

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/ai"
)

// A key is replaced while calls run: first the new one is listed, then the provider revokes the old one, then it is removed. No call is
// refused.
func TestKeysRotateUnderLoad(t *testing.T) {
	const next = "sk-the-next-canary-of-the-operator"
	var revoked atomic.Bool
	var mu sync.Mutex
	used := map[string]int{}
	var config ai.Config
	h := newFixture(t, withUpstream(func(w http.ResponseWriter, r *http.Request) {
		given := r.Header.Get("Authorization")
		if given == "Bearer "+key && revoked.Load() {
			http.Error(w, `{"error":{"message":"Incorrect API key provided","type":"invalid_request_error"}}`, http.StatusUnauthorized)
			return
		}
		mu.Lock()
		used[given]++
		mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"id":"1","object":"chat.completion","model":"gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`)
	}), func(p *plan) { config = p.config })
	rotate := func(keys ...string) error {
		config.Keys = settings.NewSecrets(keys...)
		return h.service.Rotate(config)
	}
	var calls sync.WaitGroup
	phase := make(chan struct{})
	var done [4]atomic.Int64
	// settled waits until every caller has begun and ended a call after this moment: a call that runs keeps its key.
	settled := func() {
		for i := range done {
			from := done[i].Load()
			require.Eventually(t, func() bool { return done[i].Load() >= from+2 || t.Failed() }, 60*time.Second, time.Millisecond)
		}
	}
	for i := range done {
		calls.Go(func() {
			for n := 0; ; n++ {
				a := h.chat(`{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}`)
				if a.err != nil || a.head.GetStatus() != http.StatusOK {
					t.Errorf("call %d: %v %v", n, a.head.GetStatus(), a.err)
					return
				}
				done[i].Add(1)
				select {
				case <-phase:
					return
				default:
				}
			}
		})
	}
	settled()
	require.NoError(t, rotate(next, key))
	settled()
	revoked.Store(true)
	settled()
	require.NoError(t, rotate(next))
	settled()
	close(phase)
	calls.Wait()
	require.Equal(t, http.StatusOK, int(h.chat(`{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}`).head.GetStatus()))
	mu.Lock()
	require.Positive(t, used["Bearer "+next])
	mu.Unlock()
	require.Error(t, h.service.Rotate(ai.Config{BaseURL: config.BaseURL, Redis: settings.NewSecret("no address")}))
	require.NotContains(t, h.logged.String(), next)
}
