package typed

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/testing/protocmp"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
)

// collect adds up what a client makes of the pieces.
func collect(t *testing.T, events ...string) (text, thoughts, finish string, tools []*aiv1.ToolCallDelta) {
	t.Helper()
	var p pieces
	add := func(out *aiv1.ChatStreamResponse) {
		require.NotContains(t, out.GetDelta(), "\ufffd\ufffd")
		text += out.GetDelta()
		require.True(t, out.Reasoning == nil || out.GetReasoning() != "")
		thoughts += out.GetReasoning()
		for _, piece := range out.GetToolCalls() {
			for int(piece.GetIndex()) >= len(tools) {
				tools = append(tools, &aiv1.ToolCallDelta{Index: int32(len(tools))})
			}
			call := tools[piece.GetIndex()]
			call.Id += piece.GetId()
			call.Name += piece.GetName()
			call.Arguments += piece.GetArguments()
		}
	}
	for _, data := range events {
		out := &aiv1.ChatStreamResponse{}
		p.add(out, []byte(data))
		add(out)
	}
	last := &aiv1.ChatStreamResponse{}
	p.rest(last)
	add(last)
	return text, thoughts, p.finish, tools
}

// TestNoPieceIsDropped sends texts and tool calls in every form that providers use.
func TestNoPieceIsDropped(t *testing.T) {
	chunk := func(delta string) string {
		return `{"choices":[{"finish_reason":null,"delta":{` + delta + `},"index":0}]}`
	}
	call := func(index int32, id, name, arguments string) *aiv1.ToolCallDelta {
		return &aiv1.ToolCallDelta{Index: index, Id: id, Name: name, Arguments: arguments}
	}
	for name, c := range map[string]struct {
		events []string
		text   string
		tools  []*aiv1.ToolCallDelta
	}{
		"text":                  {[]string{chunk(`"content":"a\n"`), chunk(`"content":"b"`)}, "a\nb", nil},
		"a list":                {[]string{chunk(`"content":[{"type":"text","text":"a"},{"type":"text","text":{"value":"b"}}]`), chunk(`"content":["c"]`)}, "abc", nil},
		"no refusal":            {[]string{chunk(`"content":"a","refusal":false`), chunk(`"content":"b","refusal":[false,0,{"refusal":1}]`)}, "ab", nil},
		"no refusal in a part":  {[]string{chunk(`"content":[{"type":"text","text":"a","refusal":false},{"refusal":"no"}]`)}, "ano", nil},
		"JSON as it is":         {[]string{chunk(`"content":42`), chunk(`"content":false`)}, "42false", nil},
		"a delta of no text":    {[]string{`{"choices":[{"index":0,"delta":false},{"index":0,"delta":7},{"index":0,"delta":"a"},{"index":0,"text":false}]}`}, "a", nil},
		"a text and a delta":    {[]string{`{"choices":[{"index":0,"text":"a","delta":{"content":"a"}}]}`, `{"choices":[{"delta":{"refusal":"b"},"text":"b","index":0}]}`}, "ab", nil},
		"a text, and no words":  {[]string{`{"choices":[{"index":0,"text":"a","delta":{"role":"assistant"}}]}`, `{"choices":[{"delta":null,"text":"b"}]}`, `{"choices":[{"message":{"content":""},"text":"c"}]}`}, "abc", nil},
		"a message and a delta": {[]string{`{"choices":[{"index":0,"message":{"content":"a"},"delta":{"content":"b"}}]}`, `{"choices":[{"index":0,"message":{"content":"ab"},"delta":{}}]}`}, "b", nil},
		"a refusal":             {[]string{chunk(`"content":null,"refusal":"no"`)}, "no", nil},
		"a message":             {[]string{`{"choices":[{"message":{"content":"a"}}]}`}, "a", nil},
		"other choices":         {[]string{`{"choices":[{"delta":{"content":"b"},"index":1},{"delta":{"content":"a"},"index":0}]}`}, "a", nil},
		"halves":                {[]string{chunk(`"content":"x\ud83d"`), chunk(`"content":"\ude00y"`)}, "x😀y", nil},
		"halves, capitals":      {[]string{chunk(`"content":"\uD83D"`), chunk(`"content":"\uDE00"`)}, "😀", nil},
		"half alone":            {[]string{chunk(`"content":"x\ud83d"`), chunk(`"content":"y"`)}, "x\ufffdy", nil},
		"half at the end":       {[]string{chunk(`"content":"x\ud83d"`)}, "x\ufffd", nil},
		"second half alone":     {[]string{chunk(`"content":"\ude00"`), chunk(`"content":"y"`)}, "\ufffdy", nil},
		"no half":               {[]string{chunk(`"content":"\\ud83d"`), chunk(`"content":"y"`)}, `\ud83dy`, nil},
		"half behind a slash":   {[]string{chunk(`"content":"\\\ud83d"`), chunk(`"content":"\ude00"`)}, `\😀`, nil},
		"ping":                  {[]string{`"ping"`, `[1]`, `{}`, `{"choices":null}`}, "", nil},
		"tools whose index is a text": {
			[]string{
				chunk(`"tool_calls":[{"index":"0","id":"t1","function":{"name":"f","arguments":"{"}},{"index":"1","id":"t2","function":{"name":"g","arguments":"["}}]`),
				chunk(`"tool_calls":[{"index":"1","function":{"arguments":"]"}},{"index":"0","function":{"arguments":"}"}}]`),
			},
			"",
			[]*aiv1.ToolCallDelta{call(0, "t1", "f", "{}"), call(1, "t2", "g", "[]")},
		},
		"tools whose index is null": {
			[]string{
				chunk(`"tool_calls":[{"index":null,"id":"t1","function":{"name":"f","arguments":"{}"}}]`), chunk(`"tool_calls":[{"index":null,"id":"t2","function":{"name":"g","arguments":"{}"}}]`),
			},
			"",
			[]*aiv1.ToolCallDelta{call(0, "t1", "f", "{}"), call(1, "t2", "g", "{}")},
		},
		"tools": {
			[]string{
				chunk(`"tool_calls":[{"index":0,"id":"t1","function":{"name":"f","arguments":""}}]`), chunk(`"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]`),
				chunk(`"tool_calls":[{"index":1,"id":"t2","function":{"name":"g","arguments":"{\"a\":1}"}}]`),
			},
			"",
			[]*aiv1.ToolCallDelta{call(0, "t1", "f", "{}"), call(1, "t2", "g", `{"a":1}`)},
		},
		"a call, and no old call": {
			[]string{chunk(`"tool_calls":[{"index":0,"id":"t1","function":{"name":"f","arguments":"{}"}}],"function_call":{"name":"","arguments":""}`), chunk(`"function_call":{}`)},
			"",
			[]*aiv1.ToolCallDelta{call(0, "t1", "f", "{}")},
		},
		"no old call, then calls": {
			[]string{chunk(`"function_call":{}`), chunk(`"tool_calls":{}`), chunk(`"tool_calls":[{"index":0,"id":"","function":{"name":"","arguments":""}},null]`), chunk(`"tool_calls":[{"id":"t1","function":{"name":"f","arguments":"{}"}}]`)},
			"",
			[]*aiv1.ToolCallDelta{call(0, "t1", "f", "{}")},
		},
		"the same call in both ways": {
			[]string{chunk(`"function_call":{"name":"f","arguments":""},"tool_calls":[{"index":0,"id":"t1","function":{"name":"f","arguments":""}}]`), chunk(`"tool_calls":[{"index":0,"function":{"arguments":"{}"}}],"function_call":{"arguments":"{}"}`)},
			"",
			[]*aiv1.ToolCallDelta{call(0, "t1", "f", "{}")},
		},
		"another call in the old way": {
			[]string{chunk(`"function_call":{"name":"g","arguments":"{}"},"tool_calls":[{"index":0,"id":"t1","function":{"name":"f","arguments":"{}"}}]`)},
			"",
			[]*aiv1.ToolCallDelta{call(0, "t1", "f", "{}"), call(1, "", "g", "{}")},
		},
		"tools without index": {
			[]string{chunk(`"tool_calls":[{"id":"t1","function":{"name":"f","arguments":"{}"}},{"id":"t2","function":{"name":"g","arguments":"{"}}]`), chunk(`"tool_calls":[{"function":{"arguments":"}"}}]`)},
			"",
			[]*aiv1.ToolCallDelta{call(0, "t1", "f", "{}"), call(1, "t2", "g", "{}")},
		},
		"tools by id": {
			[]string{
				chunk(`"tool_calls":[{"id":"t1","function":{"name":"f","arguments":"{"}}]`), chunk(`"tool_calls":[{"id":"t2","function":{"name":"g","arguments":"{}"}}]`),
			},
			"",
			[]*aiv1.ToolCallDelta{call(0, "t1", "f", "{"), call(1, "t2", "g", "{}")},
		},
		"tools without anything": {
			[]string{chunk(`"tool_calls":[{"function":{"name":"f","arguments":"{"}}]`), chunk(`"tool_calls":[{"function":{"arguments":"}"}}]`)},
			"",
			[]*aiv1.ToolCallDelta{call(0, "", "f", "{}")},
		},
		"a name in every chunk": {
			[]string{
				chunk(`"tool_calls":[{"function":{"name":"f","arguments":"{\"a\":"}}]`), chunk(`"tool_calls":[{"function":{"name":"f","arguments":"1}"}}]`),
				chunk(`"tool_calls":[{"function":{"name":"f","arguments":"{}"}}]`),
			},
			"",
			[]*aiv1.ToolCallDelta{call(0, "", "f", `{"a":1}`), call(1, "", "f", "{}")},
		},
		"two tools without anything": {
			[]string{chunk(`"tool_calls":[{"function":{"name":"f","arguments":"{}"}},{"function":{"name":"g","arguments":"{"}}]`), chunk(`"tool_calls":[{"id":"","function":{"name":"","arguments":"}"}}]`)},
			"",
			[]*aiv1.ToolCallDelta{call(0, "", "f", "{}"), call(1, "", "g", "{}")},
		},
		"arguments that are an object": {
			[]string{chunk(`"tool_calls":[{"index":0,"id":"t1","function":{"name":"f","arguments":{"x" : "a\"b\\",` + "\n" + `"y":[1]}}}]`)},
			"",
			[]*aiv1.ToolCallDelta{call(0, "t1", "f", `{"x" : "a\"b\\", "y":[1]}`)},
		},
		"halves within arguments": {
			[]string{chunk(`"tool_calls":[{"index":0,"function":{"arguments":"\ud83d"}}]`), chunk(`"content":"z","tool_calls":[{"index":0,"function":{"arguments":"\ude00"}}]`)},
			"z",
			[]*aiv1.ToolCallDelta{call(0, "", "", "😀")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			text, _, _, tools := collect(t, c.events...)
			require.Equal(t, c.text, text)
			require.Empty(t, cmp.Diff(c.tools, tools, protocmp.Transform()))
		})
	}
	_, _, finish, _ := collect(t, chunk(`"content":"a"`), `{"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}`, `{"choices":[]}`)
	require.Equal(t, "length", finish)
}

