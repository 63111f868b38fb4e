package translate_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// itemsIn returns what a response, or the last event of a stream, has as output: the kind and the text of each item.
func itemsIn(t *testing.T, answer string) string {
	t.Helper()
	type response struct {
		Output []struct {
			Type, Name, Arguments string
			Content               []struct{ Type, Text, Refusal string }
		}
	}
	var whole response
	if answer[0] == '[' {
		var events []struct{ Response response }
		require.NoError(t, json.Unmarshal([]byte(answer), &events))
		whole = events[len(events)-1].Response
	} else {
		require.NoError(t, json.Unmarshal([]byte(answer), &whole))
	}
	items := []string{}
	for _, item := range whole.Output {
		switch item.Type {
		case "function_call":
			items = append(items, fmt.Sprintf("call %s %s", item.Name, item.Arguments))
		default:
			require.Len(t, item.Content, 1)
			items = append(items, fmt.Sprintf("%s %s%s", item.Content[0].Type, item.Content[0].Text, item.Content[0].Refusal))
		}
	}
	return strings.Join(items, "; ")
}

// TestTurns has what a model says in forms that contradict each other, in one piece and as the first chunk of a stream.
func TestTurns(t *testing.T) {
	const call = `{"id":"t","type":"function","function":{"name":"f","arguments":"{}"}}`
	for name, c := range map[string]struct{ choice, want string }{
		"no refusal":                     {`"message":{"content":"Hi","refusal":false}`, "output_text Hi"},
		"no refusal, as a number":        {`"message":{"content":"Hi","refusal":[0,{"refusal":false}]}`, "output_text Hi"},
		"no refusal in a part":           {`"message":{"content":[{"type":"text","text":"Hi","refusal":false}]}`, "output_text Hi"},
		"a refusal in a part":            {`"message":{"content":[{"type":"refusal","refusal":"No"}]}`, "output_text No"},
		"a refusal":                      {`"message":{"content":null,"refusal":"No"}`, "refusal No"},
		"a number":                       {`"message":{"content":42,"refusal":null}`, "output_text 42"},
		"a boolean":                      {`"message":{"content":false}`, "output_text false"},
		"a message that is false":        {`"message":false`, ""},
		"a message that is a number":     {`"message":7`, ""},
		"a call, and no old call":        {`"message":{"tool_calls":[` + call + `],"function_call":{"name":"","arguments":""}}`, "call f {}"},
		"no old call, and a call":        {`"message":{"function_call":{},"tool_calls":[` + call + `]}`, "call f {}"},
		"a text, and no old call":        {`"message":{"content":"Hi","function_call":{}}`, "output_text Hi"},
		"a text, and no call":            {`"message":{"content":"Hi","tool_calls":{}}`, "output_text Hi"},
		"a text, and an empty call":      {`"message":{"content":"Hi","tool_calls":[{"index":0,"id":"","type":"function","function":{"name":"","arguments":""}},{},null]}`, "output_text Hi"},
		"an old call":                    {`"message":{"function_call":{"name":"f","arguments":"{}"}}`, "call f {}"},
		"the same call in both ways":     {`"message":{"function_call":{"name":"f","arguments":"{}"},"tool_calls":[` + call + `]}`, "call f {}"},
		"another call in the old way":    {`"message":{"function_call":{"name":"g","arguments":"{}"},"tool_calls":[` + call + `]}`, "call f {}; call g {}"},
		"other arguments in the old way": {`"message":{"tool_calls":[` + call + `],"function_call":{"name":"f","arguments":"{\"a\":1}"}}`, `call f {}; call f {"a":1}`},
		"calls twice":                    {`"message":{"tool_calls":{"id":"u","name":"g","arguments":"{}"},"tool_calls":[` + call + `]}`, "call g {}; call f {}"},
		"a call with its name only":      {`"message":{"tool_calls":[{"function":{"name":"f"}}]}`, "call f "},
		"a text":                         {`"text":"Hi"`, "output_text Hi"},
		"a text and a message":           {`"text":"Hi","message":{"content":"Hi","tool_calls":[` + call + `]}`, "output_text Hi; call f {}"},
		"a text and a call":              {`"text":"Hi","message":{"content":null,"tool_calls":[` + call + `]}`, "output_text Hi; call f {}"},
		"a text and a refusal":           {`"message":{"refusal":"No"},"text":"No"`, "refusal No"},
		"a text and an empty delta":      {`"delta":{},"text":"Hi"`, "output_text Hi"},
		"a text and a delta":             {`"delta":{"content":"Hi"},"text":"Hi"`, "output_text Hi"},
		"an empty text, and a delta":     {`"delta":{"content":"Hi"},"text":""`, "output_text Hi"},
	} {
		chat := `{"id":"1","model":"m","choices":[{"index":0,` + c.choice + `,"finish_reason":"stop"}]}`
		require.Equal(t, c.want, itemsIn(t, translated(t, ``, chat)), name)
		require.Equal(t, c.want, itemsIn(t, translated(t, ``, "data: "+chat+"\n\ndata: [DONE]\n\n")), "%s, streamed", name)
	}
}

