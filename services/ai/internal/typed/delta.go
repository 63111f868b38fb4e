package typed

import (
	"cmp"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

// pieces collects what a stream, or an answer in one piece, says of its first choice. It takes every form that providers use: texts in lists,
// arguments that are objects, tool calls without an index.
type pieces struct {
	id, model, finish string
	content           halves
	thoughts          halves
	tools             []*toolPieces
	whole             bool // the answer is in one piece: its first choice counts, and each tool call is whole
}

// toolPieces is one tool call.
type toolPieces struct {
	index     int32
	id, name  string
	arguments halves
	said      []byte // the arguments so far, as the inside of a JSON string; only of a call without an index
}

// add takes the data of an event, which is JSON, and adds to out what is new.
func (p *pieces) add(out *aiv1.ChatStreamResponse, data []byte) {
	c := jsonscan.New(data)
	for key := range c.Members() {
		switch string(key) {
		case "id":
			first(&p.id, &c)
		case "model":
			first(&p.model, &c)
		case "choices":
			n := 0
			for range c.Elements() {
				if raw := c.Raw(); !p.whole || n == 0 {
					p.choice(out, raw)
				}
				n++
			}
		default:
			c.Skip()
		}
	}
}

// choice reads a choice twice, because its index may come last.
func (p *pieces) choice(out *aiv1.ChatStreamResponse, raw []byte) {
	c := jsonscan.New(raw)
	for key := range c.Members() {
		if string(key) == "index" && number(&c, 0) != 0 && !p.whole {
			return
		}
		if string(key) != "index" {
			c.Skip()
		}
	}
	var delta, message, words []byte
	c = jsonscan.New(raw)
	for key := range c.Members() {
		switch string(key) {
		case "delta":
			delta = c.Raw()
		case "message":
			message = c.Raw()
		case "text": // of a server that takes a chat for a completion
			words = c.Raw()
		case "finish_reason":
			if reason := text(&c); reason != "" {
				p.finish = reason
			}
		default:
			c.Skip()
		}
	}
	if p.whole {
		delta, message = message, delta
	}
	if len(delta) == 0 || string(delta) == "null" || p.whole && string(delta) == "{}" { // an answer in one piece has a message, a chunk has a delta
		delta = message
	}
	c = jsonscan.New(delta)
	if said := len(delta) > 0 && p.delta(out, &c); !said && len(words) > 0 { // some servers say the same in both
		c = jsonscan.New(words)
		p.say(out, &c, wire.Texts)
	}
}

// delta reads a delta or a message, and reports whether it has a content or a refusal.
func (p *pieces) delta(out *aiv1.ChatStreamResponse, c *jsonscan.Cursor) (said bool) {
	if c.Kind() != jsonscan.Object { // a text alone
		return p.say(out, c, wire.Texts)
	}
	var thought wire.Thought
	var calls, old []toolPart
	for key := range c.Members() {
		switch {
		case string(key) == "content":
			said = p.say(out, c, wire.Words) || said
		case string(key) == "refusal":
			said = p.say(out, c, wire.Texts) || said
		case string(key) == "tool_calls":
			calls = readTools(calls, c)
		case string(key) == "function_call":
			old = readTools(old, c)
		case thought.Take(key, c):
		default:
			c.Skip()
		}
	}
	for _, part := range old {
		if !slices.ContainsFunc(calls, part.same) { // some servers say a call in both ways
			calls = append(calls, part)
		}
	}
	for _, part := range calls {
		p.tool(out, part)
	}
	p.think(out, thought)
	return said
}

// say adds what read finds in a value, whatever its form, to what the model says. It reports whether it is anything.
func (p *pieces) say(out *aiv1.ChatStreamResponse, c *jsonscan.Cursor, read func(words, thoughts []byte, c *jsonscan.Cursor) (w, t []byte)) (said bool) {
	words, thoughts := read(nil, nil, c)
	out.Delta += p.content.text(words)
	p.think(out, thoughts)
	return len(words) > 0
}

// think adds the inside of a JSON string to what the model thinks.
func (p *pieces) think(out *aiv1.ChatStreamResponse, raw []byte) {
	if len(raw) == 0 {
		return
	}
	if text := p.thoughts.text(raw); text != "" {
		out.Reasoning = proto.String(out.GetReasoning() + text)
	}
}

// tool adds a part of a call.
func (p *pieces) tool(out *aiv1.ChatStreamResponse, part toolPart) {
	call := p.call(part.index, part.id, part.name)
	piece := &aiv1.ToolCallDelta{Index: call.index, Id: part.id, Name: part.name}
	if part.index < 0 && part.name == call.name { // repeated
		piece.Name = ""
	}
	call.name = cmp.Or(call.name, part.name)
	piece.Arguments = call.arguments.text(part.arguments)
	if part.index < 0 && !p.whole {
		call.said = append(call.said, part.arguments...)
	}
	if piece.GetId() != "" || piece.GetName() != "" || piece.GetArguments() != "" {
		out.ToolCalls = append(out.ToolCalls, piece)
	}
}

// call finds the call that a piece belongs to: by its index; without one by its id; without either it is the last, if the piece has no name, or
// repeats the name of a call whose arguments are incomplete. Any other piece begins a call.
func (p *pieces) call(index int32, id, name string) *toolPieces {
	if p.whole {
		added := &toolPieces{index: int32(len(p.tools))}
		p.tools = append(p.tools, added)
		return added
	}
	for _, known := range p.tools {
		if index >= 0 && known.index == index || index < 0 && id != "" && known.id == id {
			return known
		}
	}
	if index < 0 && id == "" && len(p.tools) > 0 {
		if last := p.tools[len(p.tools)-1]; name == "" || name == last.name && jsonscan.Incomplete(last.said) {
			return last
		}
	}
	if index < 0 {
		for _, known := range p.tools {
			index = max(index, known.index)
		}
		index++
	}
	added := &toolPieces{index: index, id: id}
	p.tools = append(p.tools, added)
	return added
}

// rest adds the characters that never became whole.
func (p *pieces) rest(out *aiv1.ChatStreamResponse) {
	out.Delta += p.content.rest()
	if left := p.thoughts.rest(); left != "" {
		out.Reasoning = proto.String(out.GetReasoning() + left)
	}
	for _, call := range p.tools {
		if left := call.arguments.rest(); left != "" {
			out.ToolCalls = append(out.ToolCalls, &aiv1.ToolCallDelta{Index: call.index, Arguments: left})
		}
	}
}

func text(c *jsonscan.Cursor) string {
	if c.Kind() != jsonscan.String {
		c.Skip()
		return ""
	}
	raw, _ := c.String()
	return valid(jsonscan.Unescape(nil, raw))
}

// valid returns a text without bytes that are not UTF-8, which a message cannot carry.
func valid(text []byte) string { return strings.ToValidUTF8(string(text), "\ufffd") }

// first takes a name, which some providers write as a number, unless there is one.
func first(into *string, c *jsonscan.Cursor) {
	value := ""
	if c.Kind() == jsonscan.Number {
		value = string(c.Raw())
	} else {
		value = text(c)
	}
	if *into == "" {
		*into = value
	}
}

// number passes a value and returns it when it is a whole number that fits, which may be written as a text, else otherwise.
func number(c *jsonscan.Cursor, otherwise int32) int32 {
	if n, ok := wire.Index(c); ok {
		return n
	}
	return otherwise
}