// TestWholeAnswers: an answer in one piece has a message; a delta, or a text, counts only without it.
func TestWholeAnswers(t *testing.T) {
	for choice, want := range map[string]string{
		`"message":{"content":"a"},"delta":{"content":"b"}`:            "a",
		`"delta":{"content":"b"},"message":{"content":"a"},"text":"a"`: "a",
		`"message":{},"delta":{"content":"b"}`:                         "b",
		`"message":null,"delta":{"content":"b"},"text":"b"`:            "b",
		`"text":"c"`: "c",
		`"text":"c","message":{"content":null,"tool_calls":[{"function":{"name":"f"}},{}]}`: "c f:0",
		`"message":{"tool_calls":[{},{"function":{"name":"f"}}]}`:                           " f:0",
	} {
		p, out := pieces{whole: true}, &aiv1.ChatStreamResponse{}
		p.add(out, []byte(`{"choices":[{"index":0,`+choice+`}]}`))
		says := out.GetDelta()
		for _, call := range out.GetToolCalls() {
			says += fmt.Sprintf(" %s:%d", call.GetName(), call.GetIndex())
		}
		require.Equal(t, want, says, choice)
	}
}

// TestThoughtsAreKeptApart: what a model thinks arrives beside its text, once, in every form that providers use.
func TestThoughtsAreKeptApart(t *testing.T) {
	for name, c := range map[string]struct{ delta, text, thoughts string }{
		"DeepSeek, vLLM":       {`{"reasoning_content":"hm","content":null}`, "", "hm"},
		"Groq, Ollama":         {`{"reasoning":"hm","content":"a"}`, "a", "hm"},
		"OpenRouter, twice":    {`{"reasoning":"hm","reasoning_details":[{"type":"reasoning.text","text":"hm","format":"x","index":0}]}`, "", "hm"},
		"a summary":            {`{"reasoning_details":[{"type":"reasoning.summary","summary":"hm"}]}`, "", "hm"},
		"encrypted":            {`{"reasoning_details":[{"type":"reasoning.encrypted","data":"eyJ="}]}`, "", ""},
		"Mistral, in content":  {`{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}],"closed":true},{"type":"text","text":"a"}]}`, "a", "hm"},
		"LiteLLM, blocks":      {`{"reasoning_content":"hm","thinking_blocks":[{"type":"thinking","thinking":"hm","signature":"abc"}]}`, "", "hm"},
		"escapes":              {`{"reasoning":"\ud83d\ude00\n"}`, "", "😀\n"},
		"half a character":     {`{"reasoning":"\ud83d"}`, "", "\ufffd"},
		"empty, null, numbers": {`{"reasoning":"","reasoning_content":null,"thinking":7,"content":"a"}`, "a", ""},
	} {
		t.Run(name, func(t *testing.T) {
			text, thoughts, _, _ := collect(t, `{"choices":[{"index":0,"delta":`+c.delta+`}]}`)
			require.Equal(t, c.text, text)
			require.Equal(t, c.thoughts, thoughts)
		})
	}
}

