package ai_test

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/services/ai"
	"github.com/trivet-dev/trivet/services/ai/internal/billingtest"
	"github.com/trivet-dev/trivet/services/ai/internal/tokens"
)

//go:embed testdata/response.sse
var recordedResponse string

func (h *fixture) respond(body string) answer {
	h.t.Helper()
	return h.relay(aiv1.Endpoint_ENDPOINT_RESPONSES, body)
}

// object makes a call about a stored response.
func (h *fixture) object(endpoint aiv1.Endpoint, id, query string) answer {
	h.t.Helper()
	stream, err := h.Relay(h.t.Context(), &aiv1.RelayRequest{Endpoint: endpoint, ObjectId: id, Query: query})
	require.NoError(h.t, err)
	return drain(stream)
}

// newest returns the hold that was made last.
func (h *fixture) newest() billingtest.Hold {
	h.t.Helper()
	holds := h.billing.Holds()
	require.NotEmpty(h.t, holds)
	last := holds[len(holds)-1]
	require.Len(h.t, last.Settled, 1, "settled exactly once")
	return last
}

// made is what a test needs of a response.
type made struct {
	ID     string
	Status string
	Output []struct {
		ID, Type string
		Content  []struct{ Text string }
	}
	Usage struct {
		Input  int64 `json:"input_tokens"`
		Output int64 `json:"output_tokens"`
	}
}

func (h *fixture) create(body string) made {
	h.t.Helper()
	a := h.respond(body)
	require.Nil(h.t, a.err, a.err)
	require.EqualValues(h.t, http.StatusOK, a.head.GetStatus(), a.body)
	var m made
	require.NoError(h.t, json.Unmarshal([]byte(a.body), &m))
	return m
}

const ask = `{"model":"gpt-4o-mini","input":"say hello"}`

func TestResponseWhole(t *testing.T) {
	h := newFixture(t, withStore(), withReply(20))
	a := h.respond(ask)
	require.Nil(t, a.err)
	require.False(t, a.head.GetStreamed())
	var m made
	require.NoError(t, json.Unmarshal([]byte(a.body), &m))
	sent, ok := h.openai.LastRequest()
	require.True(t, ok)
	require.Equal(t, "/v1/responses", sent.Path)
	require.Empty(t, cmp.Diff(ask, string(sent.Body)), "the body goes upstream as it came")
	final := h.settled().Settled[0]
	require.Equal(t, billingv1.Outcome_OUTCOME_COMPLETED, final.GetOutcome())
	require.False(t, final.GetEstimated())
	require.EqualValues(t, m.Usage.Input, final.GetUsage().GetInputTokens())
	require.EqualValues(t, m.Usage.Output, final.GetUsage().GetOutputTokens())
	require.Equal(t, "gpt-4o-mini-2024-07-18", final.GetServedModel())
}

func TestResponsesPassByteForByte(t *testing.T) {
	const odd = "{ \"object\":\"response\",\n \"id\":\"resp_odd\", \"status\":\"completed\", \"output\": [ ], \"new\":{\"x\":1e400, \"y\":\"\\ud800\"}, \"usage\":{\"input_tokens\":3,\"output_tokens\":4}}"
	for name, c := range map[string]struct {
		request, kind, body string
		input, output       int32
	}{
		"whole":  {ask, "application/json", odd, 3, 4},
		"stream": {strings.Replace(ask, "{", `{"stream":true,`, 1), "text/event-stream", ": hi\n\n" + recordedResponse, 11, 9},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t, withStore(), withUpstream(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", c.kind)
				_, _ = w.Write([]byte(c.body))
			}))
			a := h.respond(c.request)
			require.Nil(t, a.err)
			require.Equal(t, c.body, a.body)
			require.Equal(t, c.output, h.settled().Settled[0].GetUsage().GetOutputTokens())
			require.Equal(t, c.input, h.settled().Settled[0].GetUsage().GetInputTokens())
		})
	}
}

