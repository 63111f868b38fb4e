package wire_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
	"github.com/trivet-dev/trivet/services/ai/internal/tokens"
	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

type piece struct {
	choice, tool int64
	kind         wire.Kind
	text         string
}

func pieces(k *wire.Chunk) (out []piece) {
	for _, p := range k.Pieces {
		out = append(out, piece{p.Choice, p.Tool, p.Kind, string(jsonscan.Unescape(nil, p.Raw))})
	}
	return out
}

func TestChunk(t *testing.T) {
	cases := map[string]struct {
		in      string
		want    []piece
		choices int
	}{
		"content":         {`{"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":" w\n"}}]}`, []piece{{0, 0, wire.Content, " w\n"}}, 1},
		"index last":      {`{"choices":[{"delta":{"content":"a"},"index":3}]}`, []piece{{3, 0, wire.Content, "a"}}, 1},
		"two choices":     {`{"choices":[{"index":1,"delta":{"content":"a"}},{"index":0,"delta":{"refusal":"b"}}]}`, []piece{{1, 0, wire.Content, "a"}, {0, 0, wire.Refusal, "b"}}, 2},
		"nothing":         {`{"choices":[{"index":0,"delta":{"content":"","refusal":null}}]}`, nil, 1},
		"a number":        {`{"choices":[{"delta":{"content":42,"refusal":false}},{"index":1,"message":{"refusal":7,"content":true}}]}`, []piece{{0, 0, wire.Content, "42"}, {1, 0, wire.Content, "true"}}, 2},
		"reasoning":       {`{"choices":[{"delta":{"reasoning_content":"x"}}]}`, []piece{{0, 0, wire.Reasoning, "x"}}, 1},
		"tools":           {`{"choices":[{"index":2,"delta":{"tool_calls":[{"index":1,"id":"i","function":{"name":"f","arguments":"{\""}},{"function":{"arguments":"z"},"index":5}]}}]}`, []piece{{2, 1, wire.ToolName, "f"}, {2, 1, wire.ToolArguments, `{"`}, {2, 5, wire.ToolArguments, "z"}}, 1},
		"old calls":       {`{"choices":[{"delta":{"function_call":{"name":"f","arguments":"{}"}}}]}`, []piece{{0, 0, wire.ToolName, "f"}, {0, 0, wire.ToolArguments, "{}"}}, 1},
		"a text twice":    {`{"choices":[{"text":"a","delta":{"content":"a","tool_calls":[{"function":{"name":"f"}}]}},{"index":1,"message":{"refusal":"b"},"text":"b"}]}`, []piece{{0, 0, wire.Content, "a"}, {0, 0, wire.ToolName, "f"}, {1, 0, wire.Refusal, "b"}}, 2},
		"a text, a call":  {`{"choices":[{"text":"a","message":{"content":null,"tool_calls":[{"function":{"name":"f"}}]}}]}`, []piece{{0, 0, wire.ToolName, "f"}, {0, 0, wire.Content, "a"}}, 1},
		"a message twice": {`{"choices":[{"message":{"content":"a"},"delta":{"content":"a"}},{"delta":{},"message":{"content":"b"},"index":1}]}`, []piece{{0, 0, wire.Content, "a"}, {1, 0, wire.Content, "b"}}, 2},
		"both calls":      {`{"choices":[{"delta":{"function_call":{"name":"g","arguments":"{}"},"tool_calls":[{"index":1,"function":{"name":"f","arguments":"{}"}},{"index":2,"function":{"name":"g","arguments":"{}"}}]}}]}`, []piece{{0, 1, wire.ToolName, "f"}, {0, 1, wire.ToolArguments, "{}"}, {0, 2, wire.ToolName, "g"}, {0, 2, wire.ToolArguments, "{}"}}, 1},
		"two calls":       {`{"choices":[{"delta":{"tool_calls":[{"index":1,"function":{"name":"f","arguments":"{}"}}],"function_call":{"name":"f","arguments":"{"}}}]}`, []piece{{0, 1, wire.ToolName, "f"}, {0, 1, wire.ToolArguments, "{}"}, {0, 0, wire.ToolName, "f"}, {0, 0, wire.ToolArguments, "{"}}, 1},
		"no old call":     {`{"choices":[{"delta":{"content":"f","function_call":{"name":"","arguments":""}}},{"delta":{"content":"a","function_call":null}}]}`, []piece{{0, 0, wire.Content, "f"}, {0, 0, wire.Content, "a"}}, 2},
		"whole answer":    {`{"choices":[{"index":0,"message":{"content":"a","tool_calls":[{"id":"i","function":{"name":"f","arguments":"{}"}}]}}]}`, []piece{{0, 0, wire.Content, "a"}, {0, 0, wire.ToolName, "f"}, {0, 0, wire.ToolArguments, "{}"}}, 1},
		"other shapes":    {`{"choices":{"a":1},"usage":7,"id":3}`, nil, 0},
		"deep content":    {`{"choices":[{"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"a"}]},{"type":"text","text":"b","annotations":["c"]}]}}]}`, []piece{{0, 0, wire.Content, "a"}, {0, 0, wire.Content, "b"}}, 1},
		"legacy text":     {`{"choices":[{"index":1,"text":"a","logprobs":{"tokens":["a"]}}]}`, []piece{{1, 0, wire.Content, "a"}}, 1},
		"transcript":      {`{"choices":[{"delta":{"audio":{"id":"i","data":"AAAA","transcript":"a"}}}]}`, []piece{{0, 0, wire.Other, "a"}}, 1},
		"object calls":    {`{"choices":[{"delta":{"tool_calls":[{"id":"i","type":"function","function":{"name":"f","arguments":{"x":1}}}]}}]}`, []piece{{0, 0, wire.ToolName, "f"}, {0, 0, wire.ToolArguments, `{"x":1}`}}, 1},
		"custom calls":    {`{"choices":[{"delta":{"tool_calls":[{"id":"i","type":"custom","custom":{"name":"f","input":"a"}}]}}]}`, []piece{{0, 0, wire.ToolName, "f"}, {0, 0, wire.ToolArguments, "a"}}, 1},
		"unknown members": {`{"choices":[{"delta":{"role":"assistant","novel":{"of":["a",7,true]}}}]}`, []piece{{0, 0, wire.Other, "a"}}, 1},
		"reasoning twice": {`{"choices":[{"delta":{"reasoning":"ab","content":"c","reasoning_details":[{"type":"reasoning.text","text":"ab","format":"x"}]}}]}`, []piece{{0, 0, wire.Reasoning, "ab"}, {0, 0, wire.Content, "c"}}, 1},
		"longer second":   {`{"choices":[{"delta":{"reasoning":"a","content":"c","reasoning_content":"ab","thinking":"x"}}]}`, []piece{{0, 0, wire.Content, "c"}, {0, 0, wire.Reasoning, "ab"}}, 1},
		"stranger shapes": {`{"choices":[1,{"delta":2,"index":"x"},{"delta":{"content":[1],"tool_calls":{}}},{"delta":{"tool_calls":[7,{"function":8}]}}]}`, nil, 4},
	}
	var k wire.Chunk
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			require.True(t, k.Read([]byte(c.in)))
			require.Equal(t, c.want, pieces(&k))
			require.Equal(t, c.choices, k.Choices)
			require.False(t, k.HasUsage)
			require.Nil(t, k.Error)
		})
	}
	for _, in := range []string{"", "[]", "{", `{"a":}`, `{} {}`, "<html>"} {
		require.False(t, k.Read([]byte(in)), in)
	}
	require.True(t, k.Read([]byte(`{"x": 1, "error" : {"message":"m"}}`)))
	require.JSONEq(t, `{"message":"m"}`, string(k.Error))
}

