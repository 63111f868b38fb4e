package e2e

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestCallersWhoLeaveLeaveNothing has callers leave the edge at any point of their calls: before the answer begins, in the middle of a stream, at its end. Then no
// credit is held, the ledger is sound, and no process has more goroutines or open files than it had after the first callers. CI has 300 callers, and
// TRIVET_FAULTS=1 (make test-faults) 10,000.
func TestCallersWhoLeaveLeaveNothing(t *testing.T) {
	calls := 300
	if os.Getenv("TRIVET_FAULTS") != "" {
		calls = 10_000
	}
	// Pools keep some goroutines and connections, which come and go. One of each call would be far more.
	const slack = 100
	inEachMode(t, func(t *testing.T, in *installation) {
		in.control(http.MethodPatch, "/control/openai/settings", map[string]any{"pace_ms": 2, "reply_tokens": 60}, nil)
		var tokens []string
		for n := range 4 {
			tokens = append(tokens, in.token("user_leaver_"+strconv.Itoa(n), nil))
			require.Zero(t, in.account(tokens[n]).Held)
		}
		in.leave(tokens, 100) // fills the pools
		in.nothingHeld(tokens)
		before := in.kept()
		in.leave(tokens, calls)
		in.nothingHeld(tokens)
		var after map[string]int
		require.Eventually(t, func() bool {
			after = in.kept()
			for name, n := range after {
				if n > before[name]+slack {
					return false
				}
			}
			return true
		}, 2*time.Minute, time.Second, "%v before", before)
		t.Logf("%d callers: %v before, %v after", calls, before, after)
		in.verifyLedger()
	}, "DEFAULT_PLAN=unlimited")
}

// leave makes calls of all kinds, 32 at a time, whose callers leave after some milliseconds.
func (in *installation) leave(tokens []string, calls int) {
	in.t.Helper()
	const messages = `"messages":[{"role":"user","content":"Continue for long."}]`
	kinds := []struct{ path, body string }{
		{"/v1/chat/completions", `{"model":"gpt-4o-mini","stream":true,` + messages + `}`},
		{"/v1/chat/completions", `{"model":"gpt-4o-mini",` + messages + `}`},
		{"/api/v1/chat:stream", `{"model":"gpt-4o-mini",` + messages + `}`},
		{"/v1/responses", `{"model":"gpt-4o-mini","stream":true,"input":"Continue for long."}`},
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 32}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	room := make(chan struct{}, 32)
	var callers sync.WaitGroup
	for n := range calls {
		room <- struct{}{}
		callers.Go(func() {
			defer func() { <-room }()
			ctx, cancel := context.WithTimeout(in.t.Context(), time.Duration(n%40)*5*time.Millisecond)
			defer cancel()
			kind := kinds[n%len(kinds)]
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, in.edge+kind.path, strings.NewReader(kind.body))
			if err != nil {
				in.t.Error(err)
				return
			}
			request.Header.Set("Authorization", "Bearer "+tokens[n%len(tokens)])
			request.Header.Set("Content-Type", "application/json")
			response, err := client.Do(request)
			if err != nil {
				return // it has left
			}
			if response.StatusCode != http.StatusOK {
				in.t.Errorf("%s: %s", kind.path, response.Status)
			}
			_, _ = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
		})
	}
	callers.Wait()
}

// nothingHeld waits until no credit is held for anybody.
func (in *installation) nothingHeld(tokens []string) {
	in.t.Helper()
	for _, token := range tokens {
		require.Eventually(in.t, func() bool { return in.account(token).Held == 0 }, time.Minute, 50*time.Millisecond)
	}
}

// kept is how many goroutines and open files each process has.
func (in *installation) kept() map[string]int {
	in.t.Helper()
	kept := map[string]int{}
	for i, ops := range in.ops {
		kept["goroutines of process "+strconv.Itoa(i)] = in.gauge(ops, "go_goroutines")
	}
	for _, p := range in.running {
		files, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(p.Process.Pid), "fd"))
		require.NoError(in.t, err)
		kept["files of "+p.name] = len(files)
	}
	return kept
}

// gauge reads a metric without labels.
func (in *installation) gauge(ops, name string) int {
	in.t.Helper()
	answer, err := http.Get(ops + "/metrics")
	require.NoError(in.t, err)
	raw, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	require.NoError(in.t, err)
	for line := range strings.Lines(string(raw)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			require.NoError(in.t, err)
			return int(n)
		}
	}
	require.Failf(in.t, "no such metric", "%s at %s", name, ops)
	return 0
}
