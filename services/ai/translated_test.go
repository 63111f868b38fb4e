package ai_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
)

// chatOnly is a price list whose models have chat completions only.
const chatOnly = `models:
  gpt-4o-mini: {kind: chat, provider: x, chat_only: true, vocabulary: o200k_base, context_tokens: 128000, max_output_tokens: 16384, default_output_tokens: 4096, input: "0.15", output: "0.60"}
  gpt-5-mini: {kind: chat, provider: x, chat_only: true, reasoning: true, context_tokens: 128000, max_output_tokens: 16384, default_output_tokens: 4096, input: "0.25", output: "2"}
  no-done: {kind: chat, provider: x, chat_only: true, ends_without_done: true, ask_usage: false, output_bound: max_tokens, context_tokens: 128000, max_output_tokens: 16384, default_output_tokens: 4096, input: "0.25", output: "2"}
`

// translated relays a request of the Responses API to a provider that answers chats with a fixed body. It returns the answer
// and what the provider got.
func translated(t *testing.T, request, chat string) (answer, string, *fixture) {
	t.Helper()
	var path string
	var got []byte
	h := newFixture(t, withStore(), withModels(chatOnly), withUpstream(func(w http.ResponseWriter, r *http.Request) {
		path = r.URL.Path
		got, _ = io.ReadAll(r.Body) // half a body fails the test
		_, _ = w.Write([]byte(chat))
	}))
	a := h.respond(request)
	require.Equal(t, "/v1/chat/completions", path)
	return a, string(got), h
}

const chatAnswer = `{"id":"chatcmpl-1","object":"chat.completion","created":1764300000,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi you"},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10,"prompt_tokens_details":{"cached_tokens":2},"completion_tokens_details":{"reasoning_tokens":1}}}`

// TestTranslatedRequests lists what a request becomes as a chat.
func TestTranslatedRequests(t *testing.T) {
	for name, c := range map[string]struct{ request, chat string }{
		"text": {`{"model":"gpt-4o-mini","input":"Hi"}`, `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hi"}]}`},
		"instructions and fields": {
			`{"model":"gpt-4o-mini","instructions":"Be brief","input":"Hi","max_output_tokens":99,"temperature":0,"top_p":0.5,"user":"u","metadata":{"a":"b"},"store":true,"include":["reasoning.encrypted_content"]}`,
			`{"model":"gpt-4o-mini","messages":[{"role":"system","content":"Be brief"},{"role":"user","content":"Hi"}],"max_completion_tokens":99,"temperature":0,"top_p":0.5,"user":"u"}`,
		},
		"another bound": {`{"model":"no-done","input":"Hi","max_output_tokens":99}`, `{"model":"no-done","messages":[{"role":"user","content":"Hi"}],"max_tokens":99}`},
		"turns and images": {
			`{"model":"gpt-4o-mini","input":[{"role":"developer","content":"d"},{"type":"message","role":"user","content":[{"type":"input_text","text":"What?"},{"type":"input_image","image_url":"https://x/y.png","detail":"low"}]},{"type":"message","role":"assistant","id":"msg_1","content":[{"type":"output_text","text":"a"},{"type":"output_text","text":"b"}]},{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"x"},{"role":"user","content":"And?"}]}`,
			`{"model":"gpt-4o-mini","messages":[{"role":"system","content":"d"},{"role":"user","content":[{"type":"text","text":"What?"},{"type":"image_url","image_url":{"url":"https://x/y.png","detail":"low"}}]},{"role":"assistant","content":"ab"},{"role":"user","content":"And?"}]}`,
		},
		"tools and their outputs": {
			`{"model":"gpt-4o-mini","tools":[{"type":"function","name":"f","description":null,"parameters":{"type":"object","properties":{"z":{},"a":{"maximum":9007199254740993}}},"strict":true}],"tool_choice":{"type":"function","name":"f"},"parallel_tool_calls":false,"input":[{"role":"user","content":"x"},{"type":"function_call","call_id":"c1","name":"f","arguments":"{}"},{"type":"function_call","call_id":"c2","name":"f","arguments":"{\"z\":1}"},{"type":"function_call_output","call_id":"c1","output":"one"},{"type":"function_call_output","call_id":"c2","output":[{"type":"input_text","text":"two"}]}]}`,
			`{"model":"gpt-4o-mini","tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"z":{},"a":{"maximum":9007199254740993}}},"strict":true}}],"tool_choice":{"type":"function","function":{"name":"f"}},"parallel_tool_calls":false,"messages":[{"role":"user","content":"x"},{"role":"assistant","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"c2","type":"function","function":{"name":"f","arguments":"{\"z\":1}"}}]},{"role":"tool","tool_call_id":"c1","content":"one"},{"role":"tool","tool_call_id":"c2","content":"two"}]}`,
		},
		"allowed tools": {
			`{"model":"gpt-4o-mini","input":"x","tools":[{"type":"function","name":"f"},{"type":"function","name":"g"}],"tool_choice":{"type":"allowed_tools","mode":"required","tools":[{"type":"function","name":"g"}]}}`,
			`{"model":"gpt-4o-mini","messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"g"}}],"tool_choice":"required"}`,
		},
		"JSON schema, effort, verbosity": {
			`{"model":"gpt-5-mini","input":"x","reasoning":{"effort":"low","summary":"auto"},"text":{"verbosity":"low","format":{"type":"json_schema","name":"n","schema":{"type":"object"},"strict":true}}}`,
			`{"model":"gpt-5-mini","messages":[{"role":"user","content":"x"}],"reasoning_effort":"low","verbosity":"low","response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object"},"strict":true}}}`,
		},
		"JSON object":      {`{"model":"gpt-4o-mini","input":"x","text":{"format":{"type":"json_object"}}}`, `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_object"}}`},
		"stream":           {`{"model":"gpt-4o-mini","input":"x","stream":true}`, `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"x"}],"stream":true,"stream_options":{"include_usage":true}}`},
		"stream, no usage": {`{"model":"no-done","input":"x","stream":true}`, `{"model":"no-done","messages":[{"role":"user","content":"x"}],"stream":true}`},
	} {
		t.Run(name, func(t *testing.T) {
			a, got, _ := translated(t, c.request, chatAnswer)
			require.Nil(t, a.err, a.err)
			var sent, want map[string]any
			require.NoError(t, json.Unmarshal([]byte(got), &sent))
			require.NoError(t, json.Unmarshal([]byte(c.chat), &want))
			if _, asked := want["max_tokens"]; !asked {
				delete(sent, "max_tokens") // Trivet's own bound
			}
			if _, asked := want["max_completion_tokens"]; !asked {
				delete(sent, "max_completion_tokens")
			}
			require.Equal(t, want, sent)
			if strings.Contains(c.request, "9007199254740993") {
				require.Contains(t, got, `{"type":"object","properties":{"z":{},"a":{"maximum":9007199254740993}}}`, "a schema passes as it came")
			}
			require.Equal(t, "chat.completions", a.head.GetHeaders()["x-trivet-translated"])
		})
	}
}

