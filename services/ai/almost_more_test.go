package ai_test

import (
	"cmp"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/services/ai"
)

// odd is an answer of a provider that is almost OpenAI.
type odd struct {
	stream bool
	// raw is the whole answer, head and body; "" stands for head and body.
	raw     string
	head    string // header lines
	body    string
	says    string // what the typed API and a translated response say, with their calls of tools; "" stands for "one two", - for nothing
	thinks  string
	output  int  // tokens that are billed; 0 stands for 4, or for none after an error
	counted bool // the provider reports no usage
	fails   bool // each way answers an error of the provider
	text    string
}

// write writes the answer as it is, which net/http would not do.
func (o *odd) write(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	raw := o.raw
	if raw == "" {
		kind := "application/json"
		if o.stream {
			kind = "text/event-stream"
		}
		if !strings.Contains(o.head, "Content-Type") {
			kind = "Content-Type: " + kind + "\r\n"
		} else {
			kind = ""
		}
		raw = "HTTP/1.1 200 OK\r\n" + kind + o.head + "Connection: close\r\n\r\n" + o.body
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	_, _ = io.WriteString(conn, raw)
	_ = conn.Close()
}

// chunked is a body in chunks of one byte, with a trailer.
func chunked(body string) string {
	var b strings.Builder
	for i := range len(body) {
		fmt.Fprintf(&b, "1\r\n%s\r\n", body[i:i+1])
	}
	return b.String() + "0\r\nX-Trailer: yes\r\n\r\n"
}

// oddities are the rows of TestMoreAlmostOpenAI.
func oddities(t *testing.T) map[string]odd {
	const (
		usage = `"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}`
		whole = `{"id":"c1","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"one two"},"finish_reason":"stop"}],` + usage + `}`
		first = `data: {"id":"c1","choices":[{"index":0,"delta":{"role":"assistant","content":"one"}}]}` + "\n\n"
		next  = `data: {"id":"c1","choices":[{"index":0,"delta":{"content":" two"}}]}` + "\n\n"
		stop  = `data: {"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
		tail  = `data: {"id":"c1","choices":[],` + usage + "}\n\n" + done
		all   = first + next + stop + tail
		ok    = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
		early = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
		html  = "<html><body>Bad gateway</body></html>"
	)
	in := func(answer, old, with string) string {
		require.Contains(t, answer, old)
		return strings.Replace(answer, old, with, 1)
	}
	message := func(m string) string { return in(whole, `{"role":"assistant","content":"one two"}`, m) }
	piece := func(delta string) string { return in(first, `{"role":"assistant","content":"one"}`, delta) }
	gz := func(body string) string {
		return packed(t, func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }, body)
	}
	return map[string]odd{
		// HTTP
		"early hints":                      {raw: early + ok + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(whole)) + whole},
		"early hints before a stream":      {stream: true, raw: early + "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" + all},
		"chunks of a byte, and a trailer":  {raw: ok + "Transfer-Encoding: chunked\r\nTrailer: X-Trailer\r\n\r\n" + chunked(whole)},
		"events in chunks of a byte":       {stream: true, raw: ok + "Transfer-Encoding: chunked\r\n\r\n" + chunked(all)},
		"HTTP/1.0":                         {raw: "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + whole},
		"a status without a reason":        {raw: "HTTP/1.1 200\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" + whole},
		"a status with another reason":     {raw: "HTTP/1.1 203 Non-Authoritative Information\r\nConnection: close\r\n\r\n" + whole},
		"a length that is too short":       {head: "Content-Length: 40\r\n", body: whole, fails: true},
		"a length of zero":                 {head: "Content-Length: 0\r\n", fails: true},
		"an empty body":                    {fails: true},
		"an empty stream":                  {stream: true, fails: true},
		"white space alone":                {body: "\n\n  \r\n", fails: true},
		"only [DONE]":                      {stream: true, body: done, counted: true, says: "-"},
		"only comments":                    {stream: true, body: ": hello\n\n: bye\n\n", fails: true},
		"a page in place of an answer":     {head: "Content-Type: text/html\r\n", body: html, fails: true},
		"a page in place of a stream":      {stream: true, head: "Content-Type: text/html\r\n", body: html, fails: true},
		"a page within a stream":           {stream: true, body: first + html, fails: true, output: 1},
		"gzip of two members":              {head: "Content-Encoding: gzip\r\n", body: gz(whole[:50]) + gz(whole[50:])},
		"gzip that breaks off":             {head: "Content-Encoding: gzip\r\n", body: gz(whole)[:60], fails: true},
		"gzip that is plain":               {head: "Content-Encoding: gzip\r\n", body: whole, fails: true},
		"gzip twice":                       {head: "Content-Encoding: gzip, gzip\r\n", body: gz(gz(whole)), fails: true},
		"gzip within a stream that breaks": {stream: true, head: "Content-Encoding: gzip\r\n", body: gz(strings.Repeat(first, 50))[:50], fails: true, output: -1},
		"a charset of another language":    {head: "Content-Type: application/json; charset=utf-16\r\n", body: whole},
		"two types in a header":            {head: "Content-Type: text/event-stream, application/json\r\n", body: whole},
		"lines of JSON for a stream":       {stream: true, head: "Content-Type: application/x-ndjson\r\n", body: `{"message":{"content":"one"},"done":false}` + "\n" + `{"done":true}` + "\n", fails: true},
		"a list around the answer":         {body: "[" + whole + "]", fails: true},
		"an object around the answer":      {body: `{"result":` + whole + `,"success":true}`, fails: true},
		"two answers":                      {body: whole + whole, fails: true},
		"an answer with [DONE] behind it":  {body: whole + "\n\ndata: [DONE]\n\n", fails: true},
		"bytes that are not UTF-8":         {body: in(whole, "one two", "one \xfftwo"), says: "one \ufffdtwo"},
		"half a character":                 {body: in(whole, "one two", `one \ud83d`), says: "one \ufffd"},
		"half a character in bytes":        {stream: true, body: in(first, `"one"`, "\"one\xf0\x9f\"") + next + stop + tail, says: "one\ufffd two"},
		"a NUL character":                  {body: in(whole, "one two", `one\u0000two`), says: "one\x00two"},
		// envelopes
		"a message that is a text":           {body: message(`"one two"`)},
		"a delta that is a text":             {stream: true, body: piece(`"one"`) + next + stop + tail},
		"a content that is a number":         {body: in(whole, `"one two"`, `42`), says: "42"},
		"a content that is an object":        {body: in(whole, `"one two"`, `{"type":"text","text":"one two"}`)},
		"parts with an image":                {body: in(whole, `"one two"`, `[{"type":"text","text":"one two"},{"type":"image_url","image_url":{"url":"data:x"}}]`)},
		"the text of a completion":           {body: in(whole, `"message":{"role":"assistant","content":"one two"}`, `"text":"one two","logprobs":null`)},
		"the text of a completion, streamed": {stream: true, body: in(first, `"delta":{"role":"assistant","content":"one"}`, `"text":"one"`) + next + stop + tail},
		"a text beside a message":            {body: in(whole, `"index":0`, `"index":0,"text":"one two"`)},
		"a text beside a message, counted":   {body: in(in(whole, `"index":0`, `"index":0,"text":"one two"`), ","+usage, ""), counted: true, output: 2},
		"a text beside a delta, counted":     {stream: true, body: in(first, `"index":0`, `"index":0,"text":"one"`) + in(next, `"index":0`, `"text":" two","index":0`) + stop + done, counted: true, output: 2},
		"no refusal, streamed":               {stream: true, body: piece(`{"content":"one","refusal":false}`) + next + stop + tail},
		"everything is null":                 {stream: true, body: `data: {"id":null,"model":null,"choices":[{"index":null,"delta":{"role":null,"content":null,"tool_calls":null,"reasoning":null},"finish_reason":null,"logprobs":null}],"usage":null,"error":null}` + "\n\n" + all},
		"a chunk without choices":            {stream: true, body: first + `data: {"id":"c1","object":"chat.completion.chunk"}` + "\n\n" + next + stop + tail},
		"an index that is a text":            {stream: true, body: strings.ReplaceAll(all, `"index":0`, `"index":"0"`)},
		"an index with a point":              {stream: true, body: strings.ReplaceAll(all, `"index":0`, `"index":0.0`)},
		"log probabilities":                  {stream: true, body: in(first, `"delta"`, `"logprobs":{"content":[{"token":"one","logprob":-0.1,"bytes":[111],"top_logprobs":[{"token":"two","logprob":-2}]}]},"delta"`) + next + stop + tail},
		"citations and search results":       {stream: true, body: in(first, `"id":"c1"`, `"citations":["https://a"],"search_results":[{"title":"t"}],"id":"c1"`) + next + stop + tail},
		"a second choice, interleaved":       {stream: true, body: first + in(in(next, `"index":0`, `"index":1`), " two", "zwei") + next + in(stop, `"index":0`, `"index":1`) + stop + tail},
		"a second choice first":              {stream: true, body: in(in(next, `"index":0`, `"index":1`), " two", "zwei") + all},
		"unknown members that are deep":      {body: in(whole, `"id":"c1"`, `"x":`+strings.Repeat(`{"a":[`, 40)+"1"+strings.Repeat(`]}`, 40)+`,"id":"c1"`)},
		"sound with a transcript":            {stream: true, body: piece(`{"audio":{"id":"a","transcript":"one"}}`) + next + stop + tail, says: " two"},
		// usage
		"usage in a choice, as Moonshot":     {body: in(in(whole, ","+usage, ""), `"index":0`, `"index":0,`+usage)},
		"usage in the last choice, streamed": {stream: true, body: first + next + in(stop, `"index":0`, `"index":0,`+usage) + done},
		"usage that grows":                   {stream: true, body: in(first, `"id":"c1"`, `"usage":{"prompt_tokens":9,"completion_tokens":1},"id":"c1"`) + in(next, `"id":"c1"`, `"usage":{"prompt_tokens":9,"completion_tokens":2},"id":"c1"`) + stop + tail},
		"usage that shrinks":                 {stream: true, body: in(first, `"id":"c1"`, `"usage":{"prompt_tokens":9,"completion_tokens":4},"id":"c1"`) + next + in(stop, `"id":"c1"`, `"usage":{"prompt_tokens":9,"completion_tokens":1},"id":"c1"`) + done},
		"usage twice":                        {stream: true, body: first + next + stop + in(tail, done, "") + tail},
		"usage in the middle":                {stream: true, body: first + in(tail, done, "") + next + stop + done},
		"usage after [DONE]":                 {stream: true, body: first + next + stop + done + in(tail, done, ""), counted: true, output: 2},
		"usage that is a list":               {body: in(whole, usage, `"usage":[9,4]`), counted: true, output: 2},
		"usage below zero":                   {body: in(whole, usage, `"usage":{"prompt_tokens":-1,"completion_tokens":-4}`), counted: true, output: 2},
		"usage of words":                     {body: in(whole, usage, `"usage":{"prompt_tokens":"n/a","completion_tokens":"n/a"}`), counted: true, output: 2},
		"details that are null":              {body: in(whole, `"total_tokens":13`, `"total_tokens":13,"prompt_tokens_details":null,"completion_tokens_details":null`)},
		"details that are a list":            {body: in(whole, `"total_tokens":13`, `"prompt_tokens_details":[],"completion_tokens_details":"none"`)},
		"a cost beside the tokens":           {body: in(whole, `"total_tokens":13`, `"total_tokens":13,"cost":0.0001,"is_byok":false`)},
		// ends
		"a finish reason that is a number": {body: in(whole, `"finish_reason":"stop"`, `"finish_reason":0`)},
		"a finish reason in capitals":      {stream: true, body: first + next + in(stop, `"stop"`, `"STOP"`) + tail},
		"a finish reason in every chunk":   {stream: true, body: in(first, `"index":0`, `"index":0,"finish_reason":"stop"`) + in(next, `"index":0`, `"index":0,"finish_reason":"stop"`) + tail},
		"[DONE] twice":                     {stream: true, body: all + done + done},
		"[DONE] with a name and an id":     {stream: true, body: in(all, "data: [DONE]", "event: done\nid: 9\ndata: [DONE]")},
		"an end without a finish reason":   {stream: true, body: first + next + tail},
		// events
		"lines of three kinds":        {stream: true, body: strings.ReplaceAll(first, "\n", "\r\n") + next + strings.ReplaceAll(stop, "\n", "\r") + tail},
		"JSON on two lines":           {stream: true, body: in(first, `"choices"`, "\ndata: "+`"choices"`) + next + stop + tail},
		"a comment between two lines": {stream: true, body: in(first, `"choices"`, "\n: wait\ndata:"+`"choices"`) + next + stop + tail},
		"fields that nobody knows":    {stream: true, body: "foo: bar\ndata\nretry: x\n" + first + "id\nevent\n" + next + stop + tail},
		"names that change":           {stream: true, body: "event: start\n" + first + "event: error\n" + next + "event: message_stop\n" + stop + tail},
		"data that is not JSON":       {stream: true, body: "data: connected\n\n" + first + "data: <keep-alive>\n\n" + next + "data: null\n\ndata: 7\n\ndata: []\n\n" + stop + tail},
		"data that is half JSON":      {stream: true, body: first + "data: {\"choices\":[\n\n" + next + stop + tail, fails: true, output: 1},
		"a space before data":         {stream: true, body: " " + all, says: " two"}, // a field of another name, for browsers too
		// tools
		"a call without a list":            {body: message(`{"content":null,"tool_calls":{"id":"t","function":{"name":"f","arguments":"{}"}}}`), says: " f: {}"},
		"a call without a list, streamed":  {stream: true, body: piece(`{"tool_calls":{"id":"t","function":{"name":"f","arguments":"{}"}}}`) + stop + tail, says: " f: {}"},
		"a call that is flat":              {body: message(`{"content":"","tool_calls":[{"id":"t","name":"f","arguments":{"a":1}}]}`), says: ` f: {"a":1}`},
		"a call that is flat, streamed":    {stream: true, body: piece(`{"tool_calls":[{"index":0,"id":"t","name":"f","arguments":"{}"}]}`) + stop + tail, says: " f: {}"},
		"a call of the old kind":           {body: message(`{"content":null,"function_call":{"name":"f","arguments":"{}"}}`), says: " f: {}"},
		"a call of the old kind, streamed": {stream: true, body: piece(`{"function_call":{"name":"f","arguments":""}}`) + piece(`{"function_call":{"arguments":"{"}}`) + piece(`{"function_call":{"arguments":"}"}}`) + stop + tail, says: " f: {}"},
		"a call, and no old call":          {body: message(`{"content":null,"tool_calls":[{"id":"t","function":{"name":"f","arguments":"{}"}}],"function_call":{"name":"","arguments":""}}`), says: " f: {}"},
		"the same call in both ways":       {body: in(message(`{"content":null,"tool_calls":[{"id":"t","function":{"name":"f","arguments":"{}"}}],"function_call":{"name":"f","arguments":"{}"}}`), ","+usage, ""), says: " f: {}", counted: true, output: 2},
		"arguments that are null":          {body: message(`{"content":null,"tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":null}}]}`), says: " f: "},
		"calls whose index is a text":      {stream: true, body: piece(`{"tool_calls":[{"index":"0","id":"t","function":{"name":"f","arguments":"{}"}}]}`) + piece(`{"tool_calls":[{"index":"1","id":"u","function":{"name":"g","arguments":"{}"}}]}`) + stop + tail, says: " f: {} g: {}"},
		"calls whose index begins at 1":    {stream: true, body: piece(`{"tool_calls":[{"index":1,"id":"t","function":{"name":"f","arguments":"{}"}}]}`) + stop + tail, says: " f: {}"},
		// thoughts
		"thoughts, then a text":         {stream: true, body: piece(`{"reasoning_content":"hm","content":""}`) + all, thinks: "hm"},
		"thoughts under two names":      {stream: true, body: piece(`{"reasoning":"hm","reasoning_content":"hm"}`) + all, thinks: "hm"},
		"thoughts as parts, as Mistral": {body: in(whole, `"one two"`, `[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},{"type":"text","text":"one two"}]`), thinks: "hm"},
		"thoughts in one piece":         {body: in(whole, `"role":"assistant"`, `"reasoning":"hm","reasoning_details":[{"type":"reasoning.text","text":"hm"}]`), thinks: "hm"},
		// errors
		"an error behind a text":            {stream: true, body: first + `data: {"id":"c1","error":{"message":"too busy","code":502},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}` + "\n\n", fails: true, output: 1, text: "too busy"},
		"an error that is a text, later":    {stream: true, body: first + `data: {"error":"too busy"}` + "\n\n", fails: true, output: 1, text: "too busy"},
		"an error that is a named event":    {stream: true, body: first + `event: error` + "\n" + `data: {"type":"error","error":{"type":"overloaded_error","message":"too busy"}}` + "\n\n", fails: true, output: 1, text: "too busy"},
		"an error that is an object, later": {stream: true, body: first + `data: {"object":"error","message":"too busy","code":503}` + "\n\n" + done, fails: true, output: 1, text: "too busy"},
		"an error that is an empty object":  {stream: true, body: in(first, `"id":"c1"`, `"error":{},"id":"c1"`) + next + stop + tail},
		"an error of a choice":              {body: in(whole, `"index":0`, `"index":0,"error":{"message":"cut","code":502}`)}, // the text is paid for, and arrives
	}
}

// TestMoreAlmostOpenAI: more answers of servers that are almost OpenAI, byte by byte as they come: each is an answer or an error in the relay, in
// the typed API and as a translated response, nothing that was said is lost, and it is billed as reported, else as counted.
func TestMoreAlmostOpenAI(t *testing.T) {
	for name, o := range oddities(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			provider := withUpstream(o.write)
			once := withConfig(func(c *ai.Config) { c.Tries = 1 })
			billed := func(h *fixture) {
				final := h.settled().Settled[0]
				if o.fails {
					if o.output >= 0 {
						require.EqualValues(t, o.output, final.GetUsage().GetOutputTokens())
					}
					return
				}
				require.Equal(t, o.counted, final.GetEstimated())
				require.EqualValues(t, max(o.output, 4*b2i(!o.counted)), final.GetUsage().GetOutputTokens())
				require.Equal(t, billingv1.Outcome_OUTCOME_COMPLETED, final.GetOutcome())
			}
			failed := func(e *errs.Error) {
				requireReason(t, errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, e)
				require.Contains(t, e.Message, o.text)
			}
			request := hello
			if o.stream {
				request = streamed
			}
			t.Run("relay", func(t *testing.T) {
				h := newFixture(t, once, provider)
				a := h.chat(request)
				billed(h)
				if o.fails {
					failed(a.err)
					return
				}
				require.Nil(t, a.err, a.body)
				require.Equal(t, o.stream, strings.Contains(a.body, "[DONE]"), a.body)
			})
			t.Run("typed", func(t *testing.T) {
				h := newFixture(t, once, provider)
				says, thinks, err := h.hears(o.stream)
				billed(h)
				if o.fails {
					failed(errs.From(err))
					return
				}
				require.NoError(t, err)
				require.Equal(t, cmp.Or(o.says, "one two"), cmp.Or(says, "-"))
				require.Equal(t, o.thinks, thinks)
				require.True(t, utf8.ValidString(says+thinks), "a message has no other text")
			})
			t.Run("translated", func(t *testing.T) {
				h := newFixture(t, once, provider, withModels(chatOnly))
				a := h.respond(fmt.Sprintf(`{"model":"gpt-4o-mini","store":false,"stream":%t,"input":"hi"}`, o.stream))
				billed(h)
				if o.fails {
					failed(a.err)
					return
				}
				require.Nil(t, a.err, a.body)
				says := strings.ReplaceAll(responseSays(t, a.body), "\ufffd\ufffd", "\ufffd") // one for each byte, where the body is read
				require.Equal(t, cmp.Or(o.says, "one two"), cmp.Or(says, "-"), a.body)
				require.Equal(t, o.thinks != "", strings.Contains(a.body, fmt.Sprintf(`{"type":"reasoning_text","text":%q}`, o.thinks)), a.body)
			})
		})
	}
}

// hears makes a call of the typed API and returns its text, followed by its calls of tools, and what the model thinks.
func (h *fixture) hears(stream bool) (says, thinks string, err error) {
	h.t.Helper()
	if !stream {
		res, err := h.Chat(h.t.Context(), &aiv1.ChatRequest{Model: "gpt-4o-mini", Messages: user("hi")})
		says = res.GetMessage().GetContent()
		for _, call := range res.GetMessage().GetToolCalls() {
			says += fmt.Sprintf(" %s: %s", call.GetName(), call.GetArguments())
		}
		return says, res.GetReasoning(), err
	}
	pieces, err := h.stream(&aiv1.ChatStreamRequest{Model: "gpt-4o-mini", Messages: user("hi")})
	calls, at := map[int32]string{}, []int32{}
	for _, p := range pieces {
		says, thinks = says+p.GetDelta(), thinks+p.GetReasoning()
		for _, part := range p.GetToolCalls() {
			if _, known := calls[part.GetIndex()]; !known {
				at = append(at, part.GetIndex())
			}
			if part.GetName() != "" {
				calls[part.GetIndex()] += " " + part.GetName() + ": "
			}
			calls[part.GetIndex()] += part.GetArguments()
		}
	}
	for _, index := range at {
		says += calls[index]
	}
	return says, thinks, err
}
