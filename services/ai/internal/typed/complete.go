package typed

import (
	"bytes"

	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
)

// zeros says which numbers the caller set to zero.
type zeros struct{ temperature, topP bool }

// complete adds what go-openai omits from a body because it is a zero value in Go: a temperature or top_p of 0, and the
// empty content of a message, such as the result of a tool without output.
func (z zeros) complete(body []byte) []byte {
	var out bytes.Buffer
	out.WriteByte('{')
	if z.temperature {
		out.WriteString(`"temperature":0,`)
	}
	if z.topP {
		out.WriteString(`"top_p":0,`)
	}
	kept := 1 // after the opening brace, which go-openai writes first
	for _, at := range withoutContent(body) {
		out.Write(body[kept:at])
		out.WriteString(`"content":"",`)
		kept = at
	}
	out.Write(body[kept:])
	return out.Bytes()
}

// withoutContent returns the offsets of the first members of messages that have neither content nor tool calls.
func withoutContent(body []byte) (places []int) {
	c := jsonscan.New(body)
	for key := range c.Members() {
		if string(key) != "messages" {
			c.Skip()
			continue
		}
		for range c.Elements() {
			if place, empty := emptyMessage(&c); empty {
				places = append(places, place)
			}
		}
	}
	return places
}

func emptyMessage(c *jsonscan.Cursor) (place int, empty bool) {
	place, empty = c.Pos()+1, true // after the brace
	for key := range c.Members() {
		if k := string(key); k == "content" || k == "tool_calls" {
			empty = false
		}
		c.Skip()
	}
	return place, empty
}
