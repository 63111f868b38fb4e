package form

import (
	"strconv"

	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
)

// SplitResponse returns the events of a stream that says what a response of the Responses API says, in the order in which
// OpenAI sends them. The last event is apart. It reports false for a body that is not a response.
func SplitResponse(body []byte) (events, last []byte, ok bool) {
	whole, ok := parse(body)
	if !ok || !whole.is(jsonscan.Object) || !whole.get("output").is(jsonscan.Array) {
		return nil, nil, false
	}
	begun := whole.without()
	begun.set("status", str("in_progress"))
	begun.set("output", array())
	begun.set("usage", null())
	w := &responseWriter{}
	w.event("response.created", "response", begun)
	w.event("response.in_progress", "response", begun)
	for i, item := range whole.get("output").elements() {
		w.item(i, item)
	}
	events = w.out
	w.out = nil
	kind := "response.completed"
	switch status := whole.get("status").text(); status {
	case "incomplete", "failed":
		kind = "response." + status
	}
	w.event(kind, "response", whole)
	return events, w.out, true
}

// responseWriter writes events and numbers them.
type responseWriter struct {
	out      []byte
	sequence int
	path     []pair // of the item or part at hand
}

// pair is a member of an event.
type pair struct {
	key   string
	value *node
}

// event writes one event with the members of the path and one of its own.
func (w *responseWriter) event(kind, key string, value *node, more ...pair) {
	e := object()
	e.set("type", str(kind))
	e.set("sequence_number", number(strconv.Itoa(w.sequence)))
	w.sequence++
	for _, p := range w.path {
		e.set(p.key, p.value)
	}
	e.set(key, value)
	for _, p := range more {
		e.set(p.key, p.value)
	}
	w.out = append(w.out, "event: "+kind+"\ndata: "...)
	w.out = append(e.append(w.out), "\n\n"...)
}

func (w *responseWriter) item(index int, item *node) {
	at := pair{"output_index", number(strconv.Itoa(index))}
	shell := item.without()
	if shell.get("status") != nil {
		shell.set("status", str("in_progress"))
	}
	for _, key := range []string{"content", "summary"} {
		if shell.get(key).is(jsonscan.Array) {
			shell.set(key, array())
		}
	}
	for _, key := range []string{"arguments", "input"} {
		if shell.get(key).is(jsonscan.String) {
			shell.set(key, str(""))
		}
	}
	w.path = []pair{at}
	w.event("response.output_item.added", "item", shell)
	w.content(at, item)
	w.path = []pair{at}
	w.event("response.output_item.done", "item", item)
}

// content writes what an item consists of.
func (w *responseWriter) content(at pair, item *node) {
	id := item.get("id")
	if id == nil {
		id = str("")
	}
	path := []pair{{"item_id", id}, at}
	w.path = path
	switch item.get("type").text() {
	case "function_call":
		w.text("response.function_call_arguments", "arguments", item.get("arguments"))
	case "custom_tool_call":
		w.text("response.custom_tool_call_input", "input", item.get("input"))
	case "reasoning":
		for i, part := range item.get("summary").elements() {
			w.path = append(path[:2:2], pair{"summary_index", number(strconv.Itoa(i))})
			w.part("response.reasoning_summary_part", "response.reasoning_summary_text", "text", part)
		}
		w.parts(path, item)
	case "message":
		w.parts(path, item)
	}
}

func (w *responseWriter) parts(path []pair, item *node) {
	for i, part := range item.get("content").elements() {
		w.path = append(path[:2:2], pair{"content_index", number(strconv.Itoa(i))})
		switch part.get("type").text() {
		case "refusal":
			w.part("response.content_part", "response.refusal", "refusal", part)
		case "reasoning_text":
			w.part("response.content_part", "response.reasoning_text", "text", part)
		default:
			w.part("response.content_part", "response.output_text", "text", part)
		}
	}
}

// part writes a part that holds a text under key.
func (w *responseWriter) part(partKind, textKind, key string, part *node) {
	shell := part.without()
	shell.set(key, str(""))
	w.event(partKind+".added", "part", shell)
	w.text(textKind, key, part.get(key))
	w.event(partKind+".done", "part", part)
}

func (w *responseWriter) text(kind, key string, text *node) {
	if text == nil {
		text = str("")
	}
	var more []pair
	if kind == "response.output_text" {
		more = []pair{{"logprobs", array()}}
	}
	if text.text() != "" {
		w.event(kind+".delta", "delta", text, more...)
	}
	w.event(kind+".done", key, text, more...)
}
