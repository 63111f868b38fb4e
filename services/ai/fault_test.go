package ai_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	statusv1 "github.com/trivet-dev/trivet/gen/go/trivet/status/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/health"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/sandbox/fault"
	"github.com/trivet-dev/trivet/services/ai"
	"github.com/trivet-dev/trivet/services/ai/internal/tokens"
)

const (
	replyTokens = 12
	streamed    = `{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"[sandbox tokens=12] say hello"}]}`
)

// contents returns the texts of a stream, by choice.
func contents(t testing.TB, body string) (texts [8]string) {
	t.Helper()
	for _, event := range strings.SplitAfter(body, "\n\n") {
		data, ok := strings.CutPrefix(strings.TrimSpace(event), "data: ")
		if !ok || data == "[DONE]" {
			continue
		}
		var chunk struct {
			Choices []struct {
				Index int
				Delta struct {
					Content   string
					ToolCalls []struct {
						Function struct{ Name, Arguments string }
					} `json:"tool_calls"`
				}
			}
		}
		require.NoError(t, json.Unmarshal([]byte(data), &chunk), data)
		for _, c := range chunk.Choices {
			texts[c.Index] += c.Delta.Content
			for _, call := range c.Delta.ToolCalls {
				texts[c.Index+4] += call.Function.Name + call.Function.Arguments
			}
		}
	}
	return texts
}

// TestStreamCutAnywhere cuts a stream before every event, abruptly and cleanly: the caller never gets a [DONE] nor a
// clean end, and is billed exactly what came through.
func TestStreamCutAnywhere(t *testing.T) {
	counter := tokens.NewCounter()
	for _, kind := range []fault.Kind{fault.Cut, fault.EOF, fault.StreamError} {
		for _, n := range []int64{1, 2} {
			for after := range int(n)*replyTokens + 1 {
				t.Run(fmt.Sprintf("%s of %d choices after %d", kind, n, after), func(t *testing.T) {
					h := newFixture(t)
					h.fault(fault.Fault{Kind: kind, AfterChunks: after, Count: 1})
					a := h.chat(strings.Replace(streamed, "{", fmt.Sprintf(`{"n":%d,`, n), 1))
					if kind == fault.StreamError && after == 0 { // nothing was sent, so the error has its own status
						require.Nil(t, a.err)
						require.GreaterOrEqual(t, a.head.GetStatus(), int32(500))
						require.False(t, a.head.GetStreamed())
						require.Contains(t, a.body, `"error"`)
						require.Zero(t, h.settled().Cost)
						return
					}
					requireReason(t, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, a.err)
					require.NotContains(t, a.body, "[DONE]")
					require.NotContains(t, a.body, `"error"`)
					final := h.settled().Settled[0]
					require.Equal(t, billingv1.Outcome_OUTCOME_UPSTREAM_FAILED, final.GetOutcome())
					if after == 0 {
						require.Zero(t, final.GetUsage().GetInputTokens(), "nothing was produced")
						require.Zero(t, final.GetUsage().GetOutputTokens())
						return
					}
					var counted int64
					for _, text := range contents(t, a.body) {
						counted += counter.Count(models.VocabularyO200k, []byte(text))
					}
					require.EqualValues(t, counted, final.GetUsage().GetOutputTokens())
					require.EqualValues(t, after, counted, "the sandbox's words are a token each")
					require.True(t, final.GetEstimated())
					require.Positive(t, final.GetUsage().GetInputTokens())
					require.Less(t, final.GetUsage().GetInputTokens(), int32(40))
				})
			}
		}
	}
}

func TestStreamErrorKeepsTheProvidersMessage(t *testing.T) {
	h := newFixture(t)
	h.fault(fault.Fault{Kind: fault.StreamError, AfterChunks: 3, Body: `{"error" : {"message":"overloaded in org-AbCdEfGhIjKlMnOp","type":"server_error"}}`})
	a := h.chat(streamed)
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, a.err)
	require.Contains(t, a.err.Message, "overloaded in org-…")
	h.settled()
}

