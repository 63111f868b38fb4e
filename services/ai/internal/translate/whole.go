package translate

import "encoding/json"

// completion is an answer of a chat in one piece, or a chunk of one.
type completion struct {
	ID      json.RawMessage `json:"id"`
	Model   json.RawMessage `json:"model"`
	Created json.RawMessage `json:"created"`
	// ServiceTier is the tier that served the chat.
	ServiceTier json.RawMessage `json:"service_tier"`
	Usage       json.RawMessage `json:"usage"`
	// XGroq has the usage of servers that say it only there.
	XGroq   json.RawMessage `json:"x_groq"`
	Error   json.RawMessage `json:"error"`
	Choices []struct {
		Message      turn            `json:"message"`
		Delta        *turn           `json:"delta"` // nil for a chunk that has a message instead
		FinishReason json.RawMessage `json:"finish_reason"`
		Index        int             `json:"index"`
	} `json:"choices"`
}

// turn is what the model says.
type turn struct {
	Content          json.RawMessage `json:"content"`
	Refusal          json.RawMessage `json:"refusal"`
	Reasoning        json.RawMessage `json:"reasoning"`
	ReasoningContent json.RawMessage `json:"reasoning_content"`
	ToolCalls        []toolCall      `json:"tool_calls"`
}

type toolCall struct {
	Index    *int            `json:"index"`
	ID       json.RawMessage `json:"id"`
	Function struct {
		Name      json.RawMessage `json:"name"`
		Arguments json.RawMessage `json:"arguments"`
	} `json:"function"`
}

// whole translates a completion. Any other body, such as an error, stays as it is.
func (x *Exchange) whole(body []byte) []byte {
	var c completion
	if json.Unmarshal(body, &c) != nil || len(c.Choices) == 0 && !present(c.Usage) || present(c.Error) && len(c.Choices) == 0 {
		return body
	}
	a := &answer{}
	x.learn(a, &c)
	x.identify(a)
	if len(c.Choices) > 0 {
		a.finish = textOf(c.Choices[0].FinishReason)
		a.take(&c.Choices[0].Message)
	}
	return x.response(a, true)
}

func numberOf(value json.RawMessage) (n int64) {
	if json.Unmarshal(value, &n) != nil {
		return 0
	}
	return n
}

// take makes the items of a message in one piece.
func (a *answer) take(m *turn) {
	for _, t := range []struct {
		kind  kind
		value json.RawMessage
	}{{reasoning, m.reasoning()}, {text, m.Content}, {refusal, m.Refusal}} {
		if inside := insideOf(t.value); len(inside) > 0 {
			a.open(t.kind, 0).body = inside
		}
	}
	for i := range m.ToolCalls {
		it := a.open(function, i)
		it.add(&m.ToolCalls[i])
	}
}

// reasoning is what the model thinks; some providers send it twice.
func (m *turn) reasoning() json.RawMessage {
	if len(insideOf(m.ReasoningContent)) > 0 {
		return m.ReasoningContent
	}
	return m.Reasoning
}

// add adds a part of a call.
func (it *item) add(c *toolCall) {
	if present(c.ID) && string(it.call) == `""` {
		it.call = c.ID
	}
	if len(insideOf(c.Function.Name)) > 0 && string(it.name) == `""` {
		it.name = c.Function.Name
	}
	it.body = append(it.body, argumentsOf(c.Function.Arguments)...)
}

// argumentsOf returns the inside of a text; an object that is not written as a text becomes one.
func argumentsOf(value json.RawMessage) []byte {
	if len(value) > 0 && value[0] == '{' {
		return insideOf(raw(string(value)))
	}
	return insideOf(value)
}

// insideOf returns the inside of a JSON string, joined for a list of text parts; nil for any other value.
func insideOf(value json.RawMessage) []byte {
	switch {
	case len(value) > 1 && value[0] == '"':
		return value[1 : len(value)-1]
	case len(value) > 0 && value[0] == '[':
		var parts []struct {
			Text json.RawMessage `json:"text"`
		}
		if json.Unmarshal(value, &parts) != nil {
			return nil
		}
		var out []byte
		for _, p := range parts {
			out = append(out, insideOf(p.Text)...)
		}
		return out
	default:
		return nil
	}
}
