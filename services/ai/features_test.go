package ai_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	usagev1 "github.com/trivet-dev/trivet/gen/go/trivet/usage/v1"
	"github.com/trivet-dev/trivet/sandbox/openai"
	"github.com/trivet-dev/trivet/services/ai"
	"github.com/trivet-dev/trivet/services/ai/internal/billingtest"
)

const responses = aiv1.Endpoint_ENDPOINT_RESPONSES

// dearModels is a list with a price for every kind.
const dearModels = `
targets:
  a: {kind: compatible, base_url: "%s/v1"}
  b: {kind: compatible, base_url: "%s/v1"}
models:
  dear:
    {kind: chat, provider: x, vocabulary: o200k_base, context_tokens: 100000, max_output_tokens: 4000, default_output_tokens: 1000, max_image_tokens: 3779, input: "1", cached_input: "0.25", output: "4",
     audio_input: "10", image_input: "2", audio_output: "20", refused_fields: [],
     long_context: {above: 1000, input: "2", cached_input: "0.5", output: "6"},
     service_tiers: {flex: {input: "0.5", cached_input: "0.125", output: "2", long_context: {above: 1000, input: "1", output: "3"}},
                     priority: {input: "3", output: "12", long_context: {above: 500, input: "5", output: "15"}}},
     tools: {web_search: "0.01", web_search_preview: "0.02", code_interpreter: "0.03"}, targets: [{target: a}, {target: b, priority: 2}]}
  thrifty:
    {kind: chat, provider: x, vocabulary: o200k_base, chat_only: true, context_tokens: 100000, max_output_tokens: 4000, default_output_tokens: 1000, max_image_tokens: 3779, input: "1", cached_input: "0.25", output: "4",
     audio_input: "10", image_input: "2", audio_output: "20", refused_fields: [], service_tiers: {priority: {input: "3", output: "12"}}, targets: [{target: a}, {target: b, priority: 2}]}
  draw: {kind: image, provider: x, context_tokens: 90000, max_output_tokens: 6000, max_image_tokens: 6821, input: "5", image_input: "10", image_output: "40", targets: [{target: a}, {target: b, priority: 2}]}
  paint: {kind: image, provider: x, context_tokens: 9000, input: "0", images: {"standard/1024x1024": "0.04", "hd/1024x1024": "0.08"}, targets: [{target: a}, {target: b, priority: 2}]}
  hear: {kind: transcription, provider: x, context_tokens: 4096, input: "0", minute: "0.006", max_audio_seconds: 60, targets: [{target: a}, {target: b, priority: 2}]}
  listen: {kind: transcription, provider: x, context_tokens: 16000, max_output_tokens: 2000, input: "2", audio_input: "6", output: "10", max_audio_seconds: 600, targets: [{target: a}, {target: b, priority: 2}]}
  finish: {kind: completion, provider: x, vocabulary: cl100k_base, output_bound: max_tokens, context_tokens: 4096, max_output_tokens: 3000, default_output_tokens: 700, input: "2", output: "3", service_tiers: {flex: {input: "1", output: "2"}}, targets: [{target: a}, {target: b, priority: 2}]}
  point: {kind: embedding, provider: x, vocabulary: cl100k_base, context_tokens: 8191, input: "0.13", targets: [{target: a}, {target: b, priority: 2}]}
  say: {kind: speech, provider: x, context_tokens: 4096, input: "0", characters: "15", targets: [{target: a}, {target: b, priority: 2}]}
`

// usageOf is an answer to a chat with that usage.
func usageOf(tier string, input, cached, sound, output, spoken int64) string {
	return fmt.Sprintf(`{"id":"c","object":"chat.completion","model":"m","service_tier":%q,"choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}],`+
		`"usage":{"prompt_tokens":%d,"completion_tokens":%d,"prompt_tokens_details":{"cached_tokens":%d,"audio_tokens":%d},"completion_tokens_details":{"audio_tokens":%d}}}`,
		tier, input, output, cached, sound, spoken)
}

