package e2e

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The process is killed in the middle of a stream. The hold must not stay, and the call must be billed at what was last known of it:
// never nothing, never the whole hold.
func TestKilledInTheMiddleOfAStream(t *testing.T) {
	settings := []string{"TRIVET_DATA_DIR=" + t.TempDir(), "BILLING_HOLD_LEASE=10s", "BILLING_SWEEP_INTERVAL=100ms"}
	first := allInOne(t, settings...)
	first.control(http.MethodPatch, "/control/openai/settings", map[string]any{"pace_ms": 20, "reply_tokens": 5000}, nil)
	token := first.token("user_killed", nil)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, first.edge+"/v1/chat/completions",
		strings.NewReader(`{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"Continue."}]}`))
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	lines := bufio.NewScanner(response.Body)
	for seen := 0; seen < 200 && lines.Scan(); { // some four seconds: past the first checkpoint
		if strings.HasPrefix(lines.Text(), "data: ") {
			seen++
		}
	}
	held := first.account(token).Held
	require.Positive(t, held)
	first.kill()

	second := allInOne(t, settings...)
	require.Equal(t, held, second.account(token).Held, "the hold survived its process")
	require.Eventually(t, func() bool { return second.account(token).Held == 0 }, 60*time.Second, 100*time.Millisecond)
	cost := 5_000_000_000 - second.account(token).Balance
	t.Logf("billed %d of %d held nano-dollars", cost, held)
	require.Greater(t, cost, price(t, model, 1, 0, 20), "what had streamed until the last checkpoint")
	require.Less(t, cost, held/2)
	second.verifyLedger()
}

// kill ends the programs as a power cut would.
func (in *installation) kill() {
	in.t.Helper()
	for _, p := range in.running {
		p.kill()
	}
}

// kill ends a program as a power cut would.
func (p *program) kill() {
	p.once.Do(func() {
		_ = p.Process.Kill()
		_ = p.Wait()
	})
}