// TestResponseHasTheRequestedForm has providers answer in the other form than the one that was asked for.
func TestResponseHasTheRequestedForm(t *testing.T) {
	const whole = `{"id":"resp_1","object":"response","status":"completed","output":[{"id":"msg_1","type":"message","role":"assistant","content":[{"type":"output_text","text":"Hi you"}]}],"usage":{"input_tokens":3,"output_tokens":4}}`
	answer := func(body string) option {
		return withUpstream(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) })
	}
	t.Run("a stream for one piece", func(t *testing.T) {
		h := newFixture(t, withStore(), answer(recordedResponse))
		m := h.create(ask)
		require.Equal(t, "Hello there, how are you", m.Output[0].Content[0].Text)
		require.EqualValues(t, 9, h.settled().Settled[0].GetUsage().GetOutputTokens())
	})
	t.Run("one piece for a stream", func(t *testing.T) {
		h := newFixture(t, withStore(), answer(whole))
		a := h.respond(strings.Replace(ask, "{", `{"stream":true,`, 1))
		require.Nil(t, a.err)
		require.True(t, a.head.GetStreamed())
		var kinds []string
		for line := range strings.SplitSeq(a.body, "\n") {
			if kind, ok := strings.CutPrefix(line, "event: "); ok {
				kinds = append(kinds, strings.TrimPrefix(kind, "response."))
			}
		}
		require.Equal(t, []string{
			"created", "in_progress", "output_item.added", "content_part.added", "output_text.delta", "output_text.done", "content_part.done", "output_item.done", "completed",
		}, kinds)
		require.EqualValues(t, 4, h.settled().Settled[0].GetUsage().GetOutputTokens())
	})
}

// TestResponseCutAtEveryByte cuts a recorded stream after each of its bytes: what came through is billed, nothing stays held,
// and only the whole stream ends in order.
func TestResponseCutAtEveryByte(t *testing.T) {
	var cut atomic.Int64
	h := newFixture(t, withStore(), withUpstream(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = w.Write([]byte(recordedResponse[:cut.Load()]))
	}))
	counter := tokens.NewCounter()
	request := strings.Replace(ask, "{", `{"stream":true,`, 1)
	for n := range len(recordedResponse) + 1 {
		cut.Store(int64(n))
		a := h.respond(request)
		text, ended := readRecorded(t, recordedResponse[:n])
		final := h.newest().Settled[0]
		if ended {
			require.Nil(t, a.err, n)
			require.EqualValues(t, 9, final.GetUsage().GetOutputTokens(), n)
			require.EqualValues(t, 11, final.GetUsage().GetInputTokens(), n)
			continue
		}
		requireReason(t, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, a.err)
		require.NotContains(t, a.body, "response.completed", n)
		require.True(t, strings.HasPrefix(recordedResponse, a.body), n)
		require.EqualValues(t, counter.Count(models.VocabularyO200k, []byte(text)), final.GetUsage().GetOutputTokens(), n)
		require.Equal(t, text != "", final.GetUsage().GetInputTokens() > 0, n)
	}
	require.Zero(t, h.billing.Held())
}

// readRecorded returns the text of the events that are complete, and whether the last event of all is.
func readRecorded(t *testing.T, stream string) (text string, ended bool) {
	t.Helper()
	for event := range strings.SplitSeq(stream, "\n\n") {
		_, data, _ := strings.Cut(event, "\ndata: ")
		var e struct{ Type, Delta string }
		if json.Unmarshal([]byte(data), &e) != nil {
			continue
		}
		ended = ended || e.Type == "response.completed"
		text += e.Delta
	}
	return text, ended
}