// TestFeaturesAreBilledAtTheirPrice covers tiers, long inputs, sound and tools.
func TestFeaturesAreBilledAtTheirPrice(t *testing.T) {
	long := fmt.Sprintf(`"%01500d"`, 0)
	responseOf := func(items string) string {
		return `{"id":"resp_1","object":"response","status":"completed","model":"m","service_tier":"default","output":[` + items +
			`{"type":"message","id":"msg_1","role":"assistant","status":"completed","content":[{"type":"output_text","text":"a","annotations":[]}]}],"usage":{"input_tokens":100,"output_tokens":10,"total_tokens":110}}`
	}
	const search = `{"type":"web_search_call","id":"ws_1","status":"completed"},`
	const tools = `{"model":"dear","input":"a","store":false,"max_tool_calls":3,"tools":[{"type":"web_search"},{"type":"code_interpreter","container":{"type":"auto"}}]}`
	chats := aiv1.Endpoint_ENDPOINT_CHAT_COMPLETIONS
	for name, c := range map[string]struct {
		endpoint        aiv1.Endpoint
		request, answer string
		cost            int64
		details         *usagev1.UsageDetails
	}{
		"flex": {chats, `{"model":"dear","service_tier":"flex","messages":[{"role":"user","content":"a"}]}`, usageOf("flex", 5, 2, 0, 10, 0), 3*500 + 2*125 + 10*2000, &usagev1.UsageDetails{ServiceTier: "flex"}},
		"priority, served as default": {
			chats, `{"model":"dear","service_tier":"priority","messages":[{"role":"user","content":"a"}]}`, usageOf("default", 5, 2, 0, 10, 0), 3*1000 + 2*250 + 10*4000, nil,
		},
		"a tier that nobody asked for": {
			chats, `{"model":"dear","service_tier":"flex","messages":[{"role":"user","content":"a"}]}`, usageOf("priority", 5, 0, 0, 10, 0), 5*500 + 10*2000, &usagev1.UsageDetails{ServiceTier: "flex"},
		},
		"a long input":     {chats, `{"model":"dear","messages":[{"role":"user","content":` + long + `}]}`, usageOf("default", 1400, 400, 0, 10, 0), 1000*2000 + 400*500 + 10*6000, nil},
		"not that long":    {chats, `{"model":"dear","messages":[{"role":"user","content":` + long + `}]}`, usageOf("default", 800, 0, 0, 10, 0), 800*1000 + 10*4000, nil},
		"sound in and out": {chats, `{"model":"dear","messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"` + fmt.Sprintf("%06400d", 0) + `","format":"wav"}}]}]}`, usageOf("default", 60, 0, 50, 10, 6), 10*1000 + 50*10_000 + 4*4000 + 6*20_000, &usagev1.UsageDetails{AudioInputTokens: 50, AudioOutputTokens: 6}},
		"tools":            {responses, tools, responseOf(search + search + `{"type":"code_interpreter_call","id":"ci_1"},`), 100*1000 + 10*4000 + 2*10_000_000 + 30_000_000, &usagev1.UsageDetails{ToolCalls: 3}},
		"tools, unused":    {responses, tools, responseOf(""), 100*1000 + 10*4000, nil},
		"more than promised, the dearest first": {
			responses, tools, responseOf(search + search + search + `{"type":"code_interpreter_call","id":"ci_1"},{"type":"code_interpreter_call","id":"ci_2"},`),
			100*1000 + 10*4000 + 10_000_000 + 2*30_000_000, &usagev1.UsageDetails{ToolCalls: 3},
		},
		"calls that may be of two tools": {
			responses, `{"model":"dear","input":"a","store":false,"max_tool_calls":3,"tools":[{"type":"web_search"},{"type":"web_search_preview"}]}`, responseOf(search + search),
			100*1000 + 10*4000 + 2*20_000_000, &usagev1.UsageDetails{ToolCalls: 2},
		},
		"more than promised": {responses, tools, responseOf(search + search + search + search), 100*1000 + 10*4000 + 3*10_000_000, &usagev1.UsageDetails{ToolCalls: 3}},
	} {
		t.Run(name, func(t *testing.T) {
			server := serve(t, raw("application/json", c.answer))
			h := newFixture(t, withModels(fmt.Sprintf(dearModels, server, server)))
			a := h.relay(c.endpoint, c.request)
			require.Nil(t, a.err)
			require.EqualValues(t, 200, a.head.GetStatus())
			hold := h.settled()
			require.Equal(t, c.cost, hold.Cost)
			require.LessOrEqual(t, hold.Cost, hold.Response.GetHeldNanoUsd())
			require.Equal(t, c.details.String(), hold.Settled[0].GetDetails().String())
		})
	}
}

