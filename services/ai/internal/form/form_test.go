package form_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/ai/internal/form"
)

const completion = `{"id":"c","object":"chat.completion","created":7,"model":"m","service_tier":null,"choices":[` +
	`{"index":0,"message":{"role":"assistant","content":"\ud83d\ude00 one","refusal":null,"tool_calls":[` +
	`{"id":"t1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}},{"id":"t2","type":"function","function":{"name":"g","arguments":"{}"}}]},` +
	`"logprobs":{"content":[{"token":"one","logprob":-1e-20}]},"finish_reason":"tool_calls"},` +
	`{"index":1,"message":{"role":"assistant","content":"two"},"finish_reason":"length"}],` +
	`"usage":{"prompt_tokens":5,"completion_tokens":9007199254740993}}`

func TestSplit(t *testing.T) {
	const head = `{"id":"c","object":"chat.completion.chunk","created":7,"model":"m","service_tier":null,"choices":`
	messages := head + `[{"index":0,"delta":{"role":"assistant","content":"\ud83d\ude00 one","refusal":null,"tool_calls":[` +
		`{"id":"t1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"},"index":0},{"id":"t2","type":"function","function":{"name":"g","arguments":"{}"},"index":1}]},` +
		`"logprobs":{"content":[{"token":"one","logprob":-1e-20}]},"finish_reason":null},{"index":1,"delta":{"role":"assistant","content":"two"},"finish_reason":null}]}`
	ends := head + `[{"index":0,"delta":{},"finish_reason":"tool_calls"},{"index":1,"delta":{},"finish_reason":"length"}]}`
	usage := head + `[],"usage":{"prompt_tokens":5,"completion_tokens":9007199254740993}}`

	got, ok := form.Split([]byte(completion), false)
	require.True(t, ok)
	require.Equal(t, "data: "+messages+"\n\ndata: "+ends+"\n\n", string(got))
	got, ok = form.Split([]byte(completion), true)
	require.True(t, ok)
	require.Equal(t, "data: "+messages+"\n\ndata: "+ends+"\n\ndata: "+usage+"\n\n", string(got))

	got, ok = form.Split([]byte(`{"choices":[{"message":{"content":"x"}},{"finish_reason":null}]}`), true)
	require.True(t, ok)
	require.Equal(t, `data: {"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null},{"index":1,"delta":{},"finish_reason":null}]}`+"\n\n"+
		`data: {"object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"},{"index":1,"delta":{},"finish_reason":"stop"}]}`+"\n\n", string(got))

	for _, bad := range []string{"", "[]", "1", "{", `{"choices":[}`} {
		_, ok = form.Split([]byte(bad), true)
		require.False(t, ok, bad)
	}
}

// join adds the data of all events.
func join(t *testing.T, events ...string) string {
	t.Helper()
	var j form.Joiner
	for _, data := range events {
		require.True(t, j.Add([]byte(data)), data)
	}
	require.Equal(t, len(strings.Join(events, "")), j.Size())
	return string(j.Completion())
}

// TestJoinUndoesSplit says the same thing in both forms.
func TestJoinUndoesSplit(t *testing.T) {
	events, ok := form.Split([]byte(completion), true)
	require.True(t, ok)
	data := strings.Split(strings.TrimSpace(strings.ReplaceAll(string(events), "data: ", "")), "\n\n")
	got := join(t, data...)
	require.JSONEq(t, completion, got)
	require.Contains(t, got, `"content":"\ud83d\ude00 one"`)
	require.Contains(t, got, `9007199254740993`)
	require.Contains(t, got, `-1e-20`)
}