// TestCallerLeavesAResponseAtEveryEvent has the provider stall after each event, and the caller leave there.
func TestCallerLeavesAResponseAtEveryEvent(t *testing.T) {
	events := strings.SplitAfter(strings.TrimSuffix(recordedResponse, "\n\n"), "\n\n")
	counter := tokens.NewCounter()
	for n := range len(events) - 1 {
		t.Run(fmt.Sprint(n+1), func(t *testing.T) {
			seen := strings.Join(events[:n+1], "")
			gone := make(chan struct{})
			h := newFixture(t, withStore(), withUpstream(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				_, _ = w.Write([]byte(seen))
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
				close(gone)
			}))
			ctx, leave := context.WithCancel(t.Context())
			stream, err := h.Relay(ctx, &aiv1.RelayRequest{Endpoint: aiv1.Endpoint_ENDPOINT_RESPONSES, Body: []byte(strings.Replace(ask, "{", `{"stream":true,`, 1))})
			require.NoError(t, err)
			var body strings.Builder
			for body.Len() < len(seen) {
				res, err := stream.Recv()
				require.NoError(t, err)
				body.Write(res.GetBody())
			}
			leave()
			<-gone
			require.Eventually(t, func() bool { return h.billing.Held() == 0 }, 30*time.Second, time.Millisecond)
			final := h.settled().Settled[0]
			require.Equal(t, billingv1.Outcome_OUTCOME_CALLER_LEFT, final.GetOutcome())
			text, _ := readRecorded(t, seen)
			require.EqualValues(t, counter.Count(models.VocabularyO200k, []byte(text)), final.GetUsage().GetOutputTokens())
			require.Positive(t, final.GetUsage().GetInputTokens())
		})
	}
}

func TestEndsOfResponses(t *testing.T) {
	end := func(kind, rest string) string {
		return "event: response." + kind + "\ndata: {\"type\":\"response." + kind + "\",\"response\":{\"id\":\"resp_1\",\"status\":\"" + kind + "\",\"output\":[]" + rest + "}}\n\n"
	}
	usage := `,"usage":{"input_tokens":5,"output_tokens":6}`
	delta := "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"output_index\":0,\"content_index\":0,\"delta\":\"one two\"}\n\n"
	for name, c := range map[string]struct {
		stream        string
		failed        bool // the call has an error
		outcome       billingv1.Outcome
		input, output int32 // -1: not checked
	}{
		"completed":                        {delta + end("completed", usage), false, billingv1.Outcome_OUTCOME_COMPLETED, 5, 6},
		"incomplete":                       {delta + end("incomplete", usage), false, billingv1.Outcome_OUTCOME_COMPLETED, 5, 6},
		"failed with usage":                {delta + end("failed", usage), false, billingv1.Outcome_OUTCOME_UPSTREAM_FAILED, 5, 6},
		"failed after output, no usage":    {delta + end("failed", ""), false, billingv1.Outcome_OUTCOME_UPSTREAM_FAILED, -1, 2},
		"failed before output":             {end("failed", ""), false, billingv1.Outcome_OUTCOME_UPSTREAM_FAILED, 0, 0},
		"completed without usage":          {delta + end("completed", ""), false, billingv1.Outcome_OUTCOME_COMPLETED, -1, 2},
		"zero usage":                       {delta + end("completed", `,"usage":{"input_tokens":0,"output_tokens":0}`), false, billingv1.Outcome_OUTCOME_COMPLETED, -1, 2},
		"usage in the total only":          {delta + end("completed", `,"usage":{"input_tokens":5,"output_tokens":6,"total_tokens":31}`), false, billingv1.Outcome_OUTCOME_COMPLETED, 5, 26},
		"text only in the last event":      {strings.Replace(end("completed", ""), "[]", `[{"id":"msg_1","type":"message","content":[{"type":"output_text","text":"one two"}]}]`, 1), false, billingv1.Outcome_OUTCOME_COMPLETED, -1, 2},
		"text only in the item":            {"data: {\"type\":\"response.output_item.done\",\"output_index\":0,\"item\":{\"id\":\"msg_1\",\"content\":[{\"type\":\"output_text\",\"text\":\"one two\"}]}}\n\n" + end("completed", ""), false, billingv1.Outcome_OUTCOME_COMPLETED, -1, 2},
		"[DONE] does not end it":           {delta + "data: [DONE]\n\n", true, billingv1.Outcome_OUTCOME_UPSTREAM_FAILED, -1, 2},
		"an error event":                   {delta + "event: error\ndata: {\"type\":\"error\",\"code\":\"rate_limit_exceeded\",\"message\":\"slow down\",\"param\":null}\n\n", true, billingv1.Outcome_OUTCOME_UPSTREAM_FAILED, -1, 2},
		"nothing after the last event":     {end("completed", usage) + delta, false, billingv1.Outcome_OUTCOME_COMPLETED, 5, 6},
		"the last event has no blank line": {delta + strings.TrimRight(end("completed", usage), "\n"), false, billingv1.Outcome_OUTCOME_COMPLETED, 5, 6},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t, withStore(), withUpstream(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				_, _ = w.Write([]byte(c.stream))
			}))
			a := h.respond(strings.Replace(ask, "{", `{"stream":true,`, 1))
			require.Equal(t, c.failed, a.err != nil)
			final := h.settled().Settled[0]
			require.Equal(t, c.outcome, final.GetOutcome())
			require.Equal(t, c.output, final.GetUsage().GetOutputTokens())
			if c.input >= 0 {
				require.Equal(t, c.input, final.GetUsage().GetInputTokens())
			}
		})
	}
}