// TestCallerLeavesAnywhere leaves after each chunk.
func TestCallerLeavesAnywhere(t *testing.T) {
	counter := tokens.NewCounter()
	for after := range replyTokens {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			h := newFixture(t)
			// The provider stalls where the caller leaves, so that what was produced is what the caller saw.
			h.fault(fault.Fault{Kind: fault.Stall, AfterChunks: after + 1})
			ctx, leave := context.WithCancel(t.Context())
			stream, err := h.Relay(ctx, &aiv1.RelayRequest{Endpoint: aiv1.Endpoint_ENDPOINT_CHAT_COMPLETIONS, Body: []byte(streamed)})
			require.NoError(t, err)
			var body strings.Builder
			for strings.Count(body.String(), "data: ") < after+2 { // the role comes first
				res, err := stream.Recv()
				require.NoError(t, err)
				body.Write(res.GetBody())
			}
			leave()
			require.Eventually(t, func() bool { return h.openai.Stats().Cancelled == 1 }, 5*time.Second, time.Millisecond, "the upstream call is cancelled")
			require.Eventually(t, func() bool { return h.billing.Held() == 0 }, 5*time.Second, time.Millisecond)
			final := h.settled().Settled[0]
			require.Equal(t, billingv1.Outcome_OUTCOME_CALLER_LEFT, final.GetOutcome())
			require.EqualValues(t, counter.Count(models.VocabularyO200k, []byte(contents(t, body.String())[0])), final.GetUsage().GetOutputTokens())
			require.EqualValues(t, after+1, final.GetUsage().GetOutputTokens())
			require.Positive(t, final.GetUsage().GetInputTokens())
			require.True(t, final.GetEstimated())
		})
	}
}

func TestCallerLeavesBeforeTheAnswer(t *testing.T) {
	for name, body := range map[string]string{"stream": streamed} {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t)
			h.fault(fault.Fault{Kind: fault.Hang})
			ctx, leave := context.WithCancel(t.Context())
			stream, err := h.Relay(ctx, &aiv1.RelayRequest{Endpoint: aiv1.Endpoint_ENDPOINT_CHAT_COMPLETIONS, Body: []byte(body)})
			require.NoError(t, err)
			require.Eventually(t, func() bool { return h.openai.Stats().Calls == 1 }, 5*time.Second, time.Millisecond)
			leave()
			a := drain(stream)
			requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CANCELLED, a.err)
			require.Eventually(t, func() bool { return h.billing.Held() == 0 && h.openai.Stats().Cancelled == 1 }, 5*time.Second, time.Millisecond)
			final := h.settled().Settled[0]
			require.Equal(t, billingv1.Outcome_OUTCOME_CALLER_LEFT, final.GetOutcome())
			require.Positive(t, final.GetUsage().GetInputTokens(), "the provider has read the input")
			require.Zero(t, final.GetUsage().GetOutputTokens())
		})
	}
}

func TestCallerLeavesDuringTheReservation(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	var h *fixture
	h = newFixture(t, withBefore(func(_ context.Context, rpc string) error {
		if rpc == "Reserve" {
			leave()
			<-(<-h.running).Done()
		}
		return nil
	}))
	stream, err := h.Relay(ctx, &aiv1.RelayRequest{Endpoint: aiv1.Endpoint_ENDPOINT_CHAT_COMPLETIONS, Body: []byte(hello)})
	require.NoError(t, err)
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CANCELLED, drain(stream).err)
	require.Eventually(t, func() bool { return len(h.billing.Holds()) == 1 && h.billing.Held() == 0 }, 5*time.Second, time.Millisecond)
	require.Zero(t, h.settled().Cost)
	require.Zero(t, h.openai.Stats().Calls)
}

