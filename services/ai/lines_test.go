package ai_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	"github.com/trivet-dev/trivet/platform/provider"
)

// lines are the log lines of calls to the provider so far.
func (h *fixture) lines() []string {
	return slices.DeleteFunc(strings.Split(h.logged.String(), "\n"), func(line string) bool { return !strings.Contains(line, `msg="provider call"`) })
}

// told waits for the line of a call that used tokens, which must be the only one, and match what was settled.
func (h *fixture) told(method string) {
	h.t.Helper()
	usage := h.billing.Holds()[0].Settled[0].GetUsage()
	require.Positive(h.t, usage.GetInputTokens())
	tokens := fmt.Sprintf("tokens_used=%d ", usage.GetInputTokens()+usage.GetOutputTokens())
	require.Eventually(h.t, func() bool { return strings.Contains(h.logged.String(), "tokens_used=") }, 30*time.Second, 5*time.Millisecond)
	lines := slices.DeleteFunc(h.lines(), func(line string) bool { return !strings.Contains(line, "tokens_used=") })
	require.Len(h.t, lines, 1)
	for _, part := range []string{"level=INFO", "integration=openai", "method=" + method + " ", "success=true ", "latency=", tokens} {
		require.Contains(h.t, lines[0]+" ", " "+part, method)
	}
}

// The line of each call says what it used, also when no request's line in the same process tells of it: in split mode, and for the typed API.
func TestTheLineOfACallTellsTheTokens(t *testing.T) {
	for name, c := range map[string]struct {
		method string
		call   func(h *fixture) error
	}{
		"relayed": {"chat.completions", func(h *fixture) error {
			require.Nil(h.t, h.chat(request("gpt-4o-mini", "")).err)
			return nil
		}},
		"relayed stream": {"chat.completions", func(h *fixture) error {
			require.Nil(h.t, h.chat(request("gpt-4o-mini", `,"stream":true`)).err)
			return nil
		}},
		"relayed embeddings": {"embeddings", func(h *fixture) error {
			require.Nil(h.t, h.relay(aiv1.Endpoint_ENDPOINT_EMBEDDINGS, `{"model":"text-embedding-3-small","input":"hello"}`).err)
			return nil
		}},
		"relayed response": {"responses", func(h *fixture) error {
			require.Nil(h.t, h.relay(aiv1.Endpoint_ENDPOINT_RESPONSES, `{"model":"gpt-4o-mini","input":"hello","store":false}`).err)
			return nil
		}},
		"typed chat": {"chat.completions", func(h *fixture) error {
			_, err := h.Chat(h.t.Context(), &aiv1.ChatRequest{Model: "gpt-4o-mini", Messages: user("hello")})
			return err
		}},
		"typed stream": {"chat.completions", func(h *fixture) error {
			stream, err := h.ChatStream(h.t.Context(), &aiv1.ChatStreamRequest{Model: "gpt-4o-mini", Messages: user("hello")})
			for err == nil {
				_, err = stream.Recv()
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}},
		"typed embeddings": {"embeddings", func(h *fixture) error {
			_, err := h.Embed(h.t.Context(), &aiv1.EmbedRequest{Model: "text-embedding-3-small", Input: []string{"hello"}})
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t, withReply(9))
			require.NoError(t, c.call(h))
			_ = h.settled()
			h.told(c.method)
			require.Len(t, h.lines(), 1, "one line a call")
		})
	}
}

// Only the answer that shows the end of a response in the background tells what it used.
func TestTheLineOfABackgroundResponseTellsTheTokens(t *testing.T) {
	t.Run("seen by the job", func(t *testing.T) {
		h := newRunning(t)
		h.create(askInBackground)
		h.pass(time.Hour)
		h.end()
		h.told("responses")
	})
	t.Run("seen by a caller", func(t *testing.T) {
		h := newRunning(t)
		m := h.create(askInBackground)
		h.pass(time.Hour)
		require.EqualValues(t, http.StatusOK, h.object(getResponse, m.ID, "").head.GetStatus())
		h.told("responses")
	})
}

// A call that failed has its line at once, and no other.
func TestAFailedCallHasOneLine(t *testing.T) {
	h := newFixture(t, withUpstream(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	a := h.chat(request("gpt-4o-mini", ""))
	require.True(t, a.err != nil || a.head.GetStatus() >= http.StatusInternalServerError)
	require.NotEmpty(t, h.lines())
	for _, line := range h.lines() {
		require.Contains(t, line, "level=WARN")
		require.Contains(t, line, "error_code=server_error")
		require.NotContains(t, line, "tokens_used")
	}
}

// A call whose request's line is already written, because the caller left, has a line of its own.
func TestACallThatOutlivesItsLineHasItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, func(e *exchange) {
			e.start("application/json")
			e.say(wholeAnswer(13, 7))
		}, nil)
		for lines, taken := range []bool{false, true} {
			attempt := &provider.Attempt{}
			if taken {
				_, _ = attempt.Take()
			}
			ctx, leave := caller(t, "acct_1")
			require.NoError(t, b.server.Relay(&aiv1.RelayRequest{Endpoint: chatEndpoint, Body: []byte(request("gpt-4o", ""))},
				&callerStream{ctx: provider.WithAttempt(ctx, attempt), take: func([]byte) error { return nil }}))
			leave()
			require.Equal(t, lines, strings.Count(b.logged.String(), `msg="provider call"`))
			require.Equal(t, lines, strings.Count(b.logged.String(), "tokens_used=20"))
		}
		b.stop()
	})
}