// TestTranslatedFeatures: a response of a target that has only chat completions is billed at the tier that the chat names, and has
// its kinds of tokens.
func TestTranslatedFeatures(t *testing.T) {
	chunks := func(tier, usage string) string {
		return `data: {"id":"c","model":"m","service_tier":` + tier + `,"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}` + "\n\n" +
			`data: {"id":"c","model":"m","service_tier":` + tier + `,"choices":[],"usage":` + usage + "}\n\n" + done
	}
	whole := func(tier, usage string) string {
		return `{"id":"c","object":"chat.completion","model":"m","service_tier":` + tier + `,"choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}],"usage":` + usage + "}"
	}
	const few = `{"prompt_tokens":5,"completion_tokens":10,"prompt_tokens_details":{"cached_tokens":2}}`
	const heard = `{"prompt_tokens":60,"completion_tokens":10,"prompt_tokens_details":{"audio_tokens":50,"image_tokens":4},"completion_tokens_details":{"audio_tokens":6}}`
	sounds := `[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"` + fmt.Sprintf("%06400d", 0) + `","format":"wav"}},{"type":"input_image","image_url":"data:image/png;base64,AAAA"}]}]`
	for name, c := range map[string]struct {
		request, tier, usage string
		shown                string
		cost                 int64
		details              *usagev1.UsageDetails
	}{
		"priority":                    {`"input":"a","service_tier":"priority"`, `"priority"`, few, `"service_tier":"priority"`, 5*3000 + 10*12_000, &usagev1.UsageDetails{ServiceTier: "priority"}},
		"priority, served as default": {`"input":"a","service_tier":"priority"`, `"default"`, few, `"service_tier":"default"`, 3*1000 + 2*250 + 10*4000, nil},
		"priority, no tier named":     {`"input":"a","service_tier":"priority"`, `null`, few, `"service_tier":"priority"`, 5*3000 + 10*12_000, &usagev1.UsageDetails{ServiceTier: "priority"}},
		"no tier named at all":        {`"input":"a"`, `null`, few, `"service_tier":"default"`, 3*1000 + 2*250 + 10*4000, nil},
		"sound in": {
			`"input":` + sounds, `"default"`, heard, `"input_tokens_details":{"cached_tokens":0,"cache_write_tokens":0,"audio_tokens":50,"image_tokens":4}`,
			6*1000 + 50*10_000 + 4*2000 + 4*4000 + 6*20_000, &usagev1.UsageDetails{AudioInputTokens: 50, ImageInputTokens: 4, AudioOutputTokens: 6},
		},
	} {
		for kind, answer := range map[string]string{"application/json": whole(c.tier, c.usage), "text/event-stream": chunks(c.tier, c.usage)} {
			t.Run(name+" as "+kind, func(t *testing.T) {
				request := `{"model":"thrifty","store":false,` + c.request + `}`
				if kind == "text/event-stream" {
					request = strings.Replace(request, "{", `{"stream":true,`, 1)
				}
				server := serve(t, raw(kind, answer))
				h := newFixture(t, withModels(fmt.Sprintf(dearModels, server, server)))
				a := h.relay(responses, request)
				require.Nil(t, a.err)
				require.Equal(t, "chat.completions", a.head.GetHeaders()["x-trivet-translated"])
				require.Contains(t, a.body, c.shown)
				hold := h.settled()
				require.Equal(t, c.cost, hold.Cost)
				require.LessOrEqual(t, hold.Cost, hold.Response.GetHeldNanoUsd())
				require.Equal(t, c.details.String(), hold.Settled[0].GetDetails().String())
			})
		}
	}
}