func TestProviderErrorsAreAnswers(t *testing.T) {
	cases := map[string]struct {
		fault   fault.Fault
		status  int32
		body    string
		headers map[string]string
	}{
		"500": {fault.Fault{Kind: fault.Status, Status: 500}, 500, "The server had an error", nil},
		"503": {fault.Fault{Kind: fault.Status, Status: 503, RetryAfter: 7 * time.Second}, 503, "overloaded", map[string]string{"retry-after": "7"}},
		"429": {
			fault.Fault{Kind: fault.RateLimit, RetryAfter: 3 * time.Second},
			429, "Rate limit reached for requests in organization org-… on requests",
			map[string]string{"retry-after": "3", "retry-after-ms": "3000"},
		},
		"400 keeps its body":     {fault.Fault{Kind: fault.Status, Status: 400, Body: `{"error":{"message":"no","type":"invalid_request_error","param":"x","code":null},"extra":1}`}, 400, `"param":"x","code":null},"extra":1}`, nil},
		"a proxy's page":         {fault.Fault{Kind: fault.Status, Status: 502, Body: "<html>bad gateway</html>"}, 502, `{"error":{"message":"The provider answered 502 Bad Gateway`, nil},
		"an envelope of another": {fault.Fault{Kind: fault.Status, Status: 404, Body: `{"detail":"nope"}`}, 404, `{"error":{"message":"nope","type":"invalid_request_error","param":null,"code":null}}`, nil},
	}
	for name, c := range cases {
		for kind, body := range map[string]string{"whole": hello, "stream": streamed} {
			t.Run(name+" "+kind, func(t *testing.T) {
				h := newFixture(t)
				h.fault(c.fault)
				a := h.chat(body)
				require.Nil(t, a.err)
				require.Equal(t, c.status, a.head.GetStatus())
				require.False(t, a.head.GetStreamed())
				require.Equal(t, "application/json", a.head.GetHeaders()["content-type"])
				require.Contains(t, a.body, c.body)
				require.True(t, json.Valid([]byte(a.body)))
				for name, value := range c.headers {
					require.Equal(t, value, a.head.GetHeaders()[name], name)
				}
				hold := h.settled()
				require.Zero(t, hold.Cost)
				require.Equal(t, billingv1.Outcome_OUTCOME_UPSTREAM_FAILED, hold.Settled[0].GetOutcome())
			})
		}
	}
}

