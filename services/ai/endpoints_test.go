package ai_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
)

const (
	completions = aiv1.Endpoint_ENDPOINT_COMPLETIONS
	moderations = aiv1.Endpoint_ENDPOINT_MODERATIONS
	instruct    = "gpt-3.5-turbo-instruct"
)

// TestCompletions bounds, counts and passes on completions of texts.
func TestCompletions(t *testing.T) {
	for name, c := range map[string]struct {
		request, sent string
		choices       int32
		output        int64
	}{
		"OpenAI's default bound": {`{"model":"` + instruct + `","prompt":"[sandbox tokens=40]"}`, `{"max_tokens":16,"model":"` + instruct + `","prompt":"[sandbox tokens=40]"}`, 1, 16},
		"a bound of its own":     {`{"model":"` + instruct + `","prompt":"[sandbox tokens=40]","max_tokens":20}`, "", 1, 20},
		"several prompts":        {`{"model":"` + instruct + `","prompt":["[sandbox tokens=40]","b [sandbox tokens=40]"],"n":3,"max_tokens":5}`, "", 6, 30},
		"a stream": {
			`{"model":"` + instruct + `","prompt":"[sandbox tokens=40]","stream":true,"max_tokens":20}`,
			`{"stream_options":{"include_usage":true},"model":"` + instruct + `","prompt":"[sandbox tokens=40]","stream":true,"max_tokens":20}`, 1, 20,
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t)
			a := h.relay(completions, c.request)
			require.Nil(t, a.err)
			require.EqualValues(t, 200, a.head.GetStatus())
			require.Contains(t, a.body, "text_completion")
			require.NotContains(t, a.body, `"choices":[],`, "the usage of the stream was not asked for")
			sent, _ := h.openai.LastRequest()
			require.Equal(t, "/v1/completions", sent.Path)
			if c.sent == "" {
				c.sent = c.request
			}
			require.Equal(t, c.sent, string(sent.Body))
			hold := h.settled()
			require.Equal(t, c.choices, hold.Request.GetChoices())
			require.Equal(t, c.output, int64(hold.Settled[0].GetUsage().GetOutputTokens()))
			require.False(t, hold.Settled[0].GetEstimated())
			require.GreaterOrEqual(t, hold.Request.GetInputTokens(), hold.Settled[0].GetUsage().GetInputTokens())
		})
	}
}

const (
	wholeText    = `{"id":"c1","object":"text_completion","model":"m","choices":[{"index":0,"text":"one two three","logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":4}}`
	streamedText = `data: {"id":"c1","object":"text_completion","model":"m","choices":[{"index":0,"text":"one two","logprobs":null,"finish_reason":null}]}` + "\n\n" +
		`data: {"id":"c1","object":"text_completion","model":"m","choices":[{"index":0,"text":" three","logprobs":null,"finish_reason":"stop"}]}` + "\n\n"
	usageText  = `data: {"id":"c1","object":"text_completion","model":"m","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4}}` + "\n\n"
	spreadText = `data: {"id":"c1","object":"text_completion","model":"m","choices":[{"index":0,"text":"one two three","logprobs":null,"finish_reason":"stop"}]}` + "\n\n"
)

// TestCompletionsHaveTheRequestedForm is TestAnswerHasTheRequestedForm for texts.
func TestCompletionsHaveTheRequestedForm(t *testing.T) {
	const whole, stream = `{"model":"` + instruct + `","prompt":"a"}`, `{"model":"` + instruct + `","prompt":"a","stream":true}`
	for name, c := range map[string]struct {
		request, answer, want string
	}{
		"stream for a stream":     {stream, streamedText + usageText + done, streamedText + done},
		"one piece for a stream":  {stream, wholeText, spreadText + done},
		"stream for one piece":    {whole, streamedText + usageText + done, wholeText},
		"one piece for one piece": {whole, wholeText, wholeText},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t, withUpstream(raw("text/plain", c.answer)))
			a := h.relay(completions, c.request)
			require.Nil(t, a.err)
			if c.request == whole {
				require.JSONEq(t, c.want, a.body)
			} else {
				require.Equal(t, c.want, a.body)
			}
			final := h.settled().Settled[0]
			require.EqualValues(t, 9, final.GetUsage().GetInputTokens())
			require.EqualValues(t, 4, final.GetUsage().GetOutputTokens())
		})
	}
}