// TestWhatIsReasoning finds it as a member of its own and deep within the content; an empty one, or a text about it, does not count.
func TestWhatIsReasoning(t *testing.T) {
	var k wire.Chunk
	for delta, want := range map[string]bool{
		`{"reasoning_content":"x"}`:                             true,
		`{"reasoning":[{"type":"reasoning.text","text":"x"}]}`:  true,
		`{"content":[{"type":"thinking","thinking":"x"}]}`:      true,
		`{"content":[{"parts":[{"thinking":[{"text":"x"}]}]}]}`: true,
		`{"novel":{"reasoning_details":"x"}}`:                   true,
		`{"reasoning_content":""}`:                              false,
		`{"reasoning_content":null}`:                            false,
		`{"content":"reasoning_content"}`:                       false,
		`{"content":[{"type":"text","text":"thinking"}]}`:       false,
		`{"tool_calls":[{"function":{"name":"thinking"}}]}`:     false,
	} {
		require.True(t, k.Read([]byte(`{"choices":[{"delta":`+delta+`}]}`)))
		require.Equal(t, want, k.Reasoned, delta)
	}
}

func TestUsageIsReadNumberByNumber(t *testing.T) {
	const none = tokens.NotReported
	cases := map[string]struct {
		usage string
		want  tokens.Reported
	}{
		"all":          {`{"prompt_tokens":9,"completion_tokens":5,"total_tokens":14,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":3}}`, report(9, 4, 5, 3, 14)},
		"null":         {`null`, tokens.NothingReported()},
		"empty":        {`{}`, tokens.NothingReported()},
		"zero":         {`{"prompt_tokens":0,"completion_tokens":0}`, report(0, none, 0, none, none)},
		"negative":     {`{"prompt_tokens":-1,"completion_tokens":3}`, report(none, none, 3, none, none)},
		"fraction":     {`{"prompt_tokens":1.5,"completion_tokens":3.0}`, report(none, none, 3, none, none)},
		"exponent":     {`{"prompt_tokens":1e3}`, report(1000, none, none, none, none)},
		"no number":    {`{"prompt_tokens":"","completion_tokens":"many","total_tokens":1e999}`, tokens.NothingReported()},
		"too exact":    {`{"prompt_tokens":9007199254740994.0,"completion_tokens":9007199254740992.0}`, report(none, none, 1<<53, none, none)},
		"large":        {`{"completion_tokens":9000000000000}`, report(none, none, 9e12, none, none)},
		"beyond int":   {`{"prompt_tokens":99999999999999999999,"completion_tokens":1}`, report(none, none, 1, none, none)},
		"text":         {`{"prompt_tokens":"9","completion_tokens":"-1","total_tokens":"14.0"}`, report(9, none, none, none, 14)},
		"other names":  {`{"input_tokens":9,"output_tokens":5}`, tokens.NothingReported()},
		"null details": {`{"prompt_tokens":1,"completion_tokens":2,"prompt_tokens_details":null}`, report(1, none, 2, none, none)},
		"bad details":  {`{"prompt_tokens":1,"prompt_tokens_details":{"cached_tokens":-4},"completion_tokens_details":{"reasoning_tokens":"3"}}`, report(1, none, none, 3, none)},
	}
	for name, c := range cases {
		var k wire.Chunk
		has := c.want != tokens.NothingReported()
		require.True(t, k.Read([]byte(`{"choices":[],"usage":`+c.usage+`}`)), name)
		require.Equal(t, has, k.HasUsage, name)
		require.Equal(t, c.want, k.Reported, name)
		a, ok := wire.ReadAnswer(wire.Chat, []byte(`{"id":"i","usage":`+c.usage+`,"choices":[{}]}`))
		require.True(t, ok, name)
		require.Equal(t, wire.Answer{ID: "i", Reported: c.want, HasUsage: has}, a, name)
	}
}