func TestCredentialErrorsAreHidden(t *testing.T) {
	for name, f := range map[string]fault.Fault{
		"wrong key": {Kind: fault.Status, Status: 401},
		"forbidden": {Kind: fault.Status, Status: 403, Body: `{"error":{"message":"project proj_AbCdEfGhIjKlMnOp is closed","code":"account_deactivated"}}`},
		"not paid":  {Kind: fault.Status, Status: 402, Body: `{"error":{"message":"Insufficient credits","code":402}}`},
		"no quota":  {Kind: fault.Status, Status: 429, Body: `{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t)
			h.fault(f)
			a := h.chat(hello)
			requireReason(t, errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR, a.err)
			require.Empty(t, a.body)
			require.NotContains(t, a.err.Message, "quota")
			require.NotContains(t, h.logged.String(), "AbCdEf")
			require.Contains(t, h.logged.String(), "level=ERROR")
			require.Zero(t, h.settled().Cost)
		})
	}
}

// TestForbiddenRequestsRaiseNoAlert: a 403 about a request says nothing about Trivet's account, so any caller could ring the operator's alarm.
func TestForbiddenRequestsRaiseNoAlert(t *testing.T) {
	for name, c := range map[string]struct {
		kind, body string
		status     int32
		provider   statusv1.Status
	}{
		"a policy":          {"application/json", `{"error":{"message":"Rejected by the content policy","code":"content_policy_violation"}}`, http.StatusForbidden, health.Operational},
		"a firewall's page": {"text/html", "<html>Attention Required!</html>", http.StatusBadGateway, health.Operational},
	} {
		for _, body := range []string{hello, streamed} {
			h := newFixture(t, withUpstream(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("Content-Type", c.kind)
				w.WriteHeader(http.StatusForbidden)
				_, _ = io.WriteString(w, c.body)
			}))
			for range 5 {
				a := h.chat(body)
				require.Nil(t, a.err, name)
				require.Equal(t, c.status, a.head.GetStatus(), name)
			}
			require.NotContains(t, h.logged.String(), "level=ERROR", name)
			res, err := h.GetStatus(t.Context(), &aiv1.GetStatusRequest{})
			require.NoError(t, err)
			require.Equal(t, c.provider, res.GetProvider().GetStatus(), name)
		}
	}
}

func TestNoAnswerAtAll(t *testing.T) {
	quick := withConfig(func(c *ai.Config) { c.HeaderTimeout, c.IdleTimeout = 50*time.Millisecond, 50*time.Millisecond })
	cases := map[string]struct {
		fault  fault.Fault
		body   string
		reason errorsv1.ErrorReason
	}{
		"garbage":           {fault.Fault{Kind: fault.Garbage}, hello, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR},
		"garbage, streamed": {fault.Fault{Kind: fault.Garbage}, streamed, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR},
		"no choices":        {fault.Fault{Kind: fault.Garbage, Body: `{"id":"x","choices":[]}`}, hello, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR},
		"no object":         {fault.Fault{Kind: fault.Garbage, Body: `[1]`}, hello, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR},
		"connection cut":    {fault.Fault{Kind: fault.Close}, hello, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR},
		"cut after commit":  {fault.Fault{Kind: fault.CommitTimeout}, hello, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR},
		"hang":              {fault.Fault{Kind: fault.Hang}, hello, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_TIMEOUT},
		"hang, streamed":    {fault.Fault{Kind: fault.Hang}, streamed, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_TIMEOUT},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t, quick)
			h.fault(c.fault)
			a := h.chat(c.body)
			requireReason(t, c.reason, a.err)
			require.Nil(t, a.head)
			require.Zero(t, h.settled().Cost)
		})
	}
}

func TestSilenceWithinAStream(t *testing.T) {
	h := newFixture(t, withConfig(func(c *ai.Config) { c.IdleTimeout = 500 * time.Millisecond }))
	h.fault(fault.Fault{Kind: fault.Stall, AfterChunks: 4})
	a := h.chat(streamed)
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_TIMEOUT, a.err)
	final := h.settled().Settled[0]
	require.EqualValues(t, 4, final.GetUsage().GetOutputTokens())
}

// raw serves a canned stream.
func raw(kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", kind)
		_, _ = io.WriteString(w, body)
	}
}

const done = "data: [DONE]\n\n"

func delta(text string) string {
	return `data: {"id":"c1","choices":[{"index":0,"delta":{"content":"` + text + `"}}]}` + "\n\n"
}

func TestStreamsOfManyKinds(t *testing.T) {
	usage := `"usage":{"prompt_tokens":7,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":3},"completion_tokens_details":{"reasoning_tokens":2}}`
	cases := map[string]struct {
		in, out   string // out is "" when it is in
		broken    bool
		input     int64
		output    int64
		estimated bool
	}{
		"comments and events pass": {in: ": ping\n\nevent: message\nid: 1\n" + delta("one") + ": bye\n" + done, input: -1, output: 1, estimated: true},
		"carriage returns":         {in: strings.ReplaceAll(delta("one")+done, "\n", "\r\n"), input: -1, output: 1, estimated: true},
		"data on two lines":        {in: "data: {\"choices\":[{\"index\":0,\n" + "data: \"delta\":{\"content\":\"one\"}}]}\n\n" + done, input: -1, output: 1, estimated: true},
		"usage with choices":       {in: `data: {"choices":[{"index":0,"delta":{"content":"x"}}],` + usage + "}\n\n" + done, input: 7, output: 5},
		"usage alone is hidden":    {in: delta("x") + `data: {"choices":[],` + usage + "}\n\n" + done, out: delta("x") + done, input: 7, output: 5},
		"usage of zero is not a fact": {
			in:  delta("x") + `data: {"choices":[],"usage":{"prompt_tokens":0,"completion_tokens":0}}` + "\n\n" + done,
			out: delta("x") + done, input: -1, output: 1, estimated: true,
		},
		"a negative number is not a fact, the other is": {
			in:  delta("x") + `data: {"choices":[],"usage":{"prompt_tokens":-1,"completion_tokens":3}}` + "\n\n" + done,
			out: delta("x") + done, input: -1, output: 3, estimated: true,
		},
		"a later zero lowers nothing": {
			in:  delta("x") + `data: {"choices":[],` + usage + "}\n\n" + `data: {"choices":[],"usage":{"prompt_tokens":0,"completion_tokens":0}}` + "\n\n" + done,
			out: delta("x") + done, input: 7, output: 5,
		},
		"an early report, then cut": {
			in:     `data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":0}}` + "\n\n" + strings.Repeat(delta(" word"), 40),
			out:    strings.Repeat(delta(" word"), 40),
			broken: true, input: 7, output: 40, estimated: true,
		},
		"no completion, but a total":     {in: delta("x") + `data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":null,"total_tokens":32}}` + "\n\n" + done, out: delta("x") + done, input: 7, output: 25},
		"thinking in the total only":     {in: delta("x") + `data: {"choices":[],"usage":{"prompt_tokens":20,"completion_tokens":424,"total_tokens":1016}}` + "\n\n" + done, out: delta("x") + done, input: 20, output: 996},
		"texts that are not strings":     {in: strings.Repeat(`data: {"choices":[{"index":0,"delta":{"content":[{"type":"text","text":" word"}]}}]}`+"\n\n", 40) + done, input: -1, output: 40, estimated: true},
		"texts of the legacy completion": {in: strings.Repeat(`data: {"choices":[{"index":0,"text":" word"}]}`+"\n\n", 20) + done, input: -1, output: 20, estimated: true},
		"usage in every chunk": {
			in:    `data: {"choices":[{"index":0,"delta":{"content":"a"}}],"usage":{"prompt_tokens":7,"completion_tokens":1}}` + "\n\n" + `data: {"choices":[{"index":0,"delta":{"content":"b"}}],` + usage + "}\n\n" + done,
			input: 7, output: 5,
		},
		"cut after the usage":        {in: delta("x") + `data: {"choices":[],` + usage + "}\n\n", out: delta("x"), broken: true, input: 7, output: 5},
		"no last blank line":         {in: delta("one") + "data: [DONE]\n", input: -1, output: 1, estimated: true},
		"no last newline":            {in: delta("one") + "data: [DONE]", input: -1, output: 1, estimated: true},
		"words after the end":        {in: delta("one") + done + delta("more"), out: delta("one") + done, input: -1, output: 1, estimated: true},
		"half an event":              {in: delta("one") + `data: {"choi`, out: delta("one"), broken: true, input: -1, output: 1, estimated: true},
		"half an event, whole":       {in: delta("one") + strings.TrimSpace(delta("two")), out: delta("one"), broken: true, input: -1, output: 1, estimated: true},
		"broken JSON":                {in: delta("one") + "data: {\"choices\":[\n\n" + done, out: delta("one"), broken: true, input: -1, output: 1, estimated: true},
		"data that is not an object": {in: delta("one") + "event: ping\ndata: ping\n\ndata: 2026-11-28 08:40:33.5\n\ndata: [1]\n\ndata: <html>\n\n" + done, input: -1, output: 1, estimated: true},
		"white space around DONE":    {in: delta("one") + "data:  [DONE] \t\n\n", input: -1, output: 1, estimated: true},
		"carriage returns alone":     {in: strings.ReplaceAll(delta("one")+done, "\n", "\r"), input: -1, output: 1, estimated: true},
		"a byte order mark":          {in: "\xef\xbb\xbf" + delta("one") + done, input: -1, output: 1, estimated: true},
		"comments first":             {in: ": queued\n\n: queued\n\n" + delta("one") + done, input: -1, output: 1, estimated: true},
		"many comments first":        {in: strings.Repeat(": queued\n\n", 1000) + delta("one") + done, input: -1, output: 1, estimated: true},
		"empty errors":               {in: `data: {"error":"","choices":[{"index":0,"delta":{"content":"one"}}]}` + "\n\n" + `data: {"error":{},"choices":[]}` + "\n\n" + `data: {"error":false,"choices":[]}` + "\n\n" + done, input: -1, output: 1, estimated: true},
		"an error after a ping":      {in: delta("one") + ": ping\n\ndata: {\"x\":1,\n" + `data: "error":{"message":"boom"}}` + "\n\n", out: delta("one") + ": ping\n\n", broken: true, input: -1, output: 1, estimated: true},
		"an error of null":           {in: `data: {"error":null,"choices":[{"index":0,"delta":{"content":"one"}}]}` + "\n\n" + done, input: -1, output: 1, estimated: true},
		"nothing at all":             {in: "", broken: true},
		"reasoning and refusals":     {in: `data: {"choices":[{"delta":{"reasoning_content":"one","refusal":"two"},"index":1}]}` + "\n\n" + done, input: -1, output: 2, estimated: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t, withUpstream(raw("text/event-stream", c.in)))
			a := h.chat(streamed)
			if c.out == "" && !c.broken {
				c.out = c.in
			}
			require.Equal(t, c.out, a.body)
			if c.broken {
				requireReason(t, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, a.err)
			} else {
				require.Nil(t, a.err)
			}
			final := h.settled().Settled[0]
			require.Equal(t, c.estimated, final.GetEstimated())
			require.EqualValues(t, c.output, final.GetUsage().GetOutputTokens())
			if c.input >= 0 {
				require.EqualValues(t, c.input, final.GetUsage().GetInputTokens())
			} else {
				require.Positive(t, final.GetUsage().GetInputTokens())
			}
		})
	}
}

func TestAnswersOfManyKinds(t *testing.T) {
	message := `"choices":[{"index":0,"message":{"role":"assistant","content":"one two three","tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{}"}}]}}]`
	cases := map[string]struct {
		in        string
		request   string
		output    int64
		estimated bool
	}{
		"usage":                     {in: `{` + message + `,"usage":{"prompt_tokens":9,"completion_tokens":4}}`, request: hello, output: 4},
		"no usage":                  {in: `{` + message + `}`, request: hello, output: 5, estimated: true},
		"usage of null":             {in: `{"usage":null,` + message + `}`, request: hello, output: 5, estimated: true},
		"no choices, but a usage":   {in: `{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4}}`, request: hello, output: 4},
		"more cached than was read": {in: `{` + message + `,"usage":{"prompt_tokens":9,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":99}}}`, request: hello, output: 4},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t, withUpstream(raw("application/json", c.in)))
			a := h.chat(c.request)
			require.Nil(t, a.err)
			require.Equal(t, c.in, a.body, "bytes as they came")
			require.False(t, a.head.GetStreamed())
			final := h.settled().Settled[0]
			require.EqualValues(t, c.output, final.GetUsage().GetOutputTokens())
			require.Equal(t, c.estimated, final.GetEstimated())
			require.LessOrEqual(t, final.GetUsage().GetCachedInputTokens(), final.GetUsage().GetInputTokens())
		})
	}
}