// TestReferencesMayBeSound: a file, or an earlier response, is held for the dearest that it may be, and billed for what it was.
func TestReferencesMayBeSound(t *testing.T) {
	usage := func(input, output string) string {
		return `{` + input + `_tokens":100,` + output + `_tokens":10,` + input + `_tokens_details":{"audio_tokens":50,"image_tokens":20}}`
	}
	chat := `{"id":"c","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}],"usage":` + usage(`"prompt`, `"completion`) + `}`
	response := `{"id":"resp_2","object":"response","status":"completed","model":"m","output":[{"type":"message","id":"msg_1","role":"assistant","status":"completed","content":[{"type":"output_text","text":"a"}]}],"usage":` + usage(`"input`, `"output`) + `}`
	const chats = aiv1.Endpoint_ENDPOINT_CHAT_COMPLETIONS
	for name, c := range map[string]struct {
		endpoint        aiv1.Endpoint
		request, answer string
	}{
		"a file of a chat":    {chats, `{"model":"dear","messages":[{"role":"user","content":[{"type":"file","file":{"file_id":null,"file_data":"data:application/pdf;base64,AAAA"}}]}]}`, chat},
		"a file":              {responses, `{"model":"dear","store":false,"input":[{"role":"user","content":[{"type":"input_file","file_url":"https://example.test/a"}]}]}`, response},
		"an earlier response": {responses, `{"model":"dear","store":false,"input":"a","previous_response_id":"resp_1"}`, response},
	} {
		t.Run(name, func(t *testing.T) {
			var answer atomic.Value
			answer.Store(strings.Replace(response, "resp_2", "resp_1", 1))
			server := serve(t, func(w http.ResponseWriter, r *http.Request) { raw("application/json", answer.Load().(string))(w, r) }) //nolint:forcetypeassert // the test's own
			h := newFixture(t, withStore(), withModels(fmt.Sprintf(dearModels, server, server)))
			if strings.Contains(c.request, "resp_1") {
				require.Nil(t, h.relay(responses, `{"model":"dear","input":"a"}`).err)
			}
			answer.Store(c.answer)
			a := h.relay(c.endpoint, c.request)
			require.Nil(t, a.err)
			require.EqualValues(t, 200, a.head.GetStatus(), a.body)
			holds := h.billing.Holds()
			hold := holds[len(holds)-1]
			require.EqualValues(t, 30*1000+50*10_000+20*2000+10*4000, hold.Cost)
			require.LessOrEqual(t, hold.Settled[0].GetCostNanoUsd(), hold.Response.GetHeldNanoUsd(), "the hold bounds the cost")
			require.Equal(t, (&usagev1.UsageDetails{AudioInputTokens: 50, ImageInputTokens: 20}).String(), hold.Settled[0].GetDetails().String())
		})
	}
}