func TestFinishedChoices(t *testing.T) {
	var k wire.Chunk
	require.True(t, k.Read([]byte(`{"choices":[{"index":3,"finish_reason":"stop"},{"index":4,"finish_reason":null},{"finish_reason":"length","index":70},{"finish_reason":7}]}`)))
	var want wire.ChoiceSet
	want.Add(3)
	want.Add(70)
	require.Equal(t, want, k.Finished)
}

// A null stands beside the usage in a provider's own member, before it or after it.
func TestANullReportsNothing(t *testing.T) {
	const own = `"x_groq":{"usage":{"prompt_tokens":9,"completion_tokens":5,"total_tokens":14}}`
	for _, members := range []string{own + `,"usage":null`, `"usage":null,` + own} {
		var k wire.Chunk
		require.True(t, k.Read([]byte(`{"choices":[],`+members+`}`)))
		require.True(t, k.HasUsage)
		require.Equal(t, report(9, tokens.NotReported, 5, tokens.NotReported, 14), k.Reported)
		a, ok := wire.ReadAnswer(wire.Chat, []byte(`{"choices":[{}],`+members+`}`))
		require.True(t, ok)
		require.True(t, a.HasUsage)
		require.Equal(t, k.Reported, a.Reported)
	}
}

// Where an answer says its usage more than once, each number is the highest; what only a choice reports is marked.
func TestUsageInSeveralPlaces(t *testing.T) {
	const none = tokens.NotReported
	usage := func(input, output string) string {
		return `"usage":{"prompt_tokens":` + input + `,"completion_tokens":` + output + `}`
	}
	groq := `"x_groq":{"id":"r",` + usage("9", "5") + `}`
	ofChoice := func(r tokens.Reported) tokens.Reported {
		r.OfChoice = true
		return r
	}
	for members, want := range map[string]tokens.Reported{
		`"choices":[{"index":0,` + usage("9", "4") + `}]`:                                               ofChoice(report(9, none, 4, none, none)),
		`"choices":[{"index":0,` + usage("9", "6") + `},{` + usage("9", "4") + `,"index":1}]`:           ofChoice(report(9, none, 6, none, none)),
		`"choices":[{"index":0,` + usage("9", "4") + `},{` + usage("9", "6") + `}],` + usage("9", "10"): report(9, none, 10, none, none),
		usage("9", "10") + `,"choices":[{"index":0,` + usage("9", "4") + `},{` + usage("9", "6") + `}]`: report(9, none, 10, none, none),
		`"choices":[{"usage":null},{"usage":{}},{"usage":[7]},7]`:                                       tokens.NothingReported(),
		`"choices":[{}],` + groq + `,` + usage("8", "7"):                                                report(9, none, 7, none, none),
		`"choices":[{}],` + usage("8", "7") + `,` + groq:                                                report(9, none, 7, none, none),
		`"choices":[{}],` + usage("8", "4") + `,` + groq:                                                report(9, none, 5, none, none),
		`"choices":[{}],"x_groq":{"usage":{}},` + usage("8", "4"):                                       report(8, none, 4, none, none),
		`"choices":[{}],"x_groq":7,"usage":"many"`:                                                      tokens.NothingReported(),
		`"choices":[{}],` + usage(`"n/a"`, `"n/a"`) + `,` + groq:                                        report(9, none, 5, none, none),
		`"choices":[{` + usage("9", "4") + `}],` + usage("9", "null"):                                   ofChoice(report(9, none, 4, none, none)),
	} {
		var k wire.Chunk
		require.True(t, k.Read([]byte(`{"id":"i",`+members+`}`)), members)
		require.Equal(t, want, k.Reported, members)
		require.Equal(t, want != tokens.NothingReported(), k.HasUsage, members)
		a, ok := wire.ReadAnswer(wire.Chat, []byte(`{"id":"i",`+members+`}`))
		require.True(t, ok, members)
		require.Equal(t, wire.Answer{ID: "i", Reported: want, HasUsage: k.HasUsage}, a, members)
	}
	a, ok := wire.ReadAnswer(wire.Embeddings, []byte(`{"data":[{`+usage("3", "0")+`},{`+usage("4", "0")+`}]}`))
	require.True(t, ok)
	require.Equal(t, wire.Answer{Reported: tokens.NothingReported()}, a, "of several inputs each element has its own")
}