// TestDoneIsSeenAfterTheSettlement holds the settlement back and looks at what the caller has by then.
func TestDoneIsSeenAfterTheSettlement(t *testing.T) {
	settling, settle := make(chan struct{}), make(chan struct{})
	h := newFixture(t, withBefore(func(_ context.Context, rpc string) error {
		if rpc == "Settle" {
			close(settling)
			<-settle
		}
		return nil
	}))
	stream, err := h.Relay(t.Context(), &aiv1.RelayRequest{Endpoint: aiv1.Endpoint_ENDPOINT_CHAT_COMPLETIONS, Body: []byte(streamed)})
	require.NoError(t, err)
	var seen strings.Builder
	for !strings.Contains(seen.String(), `"finish_reason":"`) {
		res, err := stream.Recv()
		require.NoError(t, err)
		seen.Write(res.GetBody())
	}
	<-settling
	require.NotContains(t, seen.String(), "[DONE]", "everything else has come, [DONE] waits")
	close(settle)
	a := drain(stream)
	require.Nil(t, a.err)
	require.Equal(t, done, a.body)
	h.settled()
}

// TestBillingDownAtTheEnd lets billing fail until the call is over: the caller gets the answer, the ledger the bill.
func TestBillingDownAtTheEnd(t *testing.T) {
	var down atomic.Bool
	down.Store(true)
	h := newFixture(t, withBefore(func(_ context.Context, rpc string) error {
		if rpc == "Settle" && down.Load() {
			return asStatus(errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, "billing is down"))
		}
		return nil
	}))
	a := h.chat(streamed)
	require.Nil(t, a.err)
	require.True(t, strings.HasSuffix(a.body, done))
	require.Positive(t, h.billing.Held())
	down.Store(false)
	require.Eventually(t, func() bool { return h.billing.Held() == 0 }, 10*time.Second, 10*time.Millisecond)
	require.EqualValues(t, replyTokens, h.settled().Settled[0].GetUsage().GetOutputTokens())
}