func TestErrorEventOfAResponse(t *testing.T) {
	const event = "event: error\ndata: {\"type\":\"error\",\"code\":\"rate_limit_exceeded\",\"message\":\"slow down, org-AbCdEfGhIjKlMnOp\",\"param\":null}\n\n"
	for name, before := range map[string]string{
		"first": "", "later": "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"one\"}\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t, withStore(), withUpstream(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				_, _ = w.Write([]byte(before + event))
			}))
			a := h.respond(strings.Replace(ask, "{", `{"stream":true,`, 1))
			if before == "" { // nothing was sent, so the error has its own status
				require.Nil(t, a.err)
				require.EqualValues(t, http.StatusTooManyRequests, a.head.GetStatus())
				require.Contains(t, a.body, "slow down, org-…")
				return
			}
			requireReason(t, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, a.err)
			require.Contains(t, a.err.Message, "slow down, org-…")
			require.Equal(t, "rate_limit_exceeded", a.err.Metadata["upstream_code"])
		})
	}
}

// TestResponsesBelongToTheirAccount tries every way to name a stored object, as its owner and as others.
func TestResponsesBelongToTheirAccount(t *testing.T) {
	h := newFixture(t, withStore(), withReply(5))
	m := h.create(ask)
	item := m.Output[0].ID
	create := func(body string) func() answer { return func() answer { return h.respond(body) } }
	get := func(endpoint aiv1.Endpoint, id string) func() answer {
		return func() answer { return h.object(endpoint, id, "") }
	}
	ways := map[string]func() answer{
		"get":                  get(aiv1.Endpoint_ENDPOINT_RESPONSE_GET, m.ID),
		"input items":          get(aiv1.Endpoint_ENDPOINT_RESPONSE_INPUT_ITEMS, m.ID),
		"previous":             create(`{"model":"gpt-4o-mini","input":"and?","previous_response_id":"` + m.ID + `"}`),
		"reference":            create(`{"model":"gpt-4o-mini","input":[{"type":"item_reference","id":"` + item + `"},{"role":"user","content":"and?"}]}`),
		"reference, no type":   create(`{"model":"gpt-4o-mini","input":[{"id":"` + item + `"},{"role":"user","content":"and?"}]}`),
		"reference, null type": create(`{"model":"gpt-4o-mini","input":[{"type":null,"id":"` + item + `"},{"role":"user","content":"and?"}]}`),
		"streamed": func() answer {
			return h.respond(`{"model":"gpt-4o-mini","stream":true,"input":"and?","previous_response_id":"` + m.ID + `"}`)
		},
		"tokens": func() answer {
			return h.relay(aiv1.Endpoint_ENDPOINT_RESPONSES_INPUT_TOKENS, `{"model":"gpt-4o-mini","input":"and?","previous_response_id":"`+m.ID+`"}`)
		},
		"compact": func() answer {
			return h.relay(aiv1.Endpoint_ENDPOINT_RESPONSES_COMPACT, `{"model":"gpt-4o-mini","input":"and?","previous_response_id":"`+m.ID+`"}`)
		},
	}
	others := map[string]func() answer{ // the owner gets the provider's answer
		"cancel":                                 get(aiv1.Endpoint_ENDPOINT_RESPONSE_CANCEL, m.ID),
		"delete":                                 get(aiv1.Endpoint_ENDPOINT_RESPONSE_DELETE, m.ID),
		"a message without content is looked up": create(`{"model":"gpt-4o-mini","input":[{"type":"message","id":"` + item + `"}]}`),
		"reasoning without content is looked up": create(`{"model":"gpt-4o-mini","input":[{"type":"reasoning","id":"` + item + `","summary":[]}]}`),
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			a := way()
			require.Nil(t, a.err, a.err)
			require.EqualValues(t, http.StatusOK, a.head.GetStatus(), a.body)
		})
	}
	calls, holds := h.openai.Stats().Calls, len(h.billing.Holds())
	h.claims.AccountID, h.claims.UserID = "acct_2", "user_2"
	for _, all := range []map[string]func() answer{ways, others} {
		for name, way := range all {
			t.Run("another account: "+name, func(t *testing.T) {
				requireReason(t, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, way().err)
			})
		}
	}
	require.Equal(t, calls, h.openai.Stats().Calls, "nothing reached the provider")
	require.Len(t, h.billing.Holds(), holds, "nothing was held")

	foreign := h.respond(`{"model":"gpt-4o-mini","input":"and?","previous_response_id":"` + m.ID + `"}`).err
	unknown := h.respond(`{"model":"gpt-4o-mini","input":"and?","previous_response_id":"resp_unknown"}`).err
	require.Equal(t, strings.ReplaceAll(foreign.Message, m.ID, "X"), strings.ReplaceAll(unknown.Message, "resp_unknown", "X"), "nobody can tell the two apart")
	for _, id := range []string{"", "..", "resp_1/../../models", "resp 1", strings.Repeat("a", 129)} {
		requireReason(t, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, h.object(aiv1.Endpoint_ENDPOINT_RESPONSE_GET, id, "").err)
	}
}