// TestSpokenAnswersThatBreak: without a usage, the output of an answer that has sound is billed as sound, whoever ended it.
func TestSpokenAnswersThatBreak(t *testing.T) {
	const request = `{"model":"dear","stream":true,"max_tokens":1000,"messages":[{"role":"user","content":"a"}]}`
	sound := `data: {"id":"c1","choices":[{"index":0,"delta":{"audio":{"transcript":"one two","data":"AAAA"}}}]}` + "\n\n"
	reported := func(details string) string {
		return `data: {"id":"c1","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":8` + details + `}}` + "\n\n"
	}
	for name, c := range map[string]struct {
		answer       string
		broken       bool
		text, spoken int64
	}{
		"cut within the sound":    {sound, true, 0, 2},
		"cut after the text":      {delta("one two"), true, 2, 0},
		"cut after a usage":       {sound + reported(`,"completion_tokens_details":{"audio_tokens":6}`), true, 2, 6},
		"whole, without a usage":  {sound + finish + done, false, 0, 2},
		"whole, without a detail": {sound + finish + reported("") + done, false, 8, 0},
	} {
		t.Run(name, func(t *testing.T) {
			server := serve(t, raw("text/event-stream", c.answer))
			h := newFixture(t, withModels(fmt.Sprintf(dearModels, server, server)))
			require.Equal(t, c.broken, h.chat(request).err != nil)
			hold := h.settled()
			used := hold.Settled[0].GetUsage()
			require.EqualValues(t, c.text+c.spoken, used.GetOutputTokens())
			require.Equal(t, int64(used.GetInputTokens())*1000+c.text*4000+c.spoken*20_000, hold.Cost)
		})
	}
}

// TestStreamsOfFeatures reads the tier and the tools from events.
func TestStreamsOfFeatures(t *testing.T) {
	chunk := `data: {"id":"c","service_tier":"flex","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}` + "\n\n" +
		`data: {"id":"c","service_tier":"default","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":10}}` + "\n\n" + done
	server := serve(t, raw("text/event-stream", chunk))
	h := newFixture(t, withModels(fmt.Sprintf(dearModels, server, server)))
	require.Nil(t, h.chat(`{"model":"dear","service_tier":"flex","stream":true,"messages":[{"role":"user","content":"a"}]}`).err)
	require.EqualValues(t, 5*1000+10*4000, h.settled().Cost, "it was served at the standard tier")

	events := `data: {"type":"response.created","response":{"id":"resp_1","object":"response","status":"in_progress","output":[]}}` + "\n\n" +
		`data: {"type":"response.output_item.added","output_index":0,"item":{"type":"web_search_call","id":"ws_1"}}` + "\n\n" +
		`data: {"type":"response.output_item.done","output_index":0,"item":{"type":"web_search_call","id":"ws_1"}}` + "\n\n" +
		`data: {"type":"response.output_text.delta","output_index":1,"item_id":"msg_1","content_index":0,"delta":"a"}` + "\n\n"
	end := `data: {"type":"response.completed","response":{"id":"resp_1","object":"response","status":"completed","output":[{"type":"web_search_call","id":"ws_1"},` +
		`{"type":"message","id":"msg_1","role":"assistant","content":[{"type":"output_text","text":"a"}]}],"usage":{"input_tokens":100,"output_tokens":10,"total_tokens":110}}}` + "\n\n"
	const request = `{"model":"dear","input":"a","store":false,"stream":true,"max_tool_calls":3,"tools":[{"type":"web_search"}]}`
	server = serve(t, raw("text/event-stream", events+end))
	h = newFixture(t, withModels(fmt.Sprintf(dearModels, server, server)))
	require.Nil(t, h.relay(responses, request).err)
	require.EqualValues(t, 100*1000+10*4000+10_000_000, h.settled().Cost)

	server = serve(t, raw("text/event-stream", events))
	h = newFixture(t, withModels(fmt.Sprintf(dearModels, server, server)))
	require.NotNil(t, h.relay(responses, request).err)
	require.GreaterOrEqual(t, h.settled().Cost, int64(10_000_000), "the search was made, although the answer was cut")
}