// TestCostIsReportedWhenBillingIsLate: the cost is the one that billing will charge.
func TestCostIsReportedWhenBillingIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, func(e *exchange) {
			e.start("application/json")
			e.say(`{"id":"c1","choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":40,"completion_tokens":50,"prompt_tokens_details":{"cached_tokens":10}}}`)
		}, nil)
		var down atomic.Bool
		down.Store(true)
		b.billing.Before = func(_ context.Context, rpc string) error {
			if rpc == "Settle" && down.Load() {
				return asStatus(errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, "billing is down"))
			}
			return nil
		}
		ctx, leave := caller(t, "acct_1")
		defer leave()
		res, err := b.server.Chat(ctx, &aiv1.ChatRequest{Model: "gpt-4o-mini", Messages: user("hi")})
		require.NoError(t, err)
		require.Empty(t, b.billing.Holds()[0].Settled)
		require.EqualValues(t, 30*150+10*75+50*600, res.GetCostNanoUsd())
		down.Store(false)
		time.Sleep(time.Minute)
		_, hold := b.settled()
		require.Equal(t, hold.Cost, res.GetCostNanoUsd())
		b.stop()
	})
}

// TestTheLikelyInputGoesWithTheHold looks at what the sweeper charges should this process die: neither the crude bound,
// four times the input, nor nothing.
func TestTheLikelyInputGoesWithTheHold(t *testing.T) {
	prompt := strings.Repeat("several common words make a line ", 400) // 2,400 tokens
	body := fmt.Sprintf(`{"model":"gpt-4o-mini","max_tokens":100,"messages":[{"role":"user","content":%q}]}`, prompt)
	h := newFixture(t)
	require.Nil(t, h.chat(body).err)
	rich := h.settled().Request
	require.Greater(t, rich.GetInputTokens(), int32(13_000))
	require.InDelta(t, 13_200/4, rich.GetExpectedInputTokens(), 100)

	h = newFixture(t, withBalance(2_700*150*12/10)) // affords the counted input only
	require.Nil(t, h.chat(body).err)
	poor := h.settled().Request
	require.InDelta(t, 2_407, poor.GetExpectedInputTokens(), 3)
	require.Greater(t, poor.GetInputTokens(), poor.GetExpectedInputTokens())
	require.Less(t, poor.GetInputTokens(), int32(2_600))
}