func TestResponsesThatAreNotStoredHaveNoOwner(t *testing.T) {
	h := newFixture(t, withStore(), withReply(5))
	m := h.create(`{"model":"gpt-4o-mini","store":false,"input":"say hello"}`)
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, h.object(aiv1.Endpoint_ENDPOINT_RESPONSE_GET, m.ID, "").err)
	// What comes back with its content is looked up nowhere.
	a := h.respond(`{"model":"gpt-4o-mini","store":false,"input":[{"type":"message","role":"assistant","id":"` + m.Output[0].ID + `","content":"Hi"},{"role":"user","content":"and?"}]}`)
	require.Nil(t, a.err)
}

func TestWithoutADatabaseNothingIsStored(t *testing.T) {
	h := newFixture(t, withReply(5))
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, h.respond(ask).err)
	require.Zero(t, h.openai.Stats().Calls)
	h.create(`{"model":"gpt-4o-mini","store":false,"input":"say hello"}`)
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, h.object(aiv1.Endpoint_ENDPOINT_RESPONSE_GET, "resp_1", "").err)
}

func TestDeletedResponsesAreGone(t *testing.T) {
	h := newFixture(t, withStore(), withReply(5))
	m := h.create(ask)
	require.Equal(t, []string{m.ID}, h.openai.Responses())
	a := h.object(aiv1.Endpoint_ENDPOINT_RESPONSE_DELETE, m.ID, "")
	require.Nil(t, a.err)
	require.JSONEq(t, `{"id":"`+m.ID+`","object":"response","deleted":true}`, a.body)
	require.Empty(t, h.openai.Responses())
	calls := h.openai.Stats().Calls
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, h.object(aiv1.Endpoint_ENDPOINT_RESPONSE_GET, m.ID, "").err)
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, h.respond(`{"model":"gpt-4o-mini","input":[{"type":"item_reference","id":"`+m.Output[0].ID+`"}]}`).err)
	require.Equal(t, calls, h.openai.Stats().Calls)
}

