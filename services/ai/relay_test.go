package ai_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
)

const hello = `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"say hello to the world"}]}`

func TestRelayWhole(t *testing.T) {
	h := newFixture(t, withReply(20))
	a := h.chat(hello)
	require.Nil(t, a.err)
	require.EqualValues(t, 200, a.head.GetStatus())
	require.False(t, a.head.GetStreamed())
	require.Equal(t, "application/json", a.head.GetHeaders()["content-type"])
	require.NotEmpty(t, a.head.GetHeaders()["x-request-id"])
	require.NotContains(t, a.head.GetHeaders(), "openai-organization")

	var got struct {
		Choices []struct{ Message struct{ Content string } }
		Usage   struct{ PromptTokens, CompletionTokens int64 } `json:"usage"`
	}
	require.NoError(t, json.Unmarshal([]byte(a.body), &got))
	require.Len(t, got.Choices, 1)

	sent, ok := h.openai.LastRequest()
	require.True(t, ok)
	require.Empty(t, cmp.Diff(hello, string(sent.Body)), "the body goes upstream as it came")
	require.Equal(t, "Bearer "+key, sent.Header.Get("Authorization"))
	require.Equal(t, "org-canary0000000000", sent.Header.Get("Openai-Organization"))

	hold := h.settled()
	final := hold.Settled[0]
	stats := h.openai.Stats()
	require.Equal(t, billingv1.Outcome_OUTCOME_COMPLETED, final.GetOutcome())
	require.False(t, final.GetEstimated())
	require.EqualValues(t, stats.PromptTokens, final.GetUsage().GetInputTokens())
	require.EqualValues(t, stats.CompletionTokens, final.GetUsage().GetOutputTokens())
	require.Equal(t, a.head.GetHeaders()["x-request-id"], final.GetProviderRequestId())
	require.Equal(t, "acct_1", hold.Request.GetAccountId())
	require.Equal(t, "user_1", hold.Request.GetUserId())
	require.GreaterOrEqual(t, hold.Request.GetInputTokens(), final.GetUsage().GetInputTokens())
}

func TestRelayStream(t *testing.T) {
	h := newFixture(t, withReply(20))
	a := h.chat(`{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"say hello"}],"x":1}`)
	require.Nil(t, a.err)
	require.True(t, a.head.GetStreamed())
	require.Equal(t, "text/event-stream; charset=utf-8", a.head.GetHeaders()["content-type"])
	require.True(t, strings.HasSuffix(a.body, "data: [DONE]\n\n"))
	require.NotContains(t, a.body, `"choices":[]`, "the usage was not asked for")

	sent, _ := h.openai.LastRequest()
	require.JSONEq(t, `{"stream_options":{"include_usage":true},"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"say hello"}],"x":1}`, string(sent.Body))

	final := h.settled().Settled[0]
	require.Equal(t, billingv1.Outcome_OUTCOME_COMPLETED, final.GetOutcome())
	require.False(t, final.GetEstimated())
	require.EqualValues(t, 20, final.GetUsage().GetOutputTokens())
	require.EqualValues(t, h.openai.Stats().PromptTokens, final.GetUsage().GetInputTokens())
}

func TestUsageIsShownWhenAsked(t *testing.T) {
	h := newFixture(t)
	a := h.chat(`{"model":"gpt-4o-mini","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"say hello"}]}`)
	require.Nil(t, a.err)
	require.Contains(t, a.body, `"choices":[],"usage":{`)
	require.True(t, strings.HasSuffix(a.body, "data: [DONE]\n\n"))
	h.settled()
}

func TestRelayEmbeddings(t *testing.T) {
	h := newFixture(t)
	a := h.relay(aiv1.Endpoint_ENDPOINT_EMBEDDINGS, `{"model":"text-embedding-3-small","input":["one two","three"],"encoding_format":"base64"}`)
	require.Nil(t, a.err)
	require.EqualValues(t, 200, a.head.GetStatus())
	final := h.settled().Settled[0]
	require.EqualValues(t, 3, final.GetUsage().GetInputTokens())
	require.Zero(t, final.GetUsage().GetOutputTokens())
}