func TestLongStreamsWriteCheckpoints(t *testing.T) {
	release := make(chan struct{})
	h := newFixture(t, withUpstream(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, strings.Repeat(delta(" word"), 5))
		_ = http.NewResponseController(w).Flush()
		select {
		case <-release:
		case <-r.Context().Done():
		}
		_, _ = io.WriteString(w, done)
	}))
	stream, err := h.Relay(t.Context(), &aiv1.RelayRequest{Endpoint: aiv1.Endpoint_ENDPOINT_CHAT_COMPLETIONS, Body: []byte(streamed)})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(h.billing.Checkpoints()) == 1 }, 10*time.Second, 10*time.Millisecond)
	point := h.billing.Checkpoints()[0]
	require.EqualValues(t, 5, point.GetUsage().GetOutputTokens())
	require.Positive(t, point.GetUsage().GetInputTokens())
	close(release)
	require.Nil(t, drain(stream).err)
	require.Equal(t, point.GetHoldId(), h.settled().ID)
}

func TestStatusFollowsTheProvider(t *testing.T) {
	h := newFixture(t)
	status := func() statusv1.Status {
		res, err := h.GetStatus(t.Context(), &aiv1.GetStatusRequest{})
		require.NoError(t, err)
		require.Equal(t, health.Operational, res.GetService().GetStatus(), "the service itself works")
		return res.GetProvider().GetStatus()
	}
	require.Equal(t, health.Unknown, status())
	h.chat(hello)
	require.Equal(t, health.Operational, status())
	h.fault(fault.Fault{Kind: fault.Status, Status: 400, Count: 5})
	for range 5 {
		h.chat(hello)
	}
	require.Equal(t, health.Operational, status(), "a caller's mistake is not the provider's")
	h.fault(fault.Fault{Kind: fault.Status, Status: 500, Count: 3})
	for range 3 {
		h.chat(hello)
	}
	require.Equal(t, health.Degraded, status())
	h.fault(fault.Fault{Kind: fault.Cut, Count: 6})
	for range 6 {
		h.chat(streamed)
	}
	require.Equal(t, health.Down, status())
}