func TestWhatIsAnAnswer(t *testing.T) {
	for body, want := range map[string]bool{
		`{"choices":[{}]}`: true, `{"choices":[]}`: false, `{"choices":null}`: false, `{}`: false, `[]`: false, ``: false, `{"choices":[{}]`: false, `{"data":[1]}`: false,
	} {
		_, ok := wire.ReadAnswer(wire.Chat, []byte(body))
		require.Equal(t, want, ok, body)
	}
	_, ok := wire.ReadAnswer(wire.Embeddings, []byte(`{"data":[1]}`))
	require.True(t, ok)
}

// FuzzChunk compares with encoding/json: the texts of a chunk of the usual shape are those that a real parser finds.
func FuzzChunk(f *testing.F) {
	f.Add([]byte(`{"id":"c","choices":[{"index":0,"delta":{"content":" w\n\u00e9"}}],"usage":null}`))
	f.Add([]byte(`{"choices":[{"index":1,"delta":{"content":"a"}},{"delta":{"content":"b"}}],"usage":{"prompt_tokens":1,"completion_tokens":2}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var k wire.Chunk
		good := k.Read(data)
		if good && !json.Valid(data) {
			t.Fatalf("took %q", data)
		}
		var want struct {
			Choices []struct {
				Delta struct{ Content string }
			}
		}
		if !good || json.Unmarshal(data, &want) != nil || hasFoldedOrTwice(data) {
			return
		}
		var text, found string
		for _, c := range want.Choices {
			text += c.Delta.Content
		}
		for _, p := range pieces(&k) {
			if p.kind == wire.Content {
				found += p.text
			}
		}
		require.Equal(t, text, string([]rune(found)))
	})
}

// hasFoldedOrTwice tells what encoding/json reads in another way than a provider would: members in other letters, a
// member twice, and "message" and "text", which hold texts that the comparison does not know.
func hasFoldedOrTwice(data []byte) bool {
	twice := false
	var walk func(c *jsonscan.Cursor)
	walk = func(c *jsonscan.Cursor) {
		switch c.Kind() {
		case jsonscan.Object:
			seen := map[string]bool{}
			c.EnterObject()
			for n := 0; ; n++ {
				key, ok := c.Member(n)
				if !ok {
					return
				}
				name := string(key)
				known := name == "choices" || name == "delta" || name == "content"
				folded := strings.EqualFold(name, "choices") || strings.EqualFold(name, "delta") || strings.EqualFold(name, "content")
				twice = twice || seen[name] || name == "message" || name == "text" || (folded && !known)
				seen[name] = true
				walk(c)
			}
		case jsonscan.Array:
			c.EnterArray()
			for n := 0; c.Element(n); n++ {
				walk(c)
			}
		default:
			c.Skip()
		}
	}
	c := jsonscan.New(data)
	walk(&c)
	return twice
}

func BenchmarkChunk(b *testing.B) {
	data := []byte(`{"id":"chatcmpl-AbCdEfGhIjKlMnOpQrStUvWxYz123","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o-mini-2024-07-18",` +
		`"service_tier":"default","system_fingerprint":"fp_0123456789","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}],"usage":null}`)
	var k wire.Chunk
	b.ReportAllocs()
	for b.Loop() {
		if !k.Read(data) {
			b.Fatal("not read")
		}
	}
}

// report is what a provider reports; none stands for a number that it does not.
func report(input, cached, output, reasoning, total int64) tokens.Reported {
	return tokens.Reported{Input: input, Cached: cached, Output: output, Reasoning: reasoning, Total: total}
}