func TestTranslatedAnswer(t *testing.T) {
	a, _, h := translated(t, `{"model":"gpt-4o-mini","input":"Hi","metadata":{"a":"b"}}`, chatAnswer)
	require.Nil(t, a.err)
	var got map[string]any
	require.NoError(t, json.Unmarshal([]byte(a.body), &got))
	require.Equal(t, "response", got["object"])
	require.Equal(t, "completed", got["status"])
	require.Equal(t, false, got["store"])
	require.Equal(t, map[string]any{"a": "b"}, got["metadata"])
	require.Equal(t, "m", got["model"])
	item := got["output"].([]any)[0].(map[string]any)
	require.Equal(t, "message", item["type"])
	require.Equal(t, "Hi you", item["content"].([]any)[0].(map[string]any)["text"])
	require.Equal(t, map[string]any{
		"input_tokens": 7.0, "input_tokens_details": map[string]any{"cached_tokens": 2.0, "cache_write_tokens": 0.0}, "output_tokens": 3.0,
		"output_tokens_details": map[string]any{"reasoning_tokens": 1.0}, "total_tokens": 10.0,
	}, got["usage"])
	usage := h.settled().Settled[0].GetUsage()
	require.EqualValues(t, 7, usage.GetInputTokens())
	require.EqualValues(t, 3, usage.GetOutputTokens())
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, h.object(aiv1.Endpoint_ENDPOINT_RESPONSE_GET, got["id"].(string), "").err)
}

// kindsOf lists the events of a stream, without the common prefix.
func kindsOf(t *testing.T, body string) (kinds []string) {
	t.Helper()
	for n, event := range strings.Split(strings.TrimSuffix(body, "\n\n"), "\n\n") {
		kind, data, ok := strings.Cut(strings.TrimPrefix(event, "event: "), "\ndata: ")
		require.True(t, ok, event)
		var e struct {
			Type     string
			Sequence int `json:"sequence_number"`
		}
		require.NoError(t, json.Unmarshal([]byte(data), &e), data)
		require.Equal(t, kind, e.Type)
		require.Equal(t, n, e.Sequence)
		kinds = append(kinds, strings.TrimPrefix(kind, "response."))
	}
	return kinds
}