func TestJoin(t *testing.T) {
	chunk := func(delta string) string {
		return `{"id":"c","model":"m","choices":[{"index":0,"delta":{` + delta + `}}]}`
	}
	for name, c := range map[string]struct {
		events  []string
		message string
	}{
		"texts":               {[]string{chunk(`"role":"assistant","content":""`), chunk(`"content":"a"`), chunk(`"content":"b"`)}, `{"role":"assistant","content":"ab"}`},
		"no role":             {[]string{chunk(`"content":"a"`)}, `{"role":"assistant","content":"a"}`},
		"role in every chunk": {[]string{chunk(`"role":"assistant","content":"a"`), chunk(`"role":"assistant","content":"b"`)}, `{"role":"assistant","content":"ab"}`},
		"no content":          {[]string{chunk(`"refusal":"no"`)}, `{"role":"assistant","content":null,"refusal":"no"}`},
		"null, then text":     {[]string{chunk(`"content":null`), chunk(`"content":"a"`), chunk(`"content":null`)}, `{"role":"assistant","content":"a"}`},
		"a text, then false":  {[]string{chunk(`"refusal":"no"`), chunk(`"refusal":false`)}, `{"role":"assistant","content":null,"refusal":"no"}`},
		"false, then a text":  {[]string{chunk(`"refusal":false`), chunk(`"refusal":"no"`)}, `{"role":"assistant","content":null,"refusal":"no"}`},
		"halves of an emoji":  {[]string{chunk(`"content":"\ud83d"`), chunk(`"content":"\ude00"`)}, `{"role":"assistant","content":"😀"}`},
		"lists":               {[]string{chunk(`"content":[{"type":"text","text":"a"}]`), chunk(`"content":[{"type":"text","text":"b"}]`)}, `{"role":"assistant","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}`},
		"objects":             {[]string{chunk(`"audio":{"id":"x","transcript":"a"}`), chunk(`"audio":{"transcript":"b","expires_at":1}`)}, `{"role":"assistant","content":null,"audio":{"id":"x","transcript":"ab","expires_at":1}}`},
		"tools by index": {[]string{
			chunk(`"tool_calls":[{"index":0,"id":"t1","type":"function","function":{"name":"f","arguments":""}}]`),
			chunk(`"tool_calls":[{"index":1,"id":"t2","type":"function","function":{"name":"g","arguments":"{}"}},{"index":0,"function":{"arguments":"{"}}]`),
			chunk(`"tool_calls":[{"index":0,"function":{"arguments":"}"}}]`),
		}, `{"role":"assistant","content":null,"tool_calls":[{"id":"t1","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"t2","type":"function","function":{"name":"g","arguments":"{}"}}]}`},
		"tools without anything": {[]string{
			chunk(`"tool_calls":[{"function":{"name":"f","arguments":"{}"}},{"function":{"name":"g","arguments":"{"}}]`), chunk(`"tool_calls":[{"id":"","function":{"arguments":"}"}}]`),
		}, `{"role":"assistant","content":null,"tool_calls":[{"function":{"name":"f","arguments":"{}"}},{"function":{"name":"g","arguments":"{}"},"id":""}]}`},
		"a call, then no old call": {
			[]string{chunk(`"tool_calls":[{"index":0,"id":"t","function":{"name":"f","arguments":"{}"}}],"function_call":{"name":"","arguments":""}`), chunk(`"function_call":{}`)},
			`{"role":"assistant","content":null,"tool_calls":[{"id":"t","function":{"name":"f","arguments":"{}"}}]}`,
		},
		"no call without a list, then a call": {
			[]string{chunk(`"tool_calls":{}`), chunk(`"tool_calls":[{"index":0,"id":"t","function":{"name":"f","arguments":"{}"}}]`)},
			`{"role":"assistant","content":null,"tool_calls":[{"id":"t","function":{"name":"f","arguments":"{}"}}]}`,
		},
		"a call, then one without a list": {
			[]string{chunk(`"tool_calls":[{"index":0,"id":"t","function":{"name":"f","arguments":"{}"}}]`), chunk(`"tool_calls":{"id":"u","name":"g","arguments":"{}"}`)},
			`{"role":"assistant","content":null,"tool_calls":[{"id":"t","function":{"name":"f","arguments":"{}"}},{"id":"u","name":"g","arguments":"{}"}]}`,
		},
		"calls that say nothing": {
			[]string{chunk(`"content":"a","tool_calls":[{"index":0,"type":"function","id":"","function":{"name":"","arguments":""}}],"function_call":{"name":""}`), chunk(`"content":"b"`)},
			`{"role":"assistant","content":"ab"}`,
		},
		"a call that begins empty": {
			[]string{chunk(`"tool_calls":[{"index":0,"type":"function","function":{"name":"","arguments":""}}]`), chunk(`"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{}"}}]`)},
			`{"role":"assistant","content":null,"tool_calls":[{"type":"function","function":{"name":"f","arguments":"{}"}}]}`,
		},
		"an old call": {
			[]string{chunk(`"function_call":{"name":"f","arguments":""}`), chunk(`"function_call":{"arguments":"{"}`), chunk(`"function_call":{"arguments":"}"}`)},
			`{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}}`,
		},
		"a custom call": {[]string{chunk(`"tool_calls":[{"index":0,"type":"custom","custom":{"name":"","input":"x"}}]`)}, `{"role":"assistant","content":null,"tool_calls":[{"type":"custom","custom":{"name":"","input":"x"}}]}`},
		"a name in every chunk": {[]string{
			chunk(`"tool_calls":[{"function":{"name":"f","arguments":"{\"a\":"}}]`), chunk(`"tool_calls":[{"function":{"name":"f","arguments":"1}"}}]`),
			chunk(`"tool_calls":[{"function":{"name":"f","arguments":"{}"}}]`),
		}, `{"role":"assistant","content":null,"tool_calls":[{"function":{"name":"f","arguments":"{\"a\":1}"}},{"function":{"name":"f","arguments":"{}"}}]}`},
		"tools without index": {[]string{
			chunk(`"tool_calls":[{"id":"t1","function":{"name":"f","arguments":"{"}}]`), chunk(`"tool_calls":[{"function":{"arguments":"}"}}]`),
			chunk(`"tool_calls":[{"id":"t2","function":{"name":"g","arguments":"{}"}}]`),
		}, `{"role":"assistant","content":null,"tool_calls":[{"id":"t1","function":{"name":"f","arguments":"{}"}},{"id":"t2","function":{"name":"g","arguments":"{}"}}]}`},
	} {
		var whole struct {
			Object  string
			Choices []struct{ Message json.RawMessage }
		}
		require.NoError(t, json.Unmarshal([]byte(join(t, c.events...)), &whole), name)
		require.Equal(t, "chat.completion", whole.Object)
		require.Len(t, whole.Choices, 1, name)
		require.JSONEq(t, c.message, string(whole.Choices[0].Message), name)
	}
}

