package form

import (
	"bytes"
	"slices"
	"strconv"

	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
)

// Joiner makes one completion of the chunks of a stream. The zero value is ready.
type Joiner struct {
	// Text tells that the stream is of POST /v1/completions, whose choices have a text instead of a message.
	Text bool

	whole   *node
	choices map[string]*node // by index
	order   []string
	size    int
}

// Size returns how many bytes of chunks were added.
func (j *Joiner) Size() int { return j.size }

// Add takes the data of one event. It reports false for what is not a JSON object.
func (j *Joiner) Add(data []byte) bool {
	chunk, ok := parse(data)
	if !ok || !chunk.is(jsonscan.Object) {
		return false
	}
	j.size += len(data)
	if j.whole == nil {
		j.whole, j.choices = object(), map[string]*node{}
	}
	for i, key := range chunk.keys {
		value := chunk.values[i]
		switch {
		case key == "choices":
			for at, choice := range value.elements() {
				j.choice(choice, at)
			}
		case value.is(jsonscan.Null) && j.whole.get(key) != nil: // a chunk has usage: null until the last one
		default:
			j.whole.set(key, value)
		}
	}
	return true
}

func (j *Joiner) choice(part *node, at int) {
	if !part.is(jsonscan.Object) {
		return
	}
	index := strconv.Itoa(at)
	if n := part.get("index").number(); n != nil {
		index = string(n)
	}
	into, known := j.choices[index]
	if !known {
		into = object()
		into.set("index", number(index))
		if !j.Text {
			into.set("message", object())
		}
		into.set("finish_reason", null())
		j.choices[index] = into
		j.order = append(j.order, index)
	}
	for i, key := range part.keys {
		switch {
		case key == "index":
		case !j.Text && (key == "delta" || key == "message"):
			merge(into.get("message"), part.values[i])
		case key == "finish_reason":
			if part.values[i].is(jsonscan.String) {
				into.set(key, part.values[i])
			}
		default:
			add(into, key, part.values[i])
		}
	}
}

// merge adds what a delta has to what came before.
func merge(into, delta *node) {
	if !delta.is(jsonscan.Object) {
		return
	}
	for i, key := range delta.keys {
		value := delta.values[i]
		if key == "tool_calls" && (value.is(jsonscan.Array) || value.is(jsonscan.Object)) {
			calls := into.get(key)
			if !calls.is(jsonscan.Array) {
				calls = array()
				into.set(key, calls)
			}
			if value.is(jsonscan.Object) { // one of them, without a list
				value = &node{kind: jsonscan.Array, values: []*node{value}}
			}
			for _, call := range value.values {
				joinCall(calls, call)
			}
			continue
		}
		add(into, key, value)
	}
}

// joinCall adds a part of a tool call.
func joinCall(calls, part *node) {
	if !part.is(jsonscan.Object) {
		return
	}
	var into *node
	index, id := part.get("index").number(), part.get("id").text()
	for _, call := range calls.values {
		if index != nil && bytes.Equal(index, call.get("index").number()) || index == nil && id != "" && id == call.get("id").text() {
			into = call
		}
	}
	if last := len(calls.values) - 1; into == nil && index == nil && id == "" && last >= 0 && continues(calls.values[last], part) {
		into = calls.values[last]
	}
	if into == nil {
		into = object()
		calls.values = append(calls.values, into)
	}
	for i, key := range part.keys {
		add(into, key, part.values[i])
	}
}

// continues reports whether a part without an index and an id belongs to the last call: it has no name, or it repeats the name of a call whose
// arguments are incomplete.
func continues(last, part *node) bool {
	name, function := part.get("function").get("name").text(), last.get("function")
	return name == "" || name == function.get("name").text() && jsonscan.Incomplete([]byte(function.get("arguments").text()))
}

// number returns an index, which some providers write as a text; nil for anything else.
func (n *node) number() []byte {
	switch {
	case n.is(jsonscan.Number):
		return n.raw
	case n.is(jsonscan.String):
		if _, err := strconv.Atoi(n.text()); err == nil {
			return []byte(n.text())
		}
	}
	return nil
}

// labels are members whose texts are not continued by the next chunk, but repeated.
var labels = []string{"role", "id", "type", "object", "name", "model", "format"}

// add joins a member with what came before: texts and lists are continued, objects merged, anything else is replaced.
func add(into *node, key string, value *node) {
	old := into.get(key)
	switch {
	case old == nil, old.is(jsonscan.Null):
		into.set(key, value)
	case value.is(jsonscan.Null):
	case old.is(jsonscan.String) && value.is(jsonscan.Bool): // such as "refusal": false behind a text
	case old.is(jsonscan.String) && value.is(jsonscan.String):
		if slices.Contains(labels, key) {
			if len(old.raw) == 0 {
				into.set(key, value)
			}
			return
		}
		old.raw = append(old.raw, value.raw...)
	case old.is(jsonscan.Array) && value.is(jsonscan.Array):
		old.values = append(old.values, value.values...)
	case old.is(jsonscan.Object) && value.is(jsonscan.Object):
		for i, k := range value.keys {
			add(old, k, value.values[i])
		}
	default:
		into.set(key, value)
	}
}

// Completion returns the completion; nil when no chunk had a choice or a usage. A usage without a choice is an answer that
// the provider charges for.
func (j *Joiner) Completion() []byte {
	if len(j.order) == 0 && !j.whole.get("usage").is(jsonscan.Object) {
		return nil
	}
	choices := array()
	for _, index := range j.order {
		choice := j.choices[index]
		if !j.Text {
			choice.set("message", complete(choice.get("message")))
		}
		choices.values = append(choices.values, choice)
	}
	slices.SortStableFunc(choices.values, func(a, b *node) int { return order(a) - order(b) })
	if !j.Text {
		j.whole.set("object", str("chat.completion"))
	}
	j.whole.set("choices", choices)
	return j.whole.append(nil)
}

// complete gives a message what every message has, takes from tool calls the index that only chunks have, and leaves out calls that say nothing.
func complete(message *node) *node {
	if message.get("role").text() == "" {
		message.set("role", str("assistant"))
	}
	if message.get("content") == nil {
		message.set("content", null())
	}
	if calls := message.get("tool_calls"); calls.is(jsonscan.Array) {
		calls.values = slices.DeleteFunc(calls.values, func(call *node) bool { return blank(call.without("index", "type")) })
		for i, call := range calls.values {
			calls.values[i] = call.without("index")
		}
		if len(calls.values) == 0 {
			message = message.without("tool_calls")
		}
	}
	if call := message.get("function_call"); call.is(jsonscan.Object) && blank(call) {
		message = message.without("function_call")
	}
	return message
}

// blank reports whether a value has no text, number or boolean.
func blank(n *node) bool {
	switch n.kind {
	case jsonscan.Object, jsonscan.Array:
		return !slices.ContainsFunc(n.values, func(value *node) bool { return !blank(value) })
	case jsonscan.String:
		return len(n.raw) == 0
	default:
		return n.is(jsonscan.Null)
	}
}

func order(choice *node) int {
	n, _ := strconv.Atoi(string(choice.get("index").raw))
	return n
}