func TestTranslatedStreams(t *testing.T) {
	chunk := func(delta, finish string) string {
		return `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1764300000,"model":"m","choices":[{"index":0,"delta":` + delta + `,"finish_reason":` + finish + "}]}\n\n"
	}
	const null, done = "null", "data: [DONE]\n\n"
	usage := `data: {"id":"chatcmpl-1","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":30,"total_tokens":37}}` + "\n\n"
	begin, end := []string{"created", "in_progress"}, func(status string) []string { return []string{status} }
	message := []string{"output_item.added", "content_part.added", "output_text.delta", "output_text.done", "content_part.done", "output_item.done"}
	call := []string{"output_item.added", "function_call_arguments.delta", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done"}
	thought := []string{"output_item.added", "content_part.added", "reasoning_text.delta", "reasoning_text.done", "content_part.done", "output_item.done"}
	join := func(parts ...[]string) (out []string) {
		for _, p := range parts {
			out = append(out, p...)
		}
		return out
	}
	for name, c := range map[string]struct {
		model, chat string
		kinds       []string
		output      int32
		last        string // in the last event
	}{
		"text": {
			"gpt-4o-mini", chunk(`{"role":"assistant","content":""}`, null) + chunk(`{"content":"Hi"}`, null) + chunk(`{}`, `"stop"`) + usage + done,
			join(begin, message, end("completed")), 30, `"text":"Hi"`,
		},
		"cut by the bound": {
			"gpt-4o-mini", chunk(`{"content":"Hi"}`, null) + chunk(`{}`, `"length"`) + usage + done,
			join(begin, message, end("incomplete")), 30, `"reason":"max_output_tokens"`,
		},
		"two calls": {
			"gpt-4o-mini", chunk(`{"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"f","arguments":""}}]}`, null) +
				chunk(`{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\""}}]}`, null) + chunk(`{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]}`, null) +
				chunk(`{"tool_calls":[{"index":1,"id":"c2","type":"function","function":{"name":"g","arguments":"{"}}]}`, null) + chunk(`{"tool_calls":[{"index":1,"function":{"arguments":"}"}}]}`, null) +
				chunk(`{}`, `"tool_calls"`) + usage + done,
			join(begin, call, call, end("completed")), 30, `"arguments":"{\"a\":1}","call_id":"c1","name":"f"`,
		},
		"calls without an index": {
			"gpt-4o-mini", chunk(`{"tool_calls":[{"id":"c1","function":{"name":"f","arguments":"{"}}]}`, null) + chunk(`{"tool_calls":[{"id":"c1","function":{"arguments":"}"}}]}`, null) +
				chunk(`{"tool_calls":[{"id":"c2","function":{"name":"g","arguments":"{"}}]}`, null) + chunk(`{"tool_calls":[{"id":"c2","function":{"arguments":"}"}}]}`, null) + chunk(`{}`, `"tool_calls"`) + usage + done,
			join(begin, call, call, end("completed")), 30, `"arguments":"{}","call_id":"c2","name":"g"`,
		},
		"calls without an index and an id": {
			"gpt-4o-mini", chunk(`{"tool_calls":[{"function":{"name":"f","arguments":"{"}}]}`, null) + chunk(`{"tool_calls":[{"id":"","function":{"arguments":"}"}}]}`, null) +
				chunk(`{"tool_calls":[{"function":{"name":"g","arguments":"{"}}]}`, null) + chunk(`{"tool_calls":[{"function":{"arguments":"}"}}]}`, null) + chunk(`{}`, `"tool_calls"`) + usage + done,
			join(begin, call, call, end("completed")), 30, `"name":"g"`,
		},
		"a call with its name in every chunk": {
			"gpt-4o-mini", chunk(`{"tool_calls":[{"function":{"name":"f","arguments":"{\"a\":"}}]}`, null) + chunk(`{"tool_calls":[{"function":{"name":"f","arguments":"1}"}}]}`, null) +
				chunk(`{"tool_calls":[{"function":{"name":"f","arguments":"{"}}]}`, null) + chunk(`{"tool_calls":[{"function":{"name":"f","arguments":"}"}}]}`, null) + chunk(`{}`, `"tool_calls"`) + usage + done,
			join(begin, call, call, end("completed")), 30, `"arguments":"{\"a\":1}"`,
		},
		"reasoning, then text": {
			"gpt-5-mini", chunk(`{"reasoning_content":"Hm"}`, null) + chunk(`{"content":"Hi"}`, null) + chunk(`{}`, `"stop"`) + usage + done,
			join(begin, thought, message, end("completed")), 30, `"type":"reasoning_text","text":"Hm"`,
		},
		"text, then a call": {
			"gpt-4o-mini", chunk(`{"content":"Hi"}`, null) + chunk(`{"tool_calls":[{"index":0,"id":"c1","function":{"name":"f","arguments":"{"}}]}`, null) +
				chunk(`{"tool_calls":[{"index":0,"function":{"arguments":"}"}}]}`, null) + chunk(`{}`, `"tool_calls"`) + usage + done,
			join(begin, message, call, end("completed")), 30, `"call_id":"c1"`,
		},
		"a refusal": {
			"gpt-4o-mini", chunk(`{"refusal":"No"}`, null) + chunk(`{}`, `"stop"`) + usage + done,
			join(begin, []string{"output_item.added", "content_part.added", "refusal.delta", "refusal.done", "content_part.done", "output_item.done"}, end("completed")), 30, `"refusal":"No"`,
		},
		"halves of a character": {
			"gpt-4o-mini", chunk(`{"content":"\ud83d"}`, null) + chunk(`{"content":"\ude00"}`, null) + chunk(`{}`, `"stop"`) + usage + done,
			join(begin, message[:3], message[2:], end("completed")), 30, `"text":"\ud83d\ude00"`,
		},
		"no usage":        {"gpt-4o-mini", chunk(`{"content":"one two"}`, null) + chunk(`{}`, `"stop"`) + done, join(begin, message, end("completed")), 2, `"usage":null`},
		"no [DONE]":       {"no-done", chunk(`{"content":"one two"}`, null) + chunk(`{}`, `"stop"`), join(begin, message, end("completed")), 2, `"one two"`},
		"one JSON answer": {"gpt-4o-mini", chatAnswer, join(begin, message, end("completed")), 3, `"Hi you"`},
	} {
		t.Run(name, func(t *testing.T) {
			a, _, h := translated(t, `{"model":"`+c.model+`","stream":true,"input":"x"}`, c.chat)
			require.Nil(t, a.err, a.err)
			require.True(t, a.head.GetStreamed())
			require.Equal(t, c.kinds, kindsOf(t, a.body))
			require.Contains(t, a.body[strings.LastIndex(a.body, "event: "):], c.last)
			require.Equal(t, c.output, h.settled().Settled[0].GetUsage().GetOutputTokens())
		})
	}
	t.Run("a stream for one piece", func(t *testing.T) {
		a, _, h := translated(t, `{"model":"gpt-4o-mini","input":"x"}`, chunk(`{"content":"Hi"}`, null)+chunk(`{}`, `"stop"`)+usage+done)
		require.Nil(t, a.err, a.err)
		require.Contains(t, a.body, `"text":"Hi"`)
		require.EqualValues(t, 30, h.settled().Settled[0].GetUsage().GetOutputTokens())
	})
}

// TestTranslatedStreamCutAtEveryByte cuts a chat's stream after each of its bytes: there is never a made-up end, and what came
// through is billed.
func TestTranslatedStreamCutAtEveryByte(t *testing.T) {
	var b strings.Builder
	for _, word := range []string{"one", " two", " three"} {
		fmt.Fprintf(&b, "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":%q},\"finish_reason\":null}]}\n\n", word)
	}
	b.WriteString("data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n")
	end := b.Len()
	b.WriteString("data: [DONE]\n\n")
	whole, cut := b.String(), 0
	h := newFixture(t, withModels(chatOnly), withUpstream(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(whole[:cut])) }))
	for cut = range len(whole) + 1 {
		a := h.respond(`{"model":"gpt-4o-mini","store":false,"stream":true,"input":"x"}`)
		output := h.newest().Settled[0].GetUsage().GetOutputTokens()
		require.LessOrEqual(t, output, int32(3), cut)
		require.GreaterOrEqual(t, output, int32(strings.Count(whole[:cut], "}}\n\n")-strings.Count(whole[:cut], "{},")), cut)
		if cut < end+len("data: [DONE]") {
			requireReason(t, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, a.err)
			require.NotContains(t, a.body, "response.completed", cut)
			continue
		}
		require.Nil(t, a.err, cut)
		require.EqualValues(t, 3, output, cut)
	}
	require.Zero(t, h.billing.Held())
}