// TestCutCompletionIsBilledAsCounted has no usage: the texts are counted.
func TestCutCompletionIsBilledAsCounted(t *testing.T) {
	h := newFixture(t, withUpstream(raw("text/event-stream", streamedText)))
	a := h.relay(completions, `{"model":"`+instruct+`","prompt":"a b c","stream":true}`)
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, a.err)
	final := h.settled().Settled[0]
	require.EqualValues(t, 3, final.GetUsage().GetInputTokens())
	require.EqualValues(t, 3, final.GetUsage().GetOutputTokens())
	require.True(t, final.GetEstimated())
}

// TestModerations are free, and need a model of their kind.
func TestModerations(t *testing.T) {
	for name, body := range map[string]string{
		"a model":      `{"model":"omni-moderation-latest","input":"please flagme"}`,
		"a dated name": `{"model":"omni-moderation-2024-09-26","input":["please flagme"]}`,
		"no model":     `{"input":["please flagme"]}`,
	} {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t, withBalance(0))
			a := h.relay(moderations, body)
			require.Nil(t, a.err)
			require.EqualValues(t, 200, a.head.GetStatus())
			var answer struct{ Results []struct{ Flagged bool } }
			require.NoError(t, json.Unmarshal([]byte(a.body), &answer))
			require.True(t, answer.Results[0].Flagged)
			sent, _ := h.openai.LastRequest()
			require.Equal(t, "/v1/moderations", sent.Path)
			require.Equal(t, body, string(sent.Body))
			hold := h.settled()
			require.Zero(t, hold.Cost)
			require.Equal(t, billingv1.Outcome_OUTCOME_COMPLETED, hold.Settled[0].GetOutcome())
			require.Zero(t, hold.Settled[0].GetUsage().GetInputTokens())
		})
	}
}

// TestRequestsForOtherKindsOfModels are refused before anything is held.
func TestRequestsForOtherKindsOfModels(t *testing.T) {
	long := strings.Repeat(`"a",`, 64) + `"a"`
	for body, c := range map[string]struct {
		endpoint aiv1.Endpoint
		field    string
	}{
		`{"model":"gpt-4o","input":"a"}`:                                         {moderations, "model"},
		`{"model":"omni-moderation-latest"}`:                                     {moderations, "input"},
		`{"model":"omni-moderation-latest","input":[]}`:                          {moderations, "input"},
		`{"model":"text-embedding-3-small","prompt":"a"}`:                        {completions, "model"},
		`{"model":"` + instruct + `"}`:                                           {completions, "prompt"},
		`{"model":"` + instruct + `","prompt":[]}`:                               {completions, "prompt"},
		`{"model":"` + instruct + `","prompt":{}}`:                               {completions, "prompt"},
		`{"model":"` + instruct + `","prompt":[1,"a"]}`:                          {completions, "prompt"},
		`{"model":"` + instruct + `","n":2,"prompt":[` + long + `]}`:             {completions, "prompt"},
		`{"model":"` + instruct + `","prompt":"a","max_tokens":5000}`:            {completions, "max_tokens"},
		`{"model":"` + instruct + `","prompt":"a","service_tier":"priority"}`:    {completions, "service_tier"},
		`{"model":"` + instruct + `","messages":[{"role":"user","content":""}]}`: {aiv1.Endpoint_ENDPOINT_CHAT_COMPLETIONS, "model"},
	} {
		h := newFixture(t)
		a := h.relay(c.endpoint, body)
		requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, a.err)
		require.Equal(t, c.field, a.err.Fields[0].Name, body)
		require.Empty(t, h.billing.Holds())
	}
}
