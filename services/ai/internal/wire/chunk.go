package wire

import (
	"slices"

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
	// Other is text in a member that Trivet does not know, such as an audio's transcript.
	Other
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
	// Finished are the choices that end with this chunk.
	Finished ChoiceSet
	// Reported is what the provider counted; only when HasUsage.
	Reported tokens.Reported
	HasUsage bool
	// Error is the error that the provider sends in place of the rest, as JSON; nil when there is none.
	Error []byte
	// Pieces are the texts of the chunk.
	Pieces []Piece
	// Reasoned tells that the chunk holds reasoning.
	Reasoned bool
	// Opaque tells that the chunk holds output that is not text, such as audio.
	Opaque bool
}

// ChoiceSet is a set of choices by their index. Indexes that no request can have are left out.
type ChoiceSet [MaxChoices / 64]uint64

// Add puts a choice into the set.
func (s *ChoiceSet) Add(index int64) {
	if index >= 0 && index < MaxChoices {
		s[index/64] |= 1 << (index % 64)
	}
}

// Join puts all choices of another set into the set.
func (s *ChoiceSet) Join(other ChoiceSet) {
	for i := range s {
		s[i] |= other[i]
	}
}

// Read reads one chunk. It reports false for what is not a JSON object.
func (k *Chunk) Read(data []byte) bool {
	*k = Chunk{Pieces: k.Pieces[:0]}
	c := jsonscan.New(data)
	if c.Kind() != jsonscan.Object {
		return false
	}
	for key := range c.Members() {
		switch string(key) {
		case "id":
			k.ID = text(&c)
		case "choices":
			for range c.Elements() {
				k.choice(&c)
				k.Choices++
			}
		case "usage":
			k.Reported, k.HasUsage = readUsage(&c)
		case "error":
			if raw := c.Raw(); string(raw) != "null" {
				k.Error = raw
			}
		default:
			c.Skip()
		}
	}
	return c.End() == nil
}

// choice reads one choice. Its index may come last, so it is written into the pieces at the end.
func (k *Chunk) choice(c *jsonscan.Cursor) {
	first, index, finished := len(k.Pieces), int64(0), false
	for key := range c.Members() {
		switch string(key) {
		case "index":
			index = count(c)
		case "delta", "message":
			k.delta(c)
		case "text":
			k.value(c, Content)
		case "finish_reason":
			finished = c.Kind() == jsonscan.String
			c.Skip()
		default:
			c.Skip()
		}
	}
	for i := first; i < len(k.Pieces); i++ {
		k.Pieces[i].Choice = index
	}
	if finished {
		k.Finished.Add(index)
	}
}

// delta reads what a choice gained. Some providers send their reasoning in two members at once; the longer one counts.
func (k *Chunk) delta(c *jsonscan.Cursor) {
	var reasoning [2]int // from and to in Pieces
	for key := range c.Members() {
		switch {
		case string(key) == "content":
			k.value(c, Content)
		case string(key) == "refusal":
			k.value(c, Refusal)
		case string(key) == "tool_calls":
			for n := range c.Elements() {
				k.toolCall(c, int64(n))
			}
		case string(key) == "function_call":
			k.function(c)
		case string(key) == "audio":
			k.audio(c)
		case isReasoning(key):
			from := len(k.Pieces)
			k.value(c, Reasoning)
			k.Reasoned = k.Reasoned || len(k.Pieces) > from
			reasoning = k.longer(reasoning, [2]int{from, len(k.Pieces)})
		case isLabel(key):
			c.Skip()
		default:
			k.value(c, Other)
		}
	}
}

// longer drops the shorter one of two runs of pieces and returns where the other one stands. The second is the last.
func (k *Chunk) longer(a, b [2]int) [2]int {
	size := func(run [2]int) (sum int) {
		for _, p := range k.Pieces[run[0]:run[1]] {
			sum += len(p.Raw)
		}
		return sum
	}
	switch {
	case a[0] == a[1]:
		return b
	case size(a) >= size(b):
		k.Pieces = k.Pieces[:b[0]]
		return a
	default:
		k.Pieces = slices.Delete(k.Pieces, a[0], a[1])
		return [2]int{b[0] - (a[1] - a[0]), b[1] - (a[1] - a[0])}
	}
}

// isReasoning reports whether a member holds what the model thinks.
func isReasoning(key []byte) bool {
	switch string(key) {
	case "reasoning", "reasoning_content", "reasoning_text", "reasoning_details", "thinking", "thinking_blocks":
		return true
	default:
		return false
	}
}

// isLabel reports whether a member holds no produced text: names of things, and copies of what others wrote.
func isLabel(key []byte) bool {
	switch string(key) {
	case "role", "id", "type", "object", "index", "format", "annotations", "citations", "signature", "encrypted_content", "data", "expires_at":
		return true
	default:
		return false
	}
}

// audio reads the transcript. The sound itself has tokens that nobody can count here.
func (k *Chunk) audio(c *jsonscan.Cursor) {
	for key := range c.Members() {
		switch string(key) {
		case "transcript":
			k.value(c, Other)
		case "data":
			k.Opaque = true
			c.Skip()
		default:
			c.Skip()
		}
	}
}

func (k *Chunk) toolCall(c *jsonscan.Cursor, index int64) {
	first := len(k.Pieces)
	for key := range c.Members() {
		switch {
		case string(key) == "index":
			index = count(c)
		case string(key) == "function", string(key) == "custom":
			k.function(c)
		case isLabel(key):
			c.Skip()
		default:
			k.value(c, Other)
		}
	}
	for i := first; i < len(k.Pieces); i++ {
		k.Pieces[i].Tool = index
	}
}

func (k *Chunk) function(c *jsonscan.Cursor) {
	for key := range c.Members() {
		switch {
		case string(key) == "name":
			k.value(c, ToolName)
		case c.Kind() == jsonscan.Object: // arguments that are not written as a text
			k.Pieces = append(k.Pieces, Piece{Kind: ToolArguments, Raw: c.Raw()})
		default:
			k.value(c, ToolArguments)
		}
	}
}

// value takes every text of a value, however deep in lists and objects it lies.
func (k *Chunk) value(c *jsonscan.Cursor, kind Kind) {
	switch c.Kind() {
	case jsonscan.String:
		if raw, escaped := c.String(); len(raw) > 0 {
			k.Pieces = append(k.Pieces, Piece{Kind: kind, Raw: raw, Escaped: escaped})
		}
	case jsonscan.Array:
		for range c.Elements() {
			k.value(c, kind)
		}
	case jsonscan.Object:
		for key := range c.Members() {
			if isLabel(key) {
				c.Skip()
				continue
			}
			k.Reasoned = k.Reasoned || isReasoning(key)
			k.value(c, kind)
		}
	default:
		c.Skip()
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