// TestCallsThatBeginEmpty: a piece that says nothing begins no call, so that the call with its index keeps its name.
func TestCallsThatBeginEmpty(t *testing.T) {
	chunk := func(delta string) string {
		return `data: {"id":"1","model":"m","choices":[{"index":0,"delta":{` + delta + `}}]}` + "\n\n"
	}
	for name, c := range map[string]struct{ chat, want string }{
		"no old call, then a call": {
			chunk(`"content":"Hi","function_call":{}`) + chunk(`"tool_calls":[{"index":0,"id":"t","function":{"name":"f","arguments":"{"}}]`) + chunk(`"tool_calls":[{"index":0,"function":{"arguments":"}"}}]`),
			"output_text Hi; call f {}",
		},
		"an empty call, then a call": {
			chunk(`"tool_calls":[{"index":0,"function":{"name":"","arguments":""}}]`) + chunk(`"tool_calls":[{"index":0,"id":"t","function":{"name":"f","arguments":"{}"}}]`),
			"call f {}",
		},
		"both ways in pieces": {
			chunk(`"tool_calls":[{"index":0,"id":"t","function":{"name":"f","arguments":""}}],"function_call":{"name":"f","arguments":""}`) +
				chunk(`"tool_calls":[{"index":0,"function":{"arguments":"{"}}],"function_call":{"arguments":"{"}`) + chunk(`"function_call":{"arguments":"}"},"tool_calls":[{"index":0,"function":{"arguments":"}"}}]`),
			"call f {}",
		},
	} {
		require.Equal(t, c.want, itemsIn(t, translated(t, ``, c.chat+"data: [DONE]\n\n")), name)
	}
}

// TestMessagesBesideDeltas: an answer in one piece has a message, a chunk has a delta; the other one counts only without it.
func TestMessagesBesideDeltas(t *testing.T) {
	for choice, want := range map[string]struct{ whole, streamed string }{
		`"message":{"content":"Hi you"},"delta":{"content":"you"}`: {"output_text Hi you", "output_text you"},
		`"message":{"content":"Hi you"},"delta":{}`:                {"output_text Hi you", ""},
		`"message":{"content":"Hi"},"delta":null`:                  {"output_text Hi", "output_text Hi"},
		`"message":{},"delta":{"content":"Hi"}`:                    {"output_text Hi", "output_text Hi"},
	} {
		chat := `{"id":"1","model":"m","choices":[{"index":0,` + choice + `,"finish_reason":"stop"}]}`
		require.Equal(t, want.whole, itemsIn(t, translated(t, ``, chat)), choice)
		require.Equal(t, want.streamed, itemsIn(t, translated(t, ``, "data: "+chat+"\n\ndata: [DONE]\n\n")), "%s, streamed", choice)
	}
}
