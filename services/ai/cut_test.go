package ai_test

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/services/ai/internal/tokens"
)

// TestChatCutAtEveryByte cuts a chat's stream after each of its bytes, for both ways to read it. The caller gets no made-up end; what came through is
// billed, or what the provider reported if it is more; and nothing stays held.
func TestChatCutAtEveryByte(t *testing.T) {
	const head, usage = `data: {"id":"c","model":"m","choices":[{"index":0,"delta":`, `data: {"id":"c","choices":[],"usage":{"prompt_tokens":11,"completion_tokens":9,"total_tokens":20}}` + "\n\n"
	chunks := head + `{"role":"assistant","content":""},"finish_reason":null}]}` + "\n\n" + ": ping\n\n" + head + `{"content":"one"},"finish_reason":null}]}` + "\n\n" +
		head + `{"content":" \ud83d\ude00 zwölf"},"finish_reason":null}]}` + "\n\n" +
		head + `{"tool_calls":[{"index":0,"id":"t","type":"function","function":{"name":"f","arguments":"{}"}}]},"finish_reason":null}]}` + "\r\n\r\n" +
		head + `{},"finish_reason":"tool_calls"}]}` + "\n\n"
	recorded := chunks + usage + done
	whole := len(chunks+usage) + len("data: [DONE]")
	var cut atomic.Int64
	h := newFixture(t, withUpstream(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, recorded[:cut.Load()])
	}))
	counter := tokens.NewCounter()
	for n := range len(recorded) + 1 {
		cut.Store(int64(n))
		a := h.chat(streamed)
		bills := func(err *errs.Error, output int64) {
			t.Helper()
			require.Equal(t, n < whole, err != nil, n)
			if err != nil {
				require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, err.Reason, n)
			}
			final := h.newest().Settled[0]
			require.EqualValues(t, output, final.GetUsage().GetOutputTokens(), n)
			require.Equal(t, output > 0, final.GetUsage().GetInputTokens() > 0, n)
			require.Equal(t, output > 0 && output < 9, final.GetEstimated(), n)
			require.Zero(t, h.billing.Held(), n)
		}
		require.True(t, strings.HasPrefix(chunks+done, a.body), "%d: %s", n, a.body)
		require.Equal(t, n >= whole, strings.Contains(a.body, "[DONE]"), n)
		output := int64(9)
		if n < len(chunks+usage) {
			output = 0
			for _, text := range contents(t, strings.ReplaceAll(a.body, "\r\n", "\n")) {
				output += counter.Count(models.VocabularyO200k, []byte(text))
			}
		}
		bills(a.err, output)

		pieces, err := h.stream(&aiv1.ChatStreamRequest{Model: "gpt-4o-mini", Messages: user("hi")})
		for _, piece := range pieces {
			require.Equal(t, n >= whole, piece.CostNanoUsd != nil || piece != pieces[len(pieces)-1], n)
		}
		if err == nil {
			bills(nil, output)
		} else {
			bills(errs.From(err), output)
		}
	}
}
