package ai_test

import (
	"bytes"
	"cmp"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/services/ai"
)

// packed compresses a body.
func packed(t testing.TB, with func(io.Writer) io.WriteCloser, body string) string {
	t.Helper()
	var b bytes.Buffer
	w := with(&b)
	_, err := io.WriteString(w, body)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.String()
}

// TestAlmostOpenAI: what servers that are almost OpenAI answer (vLLM, Ollama, llama.cpp, Groq, OpenRouter, Azure, proxies before them) is
// passed on as an answer, and billed as reported; where nothing is reported, as counted. The same goes for the typed API, and for Responses that are
// translated to chats.
func TestAlmostOpenAI(t *testing.T) {
	const (
		usage = `"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}`
		whole = `{"id":"c1","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"one two"},"finish_reason":"stop"}],` + usage + `}`
		first = `data: {"id":"c1","choices":[{"index":0,"delta":{"role":"assistant","content":"one"}}]}` + "\n\n"
		next  = `data: {"id":"c1","choices":[{"index":0,"delta":{"content":" two"}}]}` + "\n\n"
		stop  = `data: {"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
		tail  = `data: {"id":"c1","choices":[],` + usage + "}\n\n" + done
	)
	in := func(answer, old, with string) string {
		require.Contains(t, answer, old)
		return strings.Replace(answer, old, with, 1)
	}
	text := func(s string) string { return in(whole, `"content":"one two"`, s) }
	gz := func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }
	zl := func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) }
	fl := func(w io.Writer) io.WriteCloser { f, _ := flate.NewWriter(w, 6); return f }
	head := func(pairs ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			h.Add(pairs[i], pairs[i+1])
		}
		return h
	}
	for name, c := range map[string]struct {
		stream  bool
		answer  string
		header  http.Header
		status  int // of the provider; 0 stands for 200
		output  int // tokens that are billed; 0 stands for 4
		counted bool
		typed   string // what the typed API says, its calls of tools too; "" stands for the usual text, - for none
	}{
		"whole, null usage":                   {answer: in(whole, usage, `"usage":null`), counted: true, output: 2},
		"whole, no usage":                     {answer: in(whole, ","+usage, ""), counted: true, output: 2},
		"whole, an empty usage":               {answer: in(whole, usage, `"usage":{}`), counted: true, output: 2},
		"whole, numeric strings":              {answer: in(whole, usage, `"usage":{"prompt_tokens":"9","completion_tokens":"4"}`)},
		"whole, numbers with a point":         {answer: in(whole, usage, `"usage":{"prompt_tokens":9.0,"completion_tokens":4.0}`)},
		"whole, names of Anthropic":           {answer: in(whole, usage, `"usage":{"input_tokens":9,"output_tokens":4}`), counted: true, output: 2}, // its input lacks what was cached
		"whole, only x_groq":                  {answer: in(whole, usage, `"x_groq":{"id":"r",`+usage+`}`)},
		"whole, usage and timings of Groq":    {answer: in(whole, `"total_tokens":13`, `"total_tokens":13,"queue_time":0.01,"prompt_time":1e-3`)},
		"whole, usage first":                  {answer: `{` + usage + `,` + in(whole[1:], ","+usage, "")},
		"whole, finish_reason eos":            {answer: in(whole, `"stop"`, `"eos"`)},
		"whole, finish_reason null":           {answer: in(whole, `"stop"`, `null`)},
		"whole, finish_reason object":         {answer: in(whole, `"stop"`, `{"type":"stop"}`)},
		"whole, reasoning_content":            {answer: text(`"content":"one two","reasoning_content":"hm"`)},
		"whole, reasoning":                    {answer: text(`"content":null,"reasoning":"hm"`), typed: `-`},
		"whole, parts":                        {answer: text(`"content":[{"type":"text","text":"one two"}]`)},
		"whole, null tool calls":              {answer: text(`"content":"one two","tool_calls":null`)},
		"whole, empty tool calls":             {answer: text(`"content":"one two","tool_calls":[],"function_call":null,"refusal":null`)},
		"whole, tool calls without ids":       {answer: text(`"content":null,"tool_calls":[{"function":{"name":"f","arguments":"{}"}},{"function":{"name":"g","arguments":{"a":1}}}]`), typed: ` f: {} g: {"a":1}`},
		"whole, tool calls with one id":       {answer: text(`"content":"","tool_calls":[{"id":"t","function":{"name":"f","arguments":"{}"}},{"id":"t","function":{"name":"g","arguments":"{}"}}]`), typed: ` f: {} g: {}`},
		"whole, a choice of another index":    {answer: in(whole, `"index":0`, `"index":1`)},
		"whole, numeric id":                   {answer: in(whole, `"id":"c1"`, `"id":7`)},
		"whole, null error":                   {answer: in(whole, `"id":"c1"`, `"error":null,"id":"c1"`)},
		"whole, empty error":                  {answer: in(whole, `"id":"c1"`, `"error":"","id":"c1"`)},
		"whole, false error":                  {answer: in(whole, `"id":"c1"`, `"error":false,"id":"c1"`)},
		"whole, prompt filter of Azure":       {answer: in(whole, `"id":"c1"`, `"prompt_filter_results":[{"prompt_index":0,"content_filter_results":{}}],"id":"c1"`)},
		"whole, no choices but usage":         {answer: `{"id":"c1","choices":[],` + usage + `}`, typed: `-`},
		"whole, white space around":           {answer: "\r\n\t " + whole + "\n\n  "},
		"whole, BOM":                          {answer: "\xef\xbb\xbf" + whole},
		"whole, pretty":                       {answer: strings.ReplaceAll(whole, ",", ",\n  ")},
		"whole, 201":                          {answer: whole, status: 201},
		"whole, 206":                          {answer: whole, status: 206},
		"whole, gzip":                         {answer: packed(t, gz, whole), header: head("Content-Encoding", "gzip")},
		"whole, GZIP in capitals":             {answer: packed(t, gz, whole), header: head("Content-Encoding", "GZIP")},
		"whole, zlib":                         {answer: packed(t, zl, whole), header: head("Content-Encoding", "deflate")},
		"whole, bare deflate":                 {answer: packed(t, fl, whole), header: head("Content-Encoding", "deflate")},
		"whole, identity":                     {answer: whole, header: head("Content-Encoding", "identity")},
		"whole, repeated headers":             {answer: whole, header: head("Content-Type", "application/json", "Content-Type", "text/html", "X-Request-Id", "a", "X-Request-Id", "b")},
		"stream, usage in its last chunk":     {stream: true, answer: first + next + in(stop, `"finish_reason":"stop"}]`, `"finish_reason":"stop"}],`+usage) + done},
		"stream, usage in every chunk":        {stream: true, answer: in(first, `"id":"c1"`, `"id":"c1","usage":{"prompt_tokens":9,"completion_tokens":1}`) + next + stop + tail},
		"stream, null usage in chunks":        {stream: true, answer: in(first, `"id":"c1"`, `"id":"c1","usage":null`) + next + stop + tail},
		"stream, x_groq":                      {stream: true, answer: first + next + in(stop, `"id":"c1"`, `"id":"c1","x_groq":{"id":"r",`+usage+`}`) + done},
		"stream, no usage":                    {stream: true, answer: first + next + stop + done, counted: true, output: 2},
		"stream, null delta":                  {stream: true, answer: `data: {"choices":[{"index":0,"delta":null}]}` + "\n\n" + first + next + stop + tail},
		"stream, empty choices first":         {stream: true, answer: `data: {"choices":[],"prompt_filter_results":[]}` + "\n\n" + first + next + stop + tail},
		"stream, null choices":                {stream: true, answer: `data: {"choices":null}` + "\n\n" + first + next + stop + tail},
		"stream, ids that change":             {stream: true, answer: first + in(next, "c1", "c2") + in(stop, "c1", "c3") + tail},
		"stream, finish_reason empty":         {stream: true, answer: in(first, `{"role"`, `{"a":"","role"`) + in(next, `"delta"`, `"finish_reason":"","delta"`) + stop + tail},
		"stream, finish_reason end_turn":      {stream: true, answer: first + next + in(stop, `"stop"`, `"end_turn"`) + tail},
		"stream, comments":                    {stream: true, answer: ": OPENROUTER PROCESSING\n\n" + first + ": OPENROUTER PROCESSING\n\n" + next + stop + tail},
		"stream, named events":                {stream: true, answer: "event: message\n" + first + "event: chunk\n" + next + stop + tail},
		"stream, pings":                       {stream: true, answer: "event: ping\ndata: {\"type\":\"ping\"}\n\n" + first + "event: ping\ndata: 2026-11-28 08:40:33\n\n" + next + stop + tail},
		"stream, ids and retries":             {stream: true, answer: "id: 1\nretry: 3000\n" + first + "id: 2\n" + next + stop + tail},
		"stream, parts":                       {stream: true, answer: in(first, `"one"`, `[{"type":"text","text":"one"}]`) + next + stop + tail},
		"stream, reasoning_content":           {stream: true, answer: in(first, `"content":"one"`, `"content":null,"reasoning_content":"one"`) + next + stop + tail, typed: ` two`},
		"stream, a tool call in one piece":    {stream: true, answer: in(first, `"content":"one"`, `"tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]`) + in(stop, `"stop"`, `"tool_calls"`) + tail, typed: ` f: {"a":1}`},
		"stream, arguments as an object":      {stream: true, answer: in(first, `"content":"one"`, `"tool_calls":[{"index":0,"function":{"name":"f","arguments":{"a":1}}}]`) + in(stop, `"stop"`, `"tool_calls"`) + tail, typed: ` f: {"a":1}`},
		"stream, tool calls without an index": {stream: true, answer: in(first, `"content":"one"`, `"tool_calls":[{"function":{"name":"f","arguments":"{}"}},{"function":{"name":"g","arguments":"{"}}]`) + in(next, `"content":" two"`, `"tool_calls":[{"id":"","function":{"arguments":"}"}}]`) + in(stop, `"stop"`, `"tool_calls"`) + tail, typed: ` f: {} g: {}`},
		"stream, message in place of a delta": {stream: true, answer: in(first, `"delta"`, `"message"`) + next + stop + tail},
		"stream, CRLF":                        {stream: true, answer: strings.ReplaceAll(first+next+stop+tail, "\n", "\r\n")},
		"stream, CR":                          {stream: true, answer: strings.ReplaceAll(first+next+stop+tail, "\n", "\r")},
		"stream, no space after data":         {stream: true, answer: strings.ReplaceAll(first+next+stop+tail, "data: ", "data:")},
		"stream, spaces around [DONE]":        {stream: true, answer: first + next + stop + in(tail, "[DONE]", "  [DONE] \t")},
		"stream, no line after [DONE]":        {stream: true, answer: strings.TrimSuffix(first+next+stop+tail, "\n\n")},
		"stream, bytes after [DONE]":          {stream: true, answer: first + next + stop + tail + "data: {}\n\nrubbish"},
		"stream, BOM":                         {stream: true, answer: "\xef\xbb\xbf" + first + next + stop + tail},
		"stream, an empty data line":          {stream: true, answer: "data:\n\n" + first + "data: \n\n" + next + stop + tail},
		"stream, null error":                  {stream: true, answer: in(first, `"id":"c1"`, `"error":null,"id":"c1"`) + next + stop + tail},
		"stream, gzip":                        {stream: true, answer: packed(t, gz, first+next+stop+tail), header: head("Content-Encoding", "x-gzip")},
		"stream, deflate":                     {stream: true, answer: packed(t, zl, first+next+stop+tail), header: head("Content-Encoding", "deflate")},
		"stream, 201":                         {stream: true, answer: first + next + stop + tail, status: 201},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			provider := withUpstream(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				for key, values := range c.header {
					w.Header()[key] = values
				}
				w.WriteHeader(max(c.status, 200))
				_, _ = io.WriteString(w, c.answer)
			})
			once := withConfig(func(c *ai.Config) { c.Tries = 1 })
			h := newFixture(t, once, provider)
			request := hello
			if c.stream {
				request = streamed
			}
			a := h.chat(request)
			require.Nil(t, a.err, a.body)
			require.Less(t, a.head.GetStatus(), int32(300), a.body)
			require.Equal(t, c.stream, a.head.GetStreamed())
			require.Equal(t, c.stream, strings.Contains(a.body, "[DONE]"), a.body)
			billed := func(final *billingv1.SettleRequest) {
				require.Equal(t, c.counted, final.GetEstimated())
				require.EqualValues(t, max(c.output, 4*b2i(!c.counted)), final.GetUsage().GetOutputTokens())
				if !c.counted {
					require.EqualValues(t, 9, final.GetUsage().GetInputTokens())
				}
			}
			billed(h.settled().Settled[0])

			h = newFixture(t, once, provider)
			require.Equal(t, cmp.Or(c.typed, "one two"), cmp.Or(h.says(c.stream), "-"))
			billed(h.settled().Settled[0])

			h = newFixture(t, once, provider, withModels(chatOnly))
			a = h.respond(fmt.Sprintf(`{"model":"gpt-4o-mini","store":false,"stream":%t,"input":"hi"}`, c.stream))
			require.Nil(t, a.err, a.body)
			require.Equal(t, cmp.Or(c.typed, "one two"), cmp.Or(responseSays(t, a.body), "-"), "translated: %s", a.body)
			billed(h.settled().Settled[0])
		})
	}
}

