package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The process is killed when it has seen the end of responses that the provider made in the background, and before it could settle them, while the
// provider makes others. Each is billed as the provider counts it, once: by the next process, although nobody asks for it, or by whoever asks first.
func TestKilledWhileResponsesRunInTheBackground(t *testing.T) {
	for name, start := range map[string]func(t *testing.T) (in *installation, killed string, hold func() (release func())){
		"all-in-one on SQLite": func(t *testing.T) (*installation, string, func() func()) {
			k := newKiller(t, "sqlite://"+t.TempDir(), rand.New(rand.NewPCG(1, 2)))
			k.control(http.MethodPatch, "/control/webhooks/settings", map[string]any{"paused": false}, nil)
			k.begin()
			k.awaitReady()
			return k.installation, "trivet", k.audit.lock
		},
		"split on PostgreSQL": func(t *testing.T) (*installation, string, func() func()) {
			in := split(t)
			return in, "ai", in.freezeBilling
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they wait more than they work
			in, killed, hold := start(t)
			token := in.token("user_alice", nil)
			before := in.account(token)
			in.control(http.MethodDelete, "/control/openai/stats", nil, nil)
			in.fault(map[string]any{"kind": "latency", "method": "GET", "path": "/v1/responses/*", "delay_ms": 4000}) // the first may be asked for before the last is made
			var ids []string
			ended := int64(0)                                         // tokens of the responses that end before the process is killed
			for i, length := range []int{800, 800, 800, 8000, 8000} { // in milliseconds; the first question comes after two seconds
				in.control(http.MethodPatch, "/control/openai/settings", map[string]any{"background_ms": length}, nil)
				a := in.call(t.Context(), http.MethodPost, "/v1/responses", token,
					fmt.Sprintf(`{"model":"gpt-4o-mini","background":true,"max_output_tokens":300,"input":"[sandbox tokens=%d] hello"}`, 50+10*i))
				require.Equal(t, http.StatusOK, a.status, string(a.body))
				var made struct{ ID string }
				require.NoError(t, json.Unmarshal(a.body, &made))
				ids = append(ids, made.ID)
				if length < 1000 {
					ended += 50 + 10*int64(i)
				}
			}
			asked := int64(len(ids)) + 3
			require.Eventually(t, func() bool { return in.upstream().Calls >= asked }, time.Minute, 10*time.Millisecond, "the process asks for them")
			require.LessOrEqual(t, in.account(token).Usage.Requests-before.Usage.Requests, int64(2), "at least three are not settled; the machine is too slow for this test")
			release := hold() // while the provider answers; no settlement commits from now on
			require.Eventually(t, func() bool { return in.upstream().CompletionTokens >= ended }, time.Minute, 50*time.Millisecond, "the provider has told the ends")
			in.program(killed).kill()
			in.control(http.MethodDelete, "/control/faults", nil, nil)
			release()
			in.again(killed)
			in.awaitReady()
			if os.Getenv("TRIVET_FAULTS") == "" { // the killed process has claimed them for two minutes; whoever asks meanwhile settles them
				for _, id := range ids[:3] {
					in.get("/v1/responses/"+id, token, &struct{}{})
				}
			}
			require.Eventually(t, func() bool { return in.account(token).Held == 0 }, 4*time.Minute, 100*time.Millisecond)

			for _, id := range ids {
				var got struct{ Status string }
				in.get("/v1/responses/"+id, token, &got)
				require.Equal(t, "completed", got.Status)
			}
			provider, after := in.upstream(), in.account(token)
			used := in.usageByModel(token)["gpt-4o-mini"]
			require.Equal(t, provider.PromptTokens, used.Input)
			require.Equal(t, provider.CompletionTokens, used.Output)
			require.Equal(t, price(t, "gpt-4o-mini", used.Input, 0, used.Output), used.Cost)
			require.Equal(t, before.Balance-used.Cost, after.Balance)
			require.EqualValues(t, len(ids), after.Usage.Requests-before.Usage.Requests)
			in.verifyLedger()
		})
	}
}

// freezeBilling keeps billing from answering and writing, until thaw is called.
func (in *installation) freezeBilling() (thaw func()) {
	in.t.Helper()
	p := in.program("billing").Process
	require.NoError(in.t, p.Signal(syscall.SIGSTOP))
	thaw = sync.OnceFunc(func() { _ = p.Signal(syscall.SIGCONT) })
	in.t.Cleanup(thaw) // also of a test that failed
	return thaw
}
