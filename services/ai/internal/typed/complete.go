package typed

import (
	"bytes"

	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
)

// zeros tells which numbers the caller set to zero.
type zeros struct{ temperature, topP bool }

// complete writes back what go-openai leaves out of a body because Go's zero value looks like nothing: a temperature
// or top_p of 0, and the empty text of a message, such as the result of a tool that has none.
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

// withoutContent returns where the first members stand of messages that have neither content nor calls of tools.
func withoutContent(body []byte) (places []int) {
	c := jsonscan.New(body)
	c.EnterObject()
	for n := 0; ; n++ {
		key, ok := c.Member(n)
		if !ok {
			return places
		}
		if string(key) != "messages" || c.Kind() != jsonscan.Array {
			c.Skip()
			continue
		}
		c.EnterArray()
		for n := 0; c.Element(n); n++ {
			if place, empty := emptyMessage(&c); empty {
				places = append(places, place)
			}
		}
	}
}

func emptyMessage(c *jsonscan.Cursor) (place int, empty bool) {
	c.EnterObject()
	place, empty = c.Offset(), true
	for n := 0; ; n++ {
		key, ok := c.Member(n)
		if !ok {
			return place, empty
		}
		if k := string(key); k == "content" || k == "tool_calls" {
			empty = false
		}
		c.Skip()
	}
}