// TestFeaturesWithoutAPrice are refused by their fields.
func TestFeaturesWithoutAPrice(t *testing.T) {
	for request, field := range map[string]string{
		`{"model":"dear","input":"a","store":false,"service_tier":"scale"}`:                                                                                     "service_tier",
		`{"model":"dear","input":"a","store":false,"service_tier":7}`:                                                                                           "service_tier",
		`{"model":"dear","input":"a","store":false,"service_tier":""}`:                                                                                          "service_tier",
		`{"model":"dear","input":"a","store":false,"tools":[{"type":"web_search"}]}`:                                                                            "max_tool_calls",
		`{"model":"dear","input":"a","store":false,"max_tool_calls":129,"tools":[{"type":"web_search"}]}`:                                                       "max_tool_calls",
		`{"model":"dear","input":"a","store":false,"max_tool_calls":0,"tools":[{"type":"web_search"}]}`:                                                         "max_tool_calls",
		`{"model":"dear","input":"a","store":false,"max_tool_calls":1,"tools":[{"type":"web_search"},{"type":"mcp"}]}`:                                          "tools[0].type",
		`{"model":"dear","input":"a","store":false,"max_tool_calls":1,"tools":[{"type":"file_search","vector_store_ids":["vs_1"]}]}`:                            "tools[0].vector_store_ids",
		`{"model":"dear","input":"a","store":false,"max_tool_calls":1,"tools":[{"type":"code_interpreter","container":"cntr_1"}]}`:                              "tools[0].container",
		`{"model":"dear","input":"a","store":false,"max_tool_calls":1,"tools":[{"type":"code_interpreter","container":{"type":"auto","file_ids":["file-1"]}}]}`: "tools[0].container.file_ids",
	} {
		h := newFixture(t, withModels(fmt.Sprintf(dearModels, "http://127.0.0.1:1", "http://127.0.0.1:1")))
		a := h.relay(responses, request)
		requireReason(t, invalidArgument, a.err)
		require.Equal(t, field, a.err.Fields[0].Name, request)
		require.Empty(t, h.billing.Holds())
	}
}