// TestErasureReachesTheProvider also fails at the provider once.
func TestErasureReachesTheProvider(t *testing.T) {
	var failing atomic.Bool
	var next http.Handler
	h := newFixture(t, withStore(), withReply(5), withUpstream(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete && failing.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r)
	}))
	next = h.openai
	mine := []made{h.create(ask), h.create(ask)}
	h.claims.UserID = "user_2"
	others := h.create(ask)
	failing.Store(true)
	_, err := h.EraseUser(t.Context(), &aiv1.EraseUserRequest{UserId: "user_1"})
	require.ErrorContains(t, err, "2 stored responses")
	require.Len(t, h.openai.Responses(), 3)
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, h.object(aiv1.Endpoint_ENDPOINT_RESPONSE_GET, mine[0].ID, "").err)
	failing.Store(false)
	for range 2 { // again is harmless
		_, err = h.EraseUser(t.Context(), &aiv1.EraseUserRequest{UserId: "user_1"})
		require.NoError(t, err)
		require.Equal(t, []string{others.ID}, h.openai.Responses())
	}
	require.Nil(t, h.object(aiv1.Endpoint_ENDPOINT_RESPONSE_GET, others.ID, "").err)
}

func TestOldResponsesAreNotFound(t *testing.T) {
	var later atomic.Int64
	h := newFixture(t, withStore(), withReply(5), withConfig(func(c *ai.Config) { c.ResponseRetention = time.Hour }), func(p *plan) {
		p.now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	})
	m := h.create(ask)
	later.Store(int64(59 * time.Minute))
	require.Nil(t, h.object(aiv1.Endpoint_ENDPOINT_RESPONSE_GET, m.ID, "").err)
	later.Store(int64(61 * time.Minute))
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, h.object(aiv1.Endpoint_ENDPOINT_RESPONSE_GET, m.ID, "").err)
}

// TestAnIDOfAnotherAccountIsNotTakenOver has a provider give the same id to two accounts.
func TestAnIDOfAnotherAccountIsNotTakenOver(t *testing.T) {
	for _, body := range []string{ask, strings.Replace(ask, "{", `{"stream":true,`, 1)} {
		h := newFixture(t, withStore(), withUpstream(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = w.Write([]byte(recordedResponse))
		}))
		require.Nil(t, h.respond(body).err)
		require.Nil(t, h.respond(body).err, "the same account may see it again")
		h.claims.AccountID = "acct_2"
		a := h.respond(body)
		requireReason(t, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, a.err)
		require.NotContains(t, a.body, "Hello")
		require.Zero(t, h.billing.Held())
	}
}

