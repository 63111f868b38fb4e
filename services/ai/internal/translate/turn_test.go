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
	for name, c := range map[string]struct{ choice, want string }{
		"no refusal":                 {`"message":{"content":"Hi","refusal":false}`, "output_text Hi"},
		"no refusal, as a number":    {`"message":{"content":"Hi","refusal":[0,{"refusal":false}]}`, "output_text Hi"},
		"no refusal in a part":       {`"message":{"content":[{"type":"text","text":"Hi","refusal":false}]}`, "output_text Hi"},
		"a refusal in a part":        {`"message":{"content":[{"type":"refusal","refusal":"No"}]}`, "output_text No"},
		"a refusal":                  {`"message":{"content":null,"refusal":"No"}`, "refusal No"},
		"a number":                   {`"message":{"content":42,"refusal":null}`, "output_text 42"},
		"a boolean":                  {`"message":{"content":false}`, "output_text false"},
		"a message that is false":    {`"message":false`, ""},
		"a message that is a number": {`"message":7`, ""},
	} {
		chat := `{"id":"1","model":"m","choices":[{"index":0,` + c.choice + `,"finish_reason":"stop"}]}`
		require.Equal(t, c.want, itemsIn(t, translated(t, ``, chat)), name)
		require.Equal(t, c.want, itemsIn(t, translated(t, ``, "data: "+chat+"\n\ndata: [DONE]\n\n")), "%s, streamed", name)
	}
}
