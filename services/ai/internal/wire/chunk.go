package wire

import (
	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
	"github.com/trivet-dev/trivet/services/ai/internal/tokens"
)

// Kind says what kind of text a piece is. Texts of different kinds never run together.
type Kind uint8

// The kinds of pieces.
const (
	Content Kind = iota
	Refusal
	Reasoning
	ToolName
	ToolArguments
)

// Piece is a bit of produced text. It lies in the chunk.
type Piece struct {
	// Choice is the answer's index, Tool the call's within it.
	Choice, Tool int64
	// Kind is the kind of text.
	Kind Kind
	// Raw is the inside of a JSON string; Escaped tells that it holds escapes, see jsonscan.Unescape.
	Raw     []byte
	Escaped bool
}

// Chunk is what Trivet needs to know of one data event of a stream. The zero value is ready, and may be used for one
// chunk after another; what it holds is valid as long as the data of the last Read.
type Chunk struct {
	// ID is the provider's id of the answer.
	ID []byte
	// Choices is how many choices the chunk has a part of.
	Choices int
	// Usage is what the provider counted; only when HasUsage.
	Usage    tokens.Usage
	HasUsage bool
	// Error is the error that the provider sends in place of the rest, as JSON; nil when it is none.
	Error []byte
	// Pieces are the texts of the chunk.
	Pieces []Piece
}

// Read reads one chunk. It reports false for what is not a JSON object.
func (k *Chunk) Read(data []byte) bool {
	*k = Chunk{Pieces: k.Pieces[:0]}
	c := jsonscan.New(data)
	if !c.EnterObject() {
		return false
	}
	for n := 0; ; n++ {
		key, ok := c.Member(n)
		if !ok {
			return c.End() == nil
		}
		switch string(key) {
		case "id":
			k.ID = text(&c)
		case "choices":
			k.choices(&c)
		case "usage":
			if c.Kind() == jsonscan.Null {
				c.Skip()
				continue
			}
			k.Usage, k.HasUsage = readUsage(&c)
		case "error":
			if raw := c.Raw(); string(raw) != "null" {
				k.Error = raw
			}
		default:
			c.Skip()
		}
	}
}

func (k *Chunk) choices(c *jsonscan.Cursor) {
	if c.Kind() != jsonscan.Array {
		c.Skip()
		return
	}
	c.EnterArray()
	for ; c.Element(k.Choices); k.Choices++ {
		k.choice(c)
	}
}

// choice reads one choice. Its index may come last, so it is written into the pieces at the end.
func (k *Chunk) choice(c *jsonscan.Cursor) {
	if c.Kind() != jsonscan.Object {
		c.Skip()
		return
	}
	first, index := len(k.Pieces), int64(0)
	c.EnterObject()
	for n := 0; ; n++ {
		key, ok := c.Member(n)
		if !ok {
			break
		}
		switch string(key) {
		case "index":
			index = count(c)
		case "delta", "message":
			k.delta(c)
		default:
			c.Skip()
		}
	}
	for i := first; i < len(k.Pieces); i++ {
		k.Pieces[i].Choice = index
	}
}

func (k *Chunk) delta(c *jsonscan.Cursor) {
	if c.Kind() != jsonscan.Object {
		c.Skip()
		return
	}
	c.EnterObject()
	for n := 0; ; n++ {
		key, ok := c.Member(n)
		if !ok {
			return
		}
		switch string(key) {
		case "content":
			k.piece(c, Content)
		case "refusal":
			k.piece(c, Refusal)
		case "reasoning_content", "reasoning":
			k.piece(c, Reasoning)
		case "tool_calls":
			k.toolCalls(c)
		case "function_call":
			k.function(c)
		default:
			c.Skip()
		}
	}
}

func (k *Chunk) toolCalls(c *jsonscan.Cursor) {
	if c.Kind() != jsonscan.Array {
		c.Skip()
		return
	}
	c.EnterArray()
	for n := 0; c.Element(n); n++ {
		k.toolCall(c, int64(n))
	}
}

func (k *Chunk) toolCall(c *jsonscan.Cursor, index int64) {
	if c.Kind() != jsonscan.Object {
		c.Skip()
		return
	}
	first := len(k.Pieces)
	c.EnterObject()
	for n := 0; ; n++ {
		key, ok := c.Member(n)
		if !ok {
			break
		}
		switch string(key) {
		case "index":
			index = count(c)
		case "function":
			k.function(c)
		default:
			c.Skip()
		}
	}
	for i := first; i < len(k.Pieces); i++ {
		k.Pieces[i].Tool = index
	}
}

func (k *Chunk) function(c *jsonscan.Cursor) {
	if c.Kind() != jsonscan.Object {
		c.Skip()
		return
	}
	c.EnterObject()
	for n := 0; ; n++ {
		key, ok := c.Member(n)
		if !ok {
			return
		}
		switch string(key) {
		case "name":
			k.piece(c, ToolName)
		case "arguments":
			k.piece(c, ToolArguments)
		default:
			c.Skip()
		}
	}
}

func (k *Chunk) piece(c *jsonscan.Cursor, kind Kind) {
	if c.Kind() != jsonscan.String {
		c.Skip()
		return
	}
	if raw, escaped := c.String(); len(raw) > 0 {
		k.Pieces = append(k.Pieces, Piece{Kind: kind, Raw: raw, Escaped: escaped})
	}
}

// count passes a value and returns it when it is a whole number, else 0.
func count(c *jsonscan.Cursor) int64 {
	if c.Kind() != jsonscan.Number {
		c.Skip()
		return 0
	}
	n, _ := c.Int()
	return n
}