// An idle provider is asked for its models, so that an outage, or a refused key, shows before the first caller meets it.
func TestStatusOfAnIdleProvider(t *testing.T) {
	for name, tc := range map[string]struct {
		status int
		want   statusv1.Status
	}{
		"it answers":           {http.StatusOK, health.Operational},
		"it knows no /models":  {http.StatusNotFound, health.Operational},
		"it refuses the key":   {http.StatusUnauthorized, health.Down},
		"it fails":             {http.StatusBadGateway, health.Down},
		"it limits every call": {http.StatusTooManyRequests, health.Down},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newFixture(t, withConfig(func(c *ai.Config) { c.ProbeInterval = 10 * time.Millisecond }),
				withUpstream(func(w http.ResponseWriter, r *http.Request) {
					if r.Method != http.MethodGet || r.URL.Path != "/v1/models" || r.Header.Get("Authorization") != "Bearer "+key {
						t.Errorf("unexpected call: %s %s", r.Method, r.URL.Path)
					}
					w.WriteHeader(tc.status)
				}))
			require.Eventually(t, func() bool {
				res, err := h.GetStatus(t.Context(), &aiv1.GetStatusRequest{})
				return err == nil && res.GetProvider().GetStatus() == tc.want
			}, 30*time.Second, 10*time.Millisecond)
		})
	}
}

func TestToolCallsAreCounted(t *testing.T) {
	h := newFixture(t)
	h.fault(fault.Fault{Kind: fault.Cut, AfterChunks: 4})
	a := h.chat(`{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"weather in Berlin?"}],"tool_choice":"required",` +
		`"tools":[{"type":"function","function":{"name":"get_weather","parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}}]}`)
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, a.err)
	texts := contents(t, a.body)
	require.True(t, slices.ContainsFunc(texts[4:], func(s string) bool { return strings.HasPrefix(s, "get_weather") }), a.body)
	final := h.settled().Settled[0]
	require.GreaterOrEqual(t, final.GetUsage().GetOutputTokens(), int32(3))
}