func TestCompleteWritesExactNumbers(t *testing.T) {
	number := func(f float64) *float64 { return &f }
	for _, c := range []struct {
		temperature, topP *float64
		in, want          string
	}{
		{nil, nil, `{"model":"m","messages":[{"role":"user","content":"x"}]}`, `{"model":"m","messages":[{"role":"user","content":"x"}]}`},
		{number(0), nil, `{"model":"m","messages":[]}`, `{"temperature":0,"model":"m","messages":[]}`},
		{number(1e-50), number(1e-60), `{"model":"m","messages":[]}`, `{"temperature":1e-50,"top_p":1e-60,"model":"m","messages":[]}`},
		{number(0.1), number(0.3), `{"model":"m","temperature":0.1,"messages":[{"role":"tool"}],"top_p":0.3,"stream":true}`, `{"temperature":0.1,"top_p":0.3,"model":"m","messages":[{"content":"","role":"tool"}],"stream":true}`},
		{number(0.7), number(1), `{"model":"m","messages":[],"temperature":0.7,"top_p":1}`, `{"temperature":0.7,"top_p":1,"model":"m","messages":[]}`},
	} {
		require.Equal(t, c.want, string(numbers{c.temperature, c.topP}.complete([]byte(c.in))))
	}
}

func TestSchemasAsText(t *testing.T) {
	const schema = `{"type":"object", "properties":{"zeta":{"maximum":9007199254740993},"alpha":{}}}`
	got, err := toTools([]*aiv1.Tool{{Name: "f", ParametersJson: schema}}, new(maxSchemaValues))
	require.NoError(t, err)
	require.Equal(t, []byte(schema), fmt.Appendf(nil, "%s", got[0].Function.Parameters)) //nolint:testifylint // the exact bytes count

	for text, problem := range map[string]string{
		"{": "is not a JSON object", "[]": "is not a JSON object", `{} {}`: "is not a JSON object", `"x"`: "is not a JSON object",
		`{"a":[` + strings.Repeat("1,", maxSchemaValues) + `1]}`: "is too large",
	} {
		_, err := toTools([]*aiv1.Tool{{Name: "f"}, {Name: "g", ParametersJson: text}}, new(maxSchemaValues))
		require.ErrorContains(t, err, problem)
		require.ErrorContains(t, err, "tools[1].parameters")
	}
}