func TestRefusedMembersOfResponses(t *testing.T) {
	h := newFixture(t, withStore(), withConfig(func(c *ai.Config) { c.RefusedFields = []string{"models"} }))
	for body, field := range map[string]string{
		`{"model":"gpt-4o-mini","input":"x","background":true,"store":false}`:                                                              "background",
		`{"model":"gpt-4o-mini","input":"x","conversation":"conv_1"}`:                                                                      "conversation",
		`{"model":"gpt-4o-mini","input":"x","conversation":{"id":"conv_1"}}`:                                                               "conversation",
		`{"model":"gpt-4o-mini","input":"x","prompt":{"id":"pmpt_1"}}`:                                                                     "prompt.id",
		`{"model":"gpt-4o-mini","input":"x","tools":[{"type":"file_search","vector_store_ids":["vs_1"]}]}`:                                 "tools[0].vector_store_ids",
		`{"model":"gpt-4o-mini","input":"x","tools":[{"type":"code_interpreter","container":"cntr_1"}]}`:                                   "tools[0].container",
		`{"model":"gpt-4o-mini","input":"x","tools":[{"type":"web_search"}]}`:                                                              "tools[0].type",
		`{"model":"gpt-4o-mini","input":"x","tools":[{"type":"function","name":"f"},{"type":"mcp","server_url":"https://x"}]}`:             "tools[1].type",
		`{"model":"gpt-4o-mini","input":"x","tools":[{"type":"image_generation"}]}`:                                                        "tools[0].type",
		`{"model":"gpt-4o-mini","input":[{"role":"user","content":[{"type":"input_file","file_id":"file_1"}]}]}`:                           "input[0].content[0].file_id",
		`{"model":"gpt-4o-mini","input":[{"role":"user","content":[{"type":"input_image","file_id":"file_1"}]}]}`:                          "input[0].content[0].file_id",
		`{"model":"gpt-4o-mini","input":[{"type":"function_call_output","call_id":"c","output":[{"type":"input_file","file_id":"f_1"}]}]}`: "input[0].output[0].file_id",
		`{"model":"gpt-4o-mini","input":[{"type":"item_reference","id":"msg_1","type":"message","content":"x"}]}`:                          "input[0].type",
		`{"model":"gpt-4o-mini","input":[{"id":"msg_1","ID":"msg_2"}]}`:                                                                    "input[0].ID",
		`{"model":"gpt-4o-mini","input":[{"type":"message","role":"user","content":"x","Type":"item_reference","id":"msg_1"}]}`:            "input[0].Type",
		`{"model":"gpt-4o-mini","input":"x","previous_response_id":"resp 1"}`:                                                              "previous_response_id",
		`{"model":"gpt-4o-mini","input":"x","Previous_Response_ID":"resp_1"}`:                                                              "previous_response_id",
		`{"model":"gpt-4o-mini","input":"x","store":false,"store":true}`:                                                                   "store",
		`{"model":"gpt-4o-mini","input":"x","max_output_tokens":0}`:                                                                        "max_output_tokens",
		`{"model":"gpt-4o-mini","input":"x","max_output_tokens":99999999}`:                                                                 "max_output_tokens",
		`{"model":"gpt-4o-mini","input":"x","service_tier":"scale"}`:                                                                       "service_tier",
		`{"model":"gpt-4o-mini","input":"x","models":["o3"]}`:                                                                              "models",
		`{"model":"gpt-4o-mini","input":7}`:                                                                                                "input",
		`{"model":"gpt-4o-mini"}`:                                                                                                          "input",
		`{"input":"x"}`:                                                                                                                    "model",
		`{"model":"text-embedding-3-small","input":"x"}`:                                                                                   "model",
	} {
		a := h.respond(body)
		requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, a.err)
		require.NotEmpty(t, a.err.Fields, body)
		require.Equal(t, field, a.err.Fields[0].Name, body)
	}
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, h.object(aiv1.Endpoint_ENDPOINT_RESPONSE_GET, "resp_1", "stream=yes").err)
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, h.object(aiv1.Endpoint_ENDPOINT_RESPONSE_GET, "resp_1", "stream=false&stream=true").err)
	for _, query := range []string{"stream=true&starting_after=x", "starting_after=-1", "stream=true&starting_after=1&starting_after=2"} {
		requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, h.object(aiv1.Endpoint_ENDPOINT_RESPONSE_GET, "resp_1", query).err)
	}
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, h.object(aiv1.Endpoint_ENDPOINT_RESPONSE_INPUT_ITEMS, "resp_1", "stream=true").err)
	require.Zero(t, h.openai.Stats().Calls)
	require.Empty(t, h.billing.Holds())
}

// TestThePreviousResponseCountsAsInput proves that the hold covers a conversation that only the provider has.
func TestThePreviousResponseCountsAsInput(t *testing.T) {
	h := newFixture(t, withStore(), withReply(400))
	first := h.create(ask)
	h.create(`{"model":"gpt-4o-mini","input":"and?","previous_response_id":"` + first.ID + `"}`)
	hold := h.newest()
	require.GreaterOrEqual(t, hold.Request.GetInputTokens(), int32(first.Usage.Input+first.Usage.Output))
	require.Greater(t, hold.Settled[0].GetUsage().GetInputTokens(), int32(400), "the provider counted the first answer")
	h.create(`{"model":"gpt-4o-mini","input":[{"type":"item_reference","id":"` + first.Output[0].ID + `"},{"role":"user","content":"and?"}]}`)
	require.GreaterOrEqual(t, h.newest().Request.GetInputTokens(), h.newest().Settled[0].GetUsage().GetInputTokens())
}

func TestTheBoundOfAResponseIsSentUpstream(t *testing.T) {
	h := newFixture(t, withStore(), withBalance(200_000), withReply(5))
	for body, want := range map[string]string{
		`{"model":"gpt-4o-mini","store":false,"input":"x","max_output_tokens":16000}`: `"max_output_tokens":`,
		`{"model":"gpt-4o-mini","store":false,"input":"x","max_output_tokens":null}`:  `"max_output_tokens":`,
		`{"model":"gpt-4o-mini","store":false,"input":"x"}`:                           `"max_output_tokens":`,
	} {
		h.create(body)
		sent, _ := h.openai.LastRequest()
		require.Equal(t, 1, strings.Count(string(sent.Body), want), string(sent.Body))
		require.Contains(t, string(sent.Body), fmt.Sprintf(`"max_output_tokens":%d`, h.newest().Response.GetOutputTokens()))
	}
}