func TestJoinOfManyChoices(t *testing.T) {
	got := join(t, `{"choices":[{"index":1,"delta":{"content":"b"},"logprobs":{"content":[1]}}],"usage":null}`, `{"choices":[{"index":0,"delta":{"content":"a"}}]}`,
		`{"choices":[{"index":1,"delta":{},"finish_reason":"stop","logprobs":{"content":[2]}},{"index":0,"delta":{},"finish_reason":"length"}]}`,
		`{"choices":[],"usage":{"total_tokens":3}}`, `{"choices":[],"usage":null}`)
	require.JSONEq(t, `{"object":"chat.completion","usage":{"total_tokens":3},"choices":[
		{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"length"},
		{"index":1,"message":{"role":"assistant","content":"b"},"finish_reason":"stop","logprobs":{"content":[1,2]}}]}`, got)

	var j form.Joiner
	require.True(t, j.Add([]byte(`{"choices":[]}`)))
	require.False(t, j.Add([]byte(`[]`)))
	require.Nil(t, j.Completion())
	require.True(t, j.Add([]byte(`{"choices":[],"usage":{"total_tokens":3}}`)))
	require.JSONEq(t, `{"object":"chat.completion","choices":[],"usage":{"total_tokens":3}}`, string(j.Completion()))
}

// FuzzJoin never fails on what a provider sends, and writes JSON.
func FuzzJoin(f *testing.F) {
	f.Add([]byte(`{"choices":[{"index":0,"delta":{"content":"a","tool_calls":[{"id":"x"},1,{"index":2}]}}]}`), []byte(`{"choices":[{"delta":{"content":[1]}}],"usage":1}`))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var j form.Joiner
		j.Add(a)
		j.Add(b)
		if whole := j.Completion(); whole != nil && json.Valid(a) && json.Valid(b) {
			require.True(t, json.Valid(whole), "%s", whole)
			_, ok := form.Split(whole, true)
			require.True(t, ok)
		}
	})
}
