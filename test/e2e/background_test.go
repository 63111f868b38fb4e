package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The process is killed after the provider has ended responses in the background and before they are settled, and while it makes others. The next
// process bills each as the provider counts it, once, although nobody asks for it.
func TestKilledWhileResponsesRunInTheBackground(t *testing.T) {
	for name, start := range map[string]func(t *testing.T) (in *installation, killed string){
		"all-in-one on SQLite": func(t *testing.T) (*installation, string) {
			k := newKiller(t, "sqlite://"+t.TempDir(), rand.New(rand.NewPCG(1, 2)))
			k.control(http.MethodPatch, "/control/webhooks/settings", map[string]any{"paused": false}, nil)
			k.begin()
			k.awaitReady()
			return k.installation, "trivet"
		},
		"split on PostgreSQL": func(t *testing.T) (*installation, string) { return split(t), "ai" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they wait more than they work
			in, killed := start(t)
			token := in.token("user_alice", nil)
			before := in.account(token)
			in.control(http.MethodDelete, "/control/openai/stats", nil, nil)
			var ids []string
			for i, length := range []int{1, 1, 1, 4000, 4000} { // in milliseconds; the first question comes after two seconds
				in.control(http.MethodPatch, "/control/openai/settings", map[string]any{"background_ms": length}, nil)
				a := in.call(t.Context(), http.MethodPost, "/v1/responses", token,
					fmt.Sprintf(`{"model":"gpt-4o-mini","background":true,"max_output_tokens":300,"input":"[sandbox tokens=%d] hello"}`, 50+10*i))
				require.Equal(t, http.StatusOK, a.status, string(a.body))
				var made struct{ ID string }
				require.NoError(t, json.Unmarshal(a.body, &made))
				ids = append(ids, made.ID)
			}
			in.program(killed).kill()
			in.again(killed)
			in.awaitReady()
			require.Eventually(t, func() bool { return in.account(token).Held == 0 }, time.Minute, 100*time.Millisecond)

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
