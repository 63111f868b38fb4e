package form

import (
	"slices"
	"strconv"

	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
)

// Split returns the events of a stream that says what a completion says: one chunk with the messages, one with the
// finish reasons, one with the usage when it was asked for and is there. The closing [DONE] is not among them. It
// reports false for a body that is not a JSON object.
func Split(completion []byte, usage bool) (events []byte, ok bool) {
	whole, ok := parse(completion)
	if !ok || !whole.is(jsonscan.Object) {
		return nil, false
	}
	head := whole.without("choices", "usage")
	head.set("object", str("chat.completion.chunk"))
	messages, ends := array(), array()
	for i, choice := range whole.get("choices").elements() {
		index := choice.get("index")
		if index == nil {
			index = number(strconv.Itoa(i))
		}
		messages.values = append(messages.values, begin(choice, index))
		ends.values = append(ends.values, end(choice, index))
	}
	events = event(events, head, messages, nil)
	events = event(events, head, ends, nil)
	if reported := whole.get("usage"); usage && reported.is(jsonscan.Object) {
		events = event(events, head, array(), reported)
	}
	return events, true
}

// SplitText is Split for an answer of POST /v1/completions, whose chunks look like the whole.
func SplitText(completion []byte, usage bool) (events []byte, ok bool) {
	whole, ok := parse(completion)
	if !ok || !whole.is(jsonscan.Object) {
		return nil, false
	}
	head, choices := whole.without("choices", "usage"), whole.get("choices")
	if choices == nil {
		choices = array()
	}
	events = event(events, head, choices, nil)
	if reported := whole.get("usage"); usage && reported.is(jsonscan.Object) {
		events = event(events, head, array(), reported)
	}
	return events, true
}

func (n *node) elements() []*node {
	if !n.is(jsonscan.Array) {
		return nil
	}
	return n.values
}

// begin is the part of a choice with its message.
func begin(choice, index *node) *node {
	out := object()
	out.set("index", index)
	delta := object()
	if message := choice.get("message"); message.is(jsonscan.Object) {
		delta = message.without()
	}
	if calls := delta.get("tool_calls"); calls.is(jsonscan.Array) {
		delta.set("tool_calls", numbered(calls))
	}
	out.set("delta", delta)
	for i, key := range choice.keys {
		if !slices.Contains([]string{"index", "message", "finish_reason"}, key) {
			out.set(key, choice.values[i])
		}
	}
	out.set("finish_reason", null())
	return out
}

// end is the part of a choice with its finish reason.
func end(choice, index *node) *node {
	out := object()
	out.set("index", index)
	out.set("delta", object())
	reason := choice.get("finish_reason")
	if !reason.is(jsonscan.String) {
		reason = str("stop")
	}
	out.set("finish_reason", reason)
	return out
}

// numbered gives tool calls the index that they have in a stream only.
func numbered(calls *node) *node {
	out := array()
	for i, call := range calls.values {
		if call.is(jsonscan.Object) {
			call = call.without("index")
			call.set("index", number(strconv.Itoa(i)))
		}
		out.values = append(out.values, call)
	}
	return out
}

func event(events []byte, head, choices, usage *node) []byte {
	chunk := head.without()
	chunk.set("choices", choices)
	if usage != nil {
		chunk.set("usage", usage)
	}
	return append(chunk.append(append(events, "data: "...)), "\n\n"...)
}