func TestTranslatedErrors(t *testing.T) {
	t.Run("refused by the provider", func(t *testing.T) {
		h := newFixture(t, withStore(), withModels(chatOnly), withUpstream(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"error":{"message":"bad temperature","type":"invalid_request_error","param":"temperature","code":null}}`))
		}))
		a := h.respond(ask)
		require.Nil(t, a.err)
		require.EqualValues(t, http.StatusBadRequest, a.head.GetStatus())
		require.Contains(t, a.body, "bad temperature")
		require.Zero(t, h.settled().Cost)
	})
	t.Run("an error within a stream", func(t *testing.T) {
		a, _, h := translated(t, `{"model":"gpt-4o-mini","stream":true,"input":"x"}`, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"one\"}}]}\n\ndata: {\"error\":{\"message\":\"overloaded\",\"code\":\"c1\"}}\n\n")
		requireReason(t, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, a.err)
		require.Contains(t, a.err.Message, "overloaded")
		require.Equal(t, billingv1.Outcome_OUTCOME_UPSTREAM_FAILED, h.settled().Settled[0].GetOutcome())
		require.EqualValues(t, 1, h.settled().Settled[0].GetUsage().GetOutputTokens())
	})
	for body, field := range map[string]string{
		`{"model":"gpt-4o-mini","input":"x","top_logprobs":3}`:                                                                                      "top_logprobs",
		`{"model":"gpt-4o-mini","input":"x","truncation":"auto"}`:                                                                                   "truncation",
		`{"model":"gpt-4o-mini","input":"x","context_management":[{"type":"compaction"}]}`:                                                          "context_management",
		`{"model":"gpt-4o-mini","input":"x","tools":[{"type":"custom","name":"c"}]}`:                                                                "tools[0].type",
		`{"model":"gpt-4o-mini","input":"x","tools":[{"type":"function","name":"f"}],"tool_choice":{"type":"custom","name":"c"}}`:                   "tool_choice.type",
		`{"model":"gpt-4o-mini","input":[{"type":"computer_call","call_id":"c","action":{}}]}`:                                                      "input[0].type",
		`{"model":"gpt-4o-mini","input":[{"role":"user","content":[{"type":"input_file","file_url":"https://x"}]}]}`:                                "input[0].content[0].file_data",
		`{"model":"gpt-4o-mini","input":[{"role":"user","content":[{"type":"input_image"}]}]}`:                                                      "input[0].content[0].image_url",
		`{"model":"gpt-4o-mini","input":[{"role":"critic","content":"x"}]}`:                                                                         "input[0].role",
		`{"model":"gpt-4o-mini","input":[{"type":"function_call_output","call_id":"c","output":[{"type":"input_image","image_url":"https://x"}]}]}`: "input[0].output[0].type",
		`{"model":"gpt-4o-mini","input":[]}`:                                                                                                        "input",
	} {
		t.Run(field, func(t *testing.T) {
			h := newFixture(t, withStore(), withModels(chatOnly))
			a := h.respond(body)
			requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, a.err)
			require.Equal(t, field, a.err.Fields[0].Name, body)
			require.Zero(t, h.openai.Stats().Calls)
			require.Empty(t, h.billing.Holds())
		})
	}
	h := newFixture(t, withStore(), withModels(chatOnly))
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_NOT_IMPLEMENTED, h.relay(aiv1.Endpoint_ENDPOINT_RESPONSES_COMPACT, ask).err)
	a := h.relay(aiv1.Endpoint_ENDPOINT_RESPONSES_INPUT_TOKENS, ask)
	require.Nil(t, a.err)
	require.Contains(t, a.body, `"input_tokens":`)
	require.Zero(t, h.openai.Stats().Calls, "Trivet counts itself")
}

// TestTranslationOnTheSandbox has the stand-in, which is strict about chats, answer translated requests.
func TestTranslationOnTheSandbox(t *testing.T) {
	h := newFixture(t, withStore(), withModels(chatOnly))
	first := h.create(`{"model":"gpt-5-mini","input":"please use weather","tools":[{"type":"function","name":"weather","parameters":{"type":"object","properties":{"city":{"type":"string"}}}}]}`)
	require.Equal(t, "function_call", first.Output[len(first.Output)-1].Type)
	require.EqualValues(t, first.Usage.Output, h.newest().Settled[0].GetUsage().GetOutputTokens())
}