// TestHoldsBoundEveryPrice: whatever a provider reports, the charge never exceeds the hold, for every feature that has a price,
// at the first target and at the one that is asked when the first fails.
func TestHoldsBoundEveryPrice(t *testing.T) {
	var answer atomic.Value
	var failing atomic.Bool
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if failing.CompareAndSwap(true, false) {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		raw("application/json", answer.Load().(string))(w, r) //nolint:forcetypeassert // the test's own
	})
	h := newFixture(t, withModels(fmt.Sprintf(dearModels, server, server)))
	rapid.Check(t, func(t *rapid.T) {
		n := func(name string, most int64) int64 { return rapid.Int64Range(0, most).Draw(t, name) }
		tier := rapid.SampledFrom([]string{"default", "flex", "priority"})
		endpoint := aiv1.Endpoint_ENDPOINT_CHAT_COMPLETIONS
		var request posted
		honest := false // the provider reports what the file has, so that nothing may be cut
		input := n("input", 3000)
		cached, special := n("cached", input), n("special", input)
		output := n("output", 20_000)
		usage := fmt.Sprintf(`"usage":{"seconds":%d,"input_tokens":%d,"output_tokens":%d,"input_tokens_details":{"image_tokens":%d,"audio_tokens":%d}}`, n("seconds", 1000), input, output, special, special)
		switch kind := rapid.SampledFrom([]string{"chat", "tools", "draw", "edit", "paint", "hear", "listen"}).Draw(t, "kind"); kind {
		case "chat":
			request = plain(fmt.Sprintf(`{"model":"dear","service_tier":%q,"max_tokens":%d,"messages":[{"role":"user","content":[{"type":"text","text":"%0*d"},{"type":"input_audio","input_audio":{"data":"%0*d","format":"wav"}}]}]}`,
				tier.Draw(t, "tier"), n("max", 3999)+1, n("text", 2000)+1, 0, n("sound", 2000)+1, 0))
			answer.Store(usageOf(tier.Draw(t, "served"), input, cached, special, output, n("spoken", output)))
		case "tools":
			endpoint = responses
			request = plain(fmt.Sprintf(`{"model":"dear","input":"a","store":false,"service_tier":%q,"max_tool_calls":%d,"tools":[{"type":"web_search"},{"type":"code_interpreter"}]}`, tier.Draw(t, "tier"), n("calls", 8)+1))
			items := ""
			for range n("runs", 12) {
				items += fmt.Sprintf(`{"type":"%s_call","id":"x"},`, rapid.SampledFrom([]string{"web_search", "code_interpreter"}).Draw(t, "tool"))
			}
			answer.Store(`{"id":"resp_1","object":"response","status":"completed","output":[` + items + `{"type":"message","id":"m","role":"assistant","content":[{"type":"output_text","text":"a"}]}],` + usage + `}`)
		case "hear", "listen":
			file, most := soundOf(t)
			heard := min(most, map[string]int64{"hear": 60, "listen": 600}[kind]) // the model refuses more
			endpoint, request = transcriptions, form(h.t, "model", kind, "@file", file)
			answer.Store(fmt.Sprintf(`{"text":"a","usage":{"seconds":%d,"input_tokens":%d,"output_tokens":%d,"input_token_details":{"audio_tokens":%d}}}`, heard, heard*10, n("words", 2000), heard*10))
			honest = true
		default:
			endpoint, request = generations, plain(fmt.Sprintf(`{"model":"draw","prompt":"a","n":%d}`, n("n", 9)+1))
			if kind == "edit" {
				endpoint, request = edits, form(h.t, "model", "draw", "prompt", "a", "@image", "x")
			}
			if kind == "paint" {
				request = plain(fmt.Sprintf(`{"model":"paint","prompt":"a","n":%d,"quality":%q}`, n("n", 9)+1, rapid.SampledFrom([]string{"standard", "hd", "auto"}).Draw(t, "quality")))
			}
			data, _ := json.Marshal(make([]struct{}, n("images", 20)+1))
			answer.Store(`{"data":` + string(data) + `,` + usage + `}`)
		}
		failing.Store(rapid.Bool().Draw(t, "first target fails"))
		before, logged := len(h.billing.Holds()), len(h.logged.String())
		a := h.send(endpoint, request)
		require.Nil(t, a.err)
		hold := h.billing.Holds()[before]
		require.Len(t, hold.Settled, 1)
		if honest {
			require.NotContains(t, h.logged.String()[logged:], "exceeds the bound", "the hold is for all that the file can have")
		}
		if hold.Settled[0].CostNanoUsd != nil { // what was priced, before billing cuts it to the hold
			require.LessOrEqual(t, hold.Settled[0].GetCostNanoUsd(), hold.Response.GetHeldNanoUsd())
		}
		require.LessOrEqual(t, hold.Cost, hold.Response.GetHeldNanoUsd())
		require.Positive(t, hold.Cost)
	})
}

// soundOf draws a file, and how many seconds of sound it can have.
func soundOf(t *rapid.T) (file string, seconds int64) {
	n := rapid.IntRange(1, 300).Draw(t, "parts")
	frame := "\xff\xfb\x90\x64" + strings.Repeat("\x00", 413) // of MP3, 26.123 ms
	switch rapid.SampledFrom([]string{"wav", "mp3", "another format", "two formats"}).Draw(t, "format") {
	case "wav":
		return string(openai.WAV(n * 50)), int64(n*50+999) / 1000
	case "mp3":
		n++
		return strings.Repeat(frame, n), int64(n*26123+999_999) / 1_000_000
	case "two formats":
		return "fLaC" + strings.Repeat(frame, n), 10_000
	default: // silence takes next to no bytes
		return strings.Repeat("OggS\x01\x02", n), 10_000
	}
}