// responseSays returns the text of a response, or of the last event of its stream, followed by its calls of tools.
func responseSays(t *testing.T, body string) (all string) {
	t.Helper()
	var got struct {
		Output   []responseItem
		Response struct{ Output []responseItem }
	}
	if at := strings.LastIndex(body, "data: "); at >= 0 {
		body = body[at+len("data: "):]
	}
	require.NoError(t, json.Unmarshal([]byte(body), &got), body)
	var calls string
	for _, item := range append(got.Output, got.Response.Output...) {
		switch item.Type {
		case "message":
			for _, part := range item.Content {
				all += part.Text
			}
		case "function_call":
			calls += fmt.Sprintf(" %s: %s", item.Name, item.Arguments)
		}
	}
	return all + calls
}

type responseItem struct {
	Type, Name, Arguments string
	Content               []struct{ Text string }
}

// says makes a call of the typed API and returns its text, followed by its calls of tools.
func (h *fixture) says(stream bool) (all string) {
	h.t.Helper()
	if !stream {
		res, err := h.Chat(h.t.Context(), &aiv1.ChatRequest{Model: "gpt-4o-mini", Messages: user("hi")})
		require.NoError(h.t, err)
		all = res.GetMessage().GetContent()
		for _, call := range res.GetMessage().GetToolCalls() {
			all += fmt.Sprintf(" %s: %s", call.GetName(), call.GetArguments())
		}
		return all
	}
	pieces, err := h.stream(&aiv1.ChatStreamRequest{Model: "gpt-4o-mini", Messages: user("hi")})
	require.NoError(h.t, err)
	calls := map[int32]*aiv1.ToolCall{}
	for _, piece := range pieces {
		all += piece.GetDelta()
		for _, part := range piece.GetToolCalls() {
			call := cmp.Or(calls[part.GetIndex()], &aiv1.ToolCall{})
			calls[part.GetIndex()] = call
			call.Name += part.GetName()
			call.Arguments += part.GetArguments()
		}
	}
	for _, index := range slices.Sorted(maps.Keys(calls)) {
		all += fmt.Sprintf(" %s: %s", calls[index].GetName(), calls[index].GetArguments())
	}
	last := pieces[len(pieces)-1]
	require.NotEmpty(h.t, last.GetFinishReason())
	require.NotNil(h.t, last.CostNanoUsd)
	return all
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