func TestFreeEndpointsOfResponses(t *testing.T) {
	h := newFixture(t, withStore(), withReply(5))
	a := h.relay(aiv1.Endpoint_ENDPOINT_RESPONSES_INPUT_TOKENS, ask)
	require.Nil(t, a.err)
	require.Contains(t, a.body, `"object":"response.input_tokens"`)
	require.Empty(t, h.billing.Holds(), "counting is free")

	m := h.create(`{"model":"gpt-4o-mini","input":[{"role":"user","content":"a"},{"role":"user","content":"b"}]}`)
	a = h.object(aiv1.Endpoint_ENDPOINT_RESPONSE_INPUT_ITEMS, m.ID, "limit=1&order=asc")
	require.Nil(t, a.err)
	require.Contains(t, a.body, `"has_more":true`)
	a = h.object(aiv1.Endpoint_ENDPOINT_RESPONSE_CANCEL, m.ID, "")
	require.Nil(t, a.err)
	require.EqualValues(t, http.StatusBadRequest, a.head.GetStatus(), "the provider's own refusal")
	require.Contains(t, a.body, "synchronous")
	require.Len(t, h.billing.Holds(), 1)
}

func TestCompactionIsBilled(t *testing.T) {
	h := newFixture(t, withStore(), withReply(5))
	a := h.relay(aiv1.Endpoint_ENDPOINT_RESPONSES_COMPACT, ask)
	require.Nil(t, a.err)
	require.Contains(t, a.body, `"response.compaction"`)
	final := h.settled().Settled[0]
	require.EqualValues(t, h.openai.Stats().CompletionTokens, final.GetUsage().GetOutputTokens())
	require.Positive(t, final.GetUsage().GetInputTokens())
}

// TestTheResponseOfALaterAttemptIsNoted has a target fail after it named a response, before the caller got anything, and
// answer the repetition.
func TestTheResponseOfALaterAttemptIsNoted(t *testing.T) {
	var calls atomic.Int64
	h := newFixture(t, withStore(), withConfig(func(c *ai.Config) { c.Tries, c.RetryDelay = 2, time.Millisecond }), withUpstream(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_, _ = w.Write([]byte(`{"id":"resp_rec1","object":"response"}`))
			return
		}
		if calls.Add(1) > 1 {
			_, _ = w.Write([]byte(recordedResponse))
			return
		}
		first, _, _ := strings.Cut(recordedResponse, "\n\n")
		_, _ = w.Write([]byte(strings.ReplaceAll(first, "resp_rec1", "resp_lost") + "\n\nevent: error\ndata: {\"type\":\"error\",\"code\":\"server_error\",\"message\":\"x\"}\n\n"))
	}))
	require.Nil(t, h.respond(ask).err)
	require.EqualValues(t, 2, calls.Load())
	require.Nil(t, h.object(aiv1.Endpoint_ENDPOINT_RESPONSE_GET, "resp_rec1", "").err)
}

// Requests about stored objects count in the limit of a day, and are refused by it.
func TestObjectsKeepToTheDaysLimit(t *testing.T) {
	h := newFixture(t, withStore(), withReply(20))
	h.billing.Plan = &billingv1.GetEntitlementsResponse{PlanId: "p", Limits: &billingv1.Limits{RequestsPerDay: 2}}
	m := h.create(ask)
	require.Nil(t, h.object(aiv1.Endpoint_ENDPOINT_RESPONSE_GET, m.ID, "").err)
	a := h.object(aiv1.Endpoint_ENDPOINT_RESPONSE_GET, m.ID, "")
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_RATE_LIMIT_EXCEEDED, a.err)
	require.Equal(t, "requests_per_day", a.err.Metadata["limit"])
}
