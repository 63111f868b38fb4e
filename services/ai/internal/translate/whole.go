package translate

import (
	"cmp"
	"encoding/json"
	"strconv"
)

// completion is an answer of a chat in one piece, or a chunk of one.
type completion struct {
	ID      json.RawMessage `json:"id"`
	Object  json.RawMessage `json:"object"`
	Model   json.RawMessage `json:"model"`
	Created json.RawMessage `json:"created"`
	// ServiceTier is the tier that served the chat.
	ServiceTier json.RawMessage `json:"service_tier"`
	Usage       json.RawMessage `json:"usage"`
	// XGroq has the usage of servers that say it only there.
	XGroq   json.RawMessage `json:"x_groq"`
	Error   json.RawMessage `json:"error"`
	Choices []choice        `json:"choices"`
}

// choice is a choice of an answer, or a part of one.
type choice struct {
	Message      turn            `json:"message"`
	Delta        *turn           `json:"delta"` // nil for a chunk that has a message instead
	FinishReason json.RawMessage `json:"finish_reason"`
	Index        position        `json:"index"`
	// Text is what a server says that takes a chat for a completion.
	Text turn `json:"text"`
	// Usage is where Moonshot has it.
	Usage json.RawMessage `json:"usage"`
}

// turn returns what the choice says. A text counts only if the message or delta says none: some servers say the same in both.
func (c *choice) turn(whole bool) *turn {
	t := cmp.Or(c.Delta, &c.Message)
	if whole && !c.Message.blank() {
		t = &c.Message
	}
	if len(t.words)+len(t.refusal) == 0 {
		t.words = c.Text.words
	}
	if len(t.thoughts) == 0 {
		t.thoughts = c.Text.thoughts
	}
	return t
}

// whole translates a completion. Any other body, such as an error, stays as it is.
func (x *Exchange) whole(body []byte) []byte {
	var c completion
	if json.Unmarshal(body, &c) != nil {
		return body
	}
	a := &answer{}
	x.learn(a, &c)
	if len(c.Choices) == 0 && (a.usage == nil || failed(&c)) {
		return body
	}
	x.identify(a)
	if len(c.Choices) > 0 {
		a.finish = textOf(c.Choices[0].FinishReason)
		a.take(c.Choices[0].turn(true))
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
		kind kind
		body []byte
	}{{reasoning, m.thoughts}, {text, m.words}, {refusal, m.refusal}} {
		if len(t.body) > 0 {
			a.open(t.kind, 0).body = t.body
		}
	}
	for i := range m.calls {
		it := a.open(function, i)
		it.add(&m.calls[i])
		it.identify(a)
	}
}

// add adds a part of a call.
func (it *item) add(c *toolCall) {
	if len(insideOf(c.ID)) > 0 && string(it.call) == `""` {
		it.call = c.ID
	}
	if len(insideOf(c.Function.Name)) > 0 && string(it.name) == `""` {
		it.name = c.Function.Name
	}
	it.body = append(it.body, argumentsOf(c.Function.Arguments)...)
}

// identify gives an id to a call that the provider has left without one: the client names it when it sends the result.
func (it *item) identify(a *answer) {
	if string(it.call) == `""` {
		it.call = raw(a.name("call_", strconv.Itoa(it.index)))
	}
}
