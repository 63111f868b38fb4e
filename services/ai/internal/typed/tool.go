package typed

import (
	"bytes"

	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
)

// toolPart is a part of a tool call, or all of it.
type toolPart struct {
	index     int32 // -1 for none
	id, name  string
	arguments []byte // as the inside of a JSON string
}

// same reports whether two parts have the same name and arguments.
func (t toolPart) same(other toolPart) bool {
	return t.name == other.name && bytes.Equal(t.arguments, other.arguments)
}

// readTools passes a list of calls, or one of them, and adds the parts that say something.
func readTools(all []toolPart, c *jsonscan.Cursor) []toolPart {
	if c.Kind() == jsonscan.Array {
		for range c.Elements() {
			all = readTool(all, c)
		}
		return all
	}
	return readTool(all, c)
}

func readTool(all []toolPart, c *jsonscan.Cursor) []toolPart {
	part := toolPart{index: -1}
	take := func(key []byte) {
		switch string(key) {
		case "name":
			part.name = text(c)
		case "arguments":
			part.arguments = append(part.arguments, inside(c)...)
		default:
			c.Skip()
		}
	}
	for key := range c.Members() {
		switch string(key) {
		case "index":
			part.index = number(c, -1)
		case "id":
			part.id = text(c)
		case "function":
			for key := range c.Members() {
				take(key)
			}
		default: // some servers have the function's members beside the id
			take(key)
		}
	}
	if part.id == "" && part.name == "" && len(part.arguments) == 0 {
		return all
	}
	return append(all, part)
}

// inside passes a value and returns the inside of the JSON string that holds it: arguments are a text of JSON, and some
// providers send the JSON itself.
func inside(c *jsonscan.Cursor) []byte {
	switch c.Kind() {
	case jsonscan.String:
		raw, _ := c.String()
		return raw
	case jsonscan.Object, jsonscan.Array:
		return quoteInside(c.Raw())
	default:
		c.Skip()
		return nil
	}
}

func quoteInside(raw []byte) (out []byte) {
	for _, b := range raw {
		switch b {
		case '"', '\\':
			out = append(out, '\\', b)
		case '\n', '\r', '\t': // white space between values
			out = append(out, ' ')
		default:
			out = append(out, b)
		}
	}
	return out
}