// leaveStream makes a streamed call whose caller leaves after the first part; the provider ends its answer after that.
func (h *fixture) leaveStream(endpoint aiv1.Endpoint, body string, left chan<- struct{}) billingtest.Hold {
	h.t.Helper()
	ctx, leave := context.WithCancel(h.t.Context())
	stream, err := h.Relay(ctx, &aiv1.RelayRequest{Endpoint: endpoint, Body: []byte(body)})
	require.NoError(h.t, err)
	_, err = stream.Recv()
	require.NoError(h.t, err)
	leave()
	_ = drain(stream)
	close(left)
	require.Eventually(h.t, func() bool { return len(h.billing.Holds()) == 1 && h.billing.Held() == 0 }, 30*time.Second, time.Millisecond)
	return h.settled()
}

// TestLeavingDoesNotHideTools: who leaves after the first text pays for the tools, and for sound that is spoken.
func TestLeavingDoesNotHideTools(t *testing.T) {
	const chats = aiv1.Endpoint_ENDPOINT_CHAT_COMPLETIONS
	const search = `{"model":"dear","input":"a","store":false,"stream":true,"max_output_tokens":1000,"max_tool_calls":3,"tools":[{"type":"web_search"}]}`
	const speak = `{"model":"dear","stream":true,"max_tokens":1000,"messages":[{"role":"user","content":"a"}]}`
	searched := [2]string{
		`data: {"type":"response.created","response":{"id":"resp_1","object":"response","status":"in_progress","output":[]}}` + "\n\n" +
			`data: {"type":"response.output_text.delta","output_index":0,"item_id":"msg_1","content_index":0,"delta":"a"}` + "\n\n",
		`data: {"type":"response.completed","response":{"id":"resp_1","object":"response","status":"completed","output":[{"type":"web_search_call","id":"ws_1"},` +
			`{"type":"message","id":"msg_1","role":"assistant","content":[{"type":"output_text","text":"a"}]}],"usage":{"input_tokens":100,"output_tokens":10,"total_tokens":110}}}` + "\n\n",
	}
	spoken := [2]string{
		delta("a"),
		finish + `data: {"id":"c","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":10,"completion_tokens_details":{"audio_tokens":6}}}` + "\n\n" + done,
	}
	for name, c := range map[string]struct {
		endpoint aiv1.Endpoint
		request  string
		answer   [2]string
		reads    int
		cost     func(billingtest.Hold) int64
	}{
		"tools":                                  {responses, search, searched, 100, func(billingtest.Hold) int64 { return 100*1000 + 10*4000 + 10_000_000 }},
		"sound":                                  {chats, speak, spoken, 100, func(billingtest.Hold) int64 { return 10*1000 + 4*4000 + 6*20_000 }},
		"tools of an answer that cannot be read": {responses, search, searched, 0, func(h billingtest.Hold) int64 { return h.Response.GetHeldNanoUsd() }},
		"sound of an answer that cannot be read": {chats, speak, spoken, 0, func(h billingtest.Hold) int64 {
			return int64(h.Settled[0].GetUsage().GetInputTokens())*1000 + 1000*20_000
		}},
	} {
		t.Run(name, func(t *testing.T) {
			left := make(chan struct{})
			server := serve(t, func(w http.ResponseWriter, r *http.Request) {
				raw("text/event-stream", c.answer[0])(w, r)
				_ = http.NewResponseController(w).Flush()
				if c.reads == 0 {
					<-r.Context().Done()
					return
				}
				select {
				case <-left:
					_, _ = io.WriteString(w, c.answer[1])
				case <-r.Context().Done():
				}
			})
			h := newFixture(t, withModels(fmt.Sprintf(dearModels, server, server)), withConfig(func(config *ai.Config) { config.AbandonedReads = c.reads }))
			hold := h.leaveStream(c.endpoint, c.request, left)
			require.Equal(t, c.cost(hold), hold.Cost)
			require.Equal(t, c.cost(hold), hold.Settled[0].GetCostNanoUsd(), "it is not cut to the hold")
		})
	}
}
