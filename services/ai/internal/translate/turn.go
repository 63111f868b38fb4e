package translate

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

// turn is what the model says, in whatever form the provider writes it. Texts are the insides of JSON strings.
type turn struct {
	words, refusal []byte
	thoughts       wire.Thought
	calls          []toolCall
}

// blank reports whether a turn says nothing.
func (t *turn) blank() bool { return len(t.words)+len(t.refusal)+len(t.thoughts)+len(t.calls) == 0 }

// UnmarshalJSON implements json.Unmarshaler. A turn may also be a text alone.
func (t *turn) UnmarshalJSON(raw []byte) error {
	c := jsonscan.New(raw)
	if c.Kind() != jsonscan.Object {
		t.words, t.thoughts = wire.Texts(nil, nil, &c)
		return c.Err()
	}
	var within []byte  // thoughts among the content
	var old []toolCall // the function_call
	for key := range c.Members() {
		switch {
		case string(key) == "content":
			t.words, within = wire.Words(t.words, within, &c)
		case string(key) == "refusal":
			t.refusal, _ = wire.Texts(t.refusal, nil, &c)
		case string(key) == "tool_calls":
			if err := take(&t.calls, c.Raw()); err != nil {
				return err
			}
		case string(key) == "function_call":
			if err := take(&old, c.Raw()); err != nil {
				return err
			}
		case t.thoughts.Take(key, &c):
		default:
			c.Skip()
		}
	}
	if len(t.thoughts) == 0 {
		t.thoughts = within
	}
	for i := range old {
		if !slices.ContainsFunc(t.calls, old[i].same) { // some servers say a call in both ways
			t.calls = append(t.calls, old[i])
		}
	}
	return c.Err()
}

// take adds calls of tools: a list, or one of them. A call that says nothing is left out.
func take(calls *[]toolCall, raw json.RawMessage) error {
	var read []toolCall
	switch {
	case len(raw) > 0 && raw[0] == '{':
		raw = slices.Concat([]byte{'['}, raw, []byte{']'})
	case len(raw) == 0 || raw[0] != '[':
		return nil
	}
	if err := json.Unmarshal(raw, &read); err != nil {
		return err
	}
	*calls = append(*calls, slices.DeleteFunc(read, func(c toolCall) bool { return c.blank() })...)
	return nil
}

// toolCall is a call of a function, or a part of one.
type toolCall struct {
	Index    *position       `json:"index"`
	ID       json.RawMessage `json:"id"`
	Function called          `json:"function"`
}

// UnmarshalJSON implements json.Unmarshaler. Some servers have the function's members beside the id.
func (c *toolCall) UnmarshalJSON(data []byte) error {
	type plain toolCall
	read := struct {
		plain
		called
	}{}
	if err := json.Unmarshal(data, &read); err != nil {
		return err
	}
	*c = toolCall(read.plain)
	if len(c.Function.Name) == 0 && len(c.Function.Arguments) == 0 {
		c.Function = read.called
	}
	return nil
}

// blank reports whether a call says nothing.
func (c *toolCall) blank() bool {
	return len(insideOf(c.ID))+len(insideOf(c.Function.Name))+len(argumentsOf(c.Function.Arguments)) == 0
}

// same reports whether two calls have the same name and arguments.
func (c *toolCall) same(other toolCall) bool {
	return bytes.Equal(insideOf(c.Function.Name), insideOf(other.Function.Name)) && bytes.Equal(argumentsOf(c.Function.Arguments), argumentsOf(other.Function.Arguments))
}

// called is what is called.
type called struct {
	Name      json.RawMessage `json:"name"`
	Arguments json.RawMessage `json:"arguments"`
}

// position is an index, which some providers write as a text.
type position int

// UnmarshalJSON implements json.Unmarshaler. Anything but an index stands for 0.
func (p *position) UnmarshalJSON(raw []byte) error {
	c := jsonscan.New(raw)
	n, _ := wire.Index(&c)
	*p = position(n)
	return nil
}

// argumentsOf returns the inside of a text; an object that is not written as a text becomes one.
func argumentsOf(value json.RawMessage) []byte {
	if len(value) > 0 && value[0] == '{' {
		return insideOf(raw(string(value)))
	}
	return insideOf(value)
}

// insideOf returns the inside of a JSON string; nil for any other value.
func insideOf(value json.RawMessage) []byte {
	if len(value) > 1 && value[0] == '"' {
		return value[1 : len(value)-1]
	}
	return nil
}
