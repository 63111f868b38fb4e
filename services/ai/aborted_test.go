package ai_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	"github.com/trivet-dev/trivet/services/ai"
)

// slowUpstream answers in the way that the request's user names, and counts the requests that it serves.
func slowUpstream(serving *atomic.Int64) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		serving.Add(1)
		defer serving.Add(-1)
		body, err := io.ReadAll(r.Body)
		switch {
		case err != nil || bytes.Contains(body, []byte(`"silent"`)):
			<-r.Context().Done()
		case bytes.Contains(body, []byte(`"stream":true`)):
			w.Header().Set("Content-Type", "text/event-stream")
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, delta(" hello")); err != nil {
					return
				}
				_ = http.NewResponseController(w).Flush()
			}
		default:
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, wholeAnswer(13, 5))
		}
	}
}

// Callers leave at any point: before the provider has answered, in the middle of a stream, after the end. Nothing is left of
// their calls: every hold is settled once, and the provider serves no request. TestMain checks that no goroutine is left.
// TRIVET_FAULTS=1 has 10,000 callers leave.
func TestAbortedCallsLeaveNothing(t *testing.T) {
	calls := 300
	if os.Getenv("TRIVET_FAULTS") != "" {
		calls = 10_000
	}
	var serving atomic.Int64
	h := newFixture(t, withUpstream(slowUpstream(&serving)), withConfig(func(c *ai.Config) {
		c.AbandonedReads, c.AbandonedReadTimeout = 8, 100*time.Millisecond
	}))
	kinds := []string{`"stream":true`, `"stream":false`, `"stream":true,"user":"silent"`, `"user":"silent"`}
	room := make(chan struct{}, 32)
	var callers sync.WaitGroup
	for n := range calls {
		room <- struct{}{}
		callers.Go(func() {
			defer func() { <-room }()
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			body := fmt.Sprintf(`{"model":"gpt-4o-mini","max_tokens":400,"messages":[{"role":"user","content":"hi"}],%s}`, kinds[n%len(kinds)])
			stream, err := h.Relay(ctx, &aiv1.RelayRequest{Endpoint: chatEndpoint, Body: []byte(body)})
			if err != nil {
				t.Errorf("the call cannot begin: %v", err)
				return
			}
			timer := time.AfterFunc(time.Duration(n%7)*time.Millisecond, leave)
			defer timer.Stop()
			for pieces := 0; err == nil; pieces++ {
				if pieces > n%11 {
					leave()
				}
				_, err = stream.Recv()
			}
		})
	}
	callers.Wait()
	require.Eventually(t, func() bool {
		if serving.Load() > 0 || h.billing.Held() > 0 {
			return false
		}
		for _, hold := range h.billing.Holds() {
			if len(hold.Settled) == 0 {
				return false
			}
		}
		return true
	}, time.Minute, 10*time.Millisecond)
	holds := h.billing.Holds()
	require.NotEmpty(t, holds)
	for _, hold := range holds {
		require.Len(t, hold.Settled, 1, "settled exactly once")
		require.LessOrEqual(t, hold.Settled[0].GetUsage().GetOutputTokens(), hold.Response.GetOutputTokens(), "within the hold")
	}
}
