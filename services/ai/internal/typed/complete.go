package typed

import (
	"bytes"
	"strconv"

	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
)

// numbers are those that go-openai cannot carry: it omits a zero, and keeps 32 bits of the others.
type numbers struct{ temperature, topP *float64 }

// complete writes into a body what go-openai lost or omitted because it is a zero value in Go: the exact temperature and
// top_p, and the empty content of a message, such as the result of a tool without output.
func (n numbers) complete(body []byte) []byte {
	var out bytes.Buffer
	out.WriteByte('{')
	n.write(&out)
	kept := 1 // after the opening brace, which go-openai writes first
	for _, e := range edits(body) {
		out.Write(body[kept:e.start])
		out.WriteString(e.text)
		kept = e.end
	}
	out.Write(body[kept:])
	return out.Bytes()
}

func (n numbers) write(out *bytes.Buffer) {
	for _, field := range [...]struct {
		name  string
		value *float64
	}{{"temperature", n.temperature}, {"top_p", n.topP}} {
		if field.value != nil {
			out.WriteString(`"` + field.name + `":` + strconv.FormatFloat(*field.value, 'g', -1, 64) + ",")
		}
	}
}

// edit replaces the bytes from start to end.
type edit struct {
	start, end int
	text       string
}

// edits are what complete changes: go-openai's own temperature and top_p go, and the content of messages that have
// neither content nor tool calls comes.
func edits(body []byte) (all []edit) {
	c := jsonscan.New(body)
	start := c.Pos() + 1
	for key := range c.Members() {
		switch string(key) {
		case "messages":
			for range c.Elements() {
				if place, empty := emptyMessage(&c); empty {
					all = append(all, edit{place, place, `"content":"",`})
				}
			}
		case "temperature", "top_p": // never first: the model is
			c.Skip()
			all = append(all, edit{start, c.Offset(), ""})
		default:
			c.Skip()
		}
		start = c.Offset() // the comma before the next member
	}
	return all
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
