package translate

import (
	"encoding/json"
	"strconv"
)

// kind is the kind of an item of the output.
type kind uint8

const (
	reasoning kind = iota
	text
	refusal
	function
)

// item is an item of the output. A text and a refusal are messages of one part.
type item struct {
	kind  kind
	index int // in the output
	tool  int // the index of a function's call in the chat
	// call and name are a function's, as JSON.
	call, name json.RawMessage
	// body is the text, or the arguments, as the inside of a JSON string: the escapes of one character may come in two
	// chunks.
	body   []byte
	closed bool
}

func (it *item) id(a *answer) json.RawMessage {
	prefix := map[kind]string{reasoning: "rs_", text: "msg_", refusal: "msg_", function: "fc_"}[it.kind]
	return raw(a.name(prefix, strconv.Itoa(it.index)))
}

func (it *item) quoted(full bool) json.RawMessage {
	if !full {
		return json.RawMessage(`""`)
	}
	return append(append([]byte{'"'}, it.body...), '"')
}

// write writes the item, full or as it begins.
func (it *item) write(a *answer, full bool) json.RawMessage {
	status := "in_progress"
	if full {
		status = "completed"
		if s, _ := a.status(); s == "incomplete" && it.index == len(a.items)-1 {
			status = s
		}
	}
	switch it.kind {
	case function:
		return write(member{"id", it.id(a)}, member{"type", raw("function_call")}, member{"status", raw(status)}, member{"arguments", it.quoted(full)},
			member{"call_id", it.call}, member{"name", it.name})
	case reasoning:
		return write(member{"id", it.id(a)}, member{"type", raw("reasoning")}, member{"summary", empty}, member{"content", it.parts(full)}, member{"status", raw(status)})
	default:
		return write(member{"id", it.id(a)}, member{"type", raw("message")}, member{"status", raw(status)}, member{"content", it.parts(full)}, member{"role", raw("assistant")})
	}
}

func (it *item) parts(full bool) json.RawMessage {
	if !full {
		return empty
	}
	return append(append([]byte{'['}, it.part(true)...), ']')
}

// part writes the content part of a message or of reasoning.
func (it *item) part(full bool) json.RawMessage {
	switch it.kind {
	case refusal:
		return write(member{"type", raw("refusal")}, member{"refusal", it.quoted(full)})
	case reasoning:
		return write(member{"type", raw("reasoning_text")}, member{"text", it.quoted(full)})
	default:
		return write(member{"type", raw("output_text")}, member{"annotations", empty}, member{"logprobs", empty}, member{"text", it.quoted(full)})
	}
}

// open adds an item to the output.
func (a *answer) open(k kind, tool int) *item {
	it := &item{kind: k, tool: tool, index: len(a.items), call: raw(""), name: raw("")}
	a.items = append(a.items, it)
	return it
}
