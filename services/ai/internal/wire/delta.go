package wire

import (
	"bytes"
	"math"
	"slices"
	"strconv"

	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
)

// delta reads what a choice gained. Some providers send their reasoning in two members at once; the longer one counts.
func (k *Chunk) delta(c *jsonscan.Cursor) {
	if c.Kind() != jsonscan.Object { // a text alone
		k.value(c, Content)
		return
	}
	var reasoning [2]int // from and to in Pieces
	first, old := len(k.Pieces), []byte(nil)
	for key := range c.Members() {
		switch {
		case string(key) == "content":
			if kind := c.Kind(); kind == jsonscan.Number || kind == jsonscan.Bool { // what a text of JSON alone was read as, see Words
				k.Pieces = append(k.Pieces, Piece{Kind: Content, Raw: c.Raw()})
			} else {
				k.value(c, Content)
			}
		case string(key) == "refusal":
			k.value(c, Refusal)
		case string(key) == "tool_calls" && c.Kind() == jsonscan.Object: // one of them, without a list
			k.toolCall(c, 0)
		case string(key) == "tool_calls":
			for n := range c.Elements() {
				k.toolCall(c, int64(n))
			}
		case string(key) == "function_call":
			old = c.Raw()
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
	if old != nil {
		k.oldCall(old, first)
	}
}

// oldCall reads a function_call. Some servers say a call both there and in tool_calls, whose pieces begin at first; it counts once.
func (k *Chunk) oldCall(raw []byte, first int) {
	from := len(k.Pieces)
	c := jsonscan.New(raw)
	k.function(&c)
	call := k.Pieces[from:]
	for i := first; i+len(call) <= from; i++ {
		if slices.EqualFunc(call, k.Pieces[i:i+len(call)], func(a, b Piece) bool {
			return a.Kind == b.Kind && b.Tool == k.Pieces[i].Tool && bytes.Equal(a.Raw, b.Raw)
		}) {
			k.Pieces = k.Pieces[:from]
			return
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

// audio reads the transcript. The tokens of the sound itself cannot be counted here.
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

// count passes an index and returns it; 0 for anything else.
func count(c *jsonscan.Cursor) int64 {
	n, _ := Index(c)
	return int64(n)
}

// Index passes a value and returns it if it is a whole number from 0 that fits, or a text of one, as some providers write it.
func Index(c *jsonscan.Cursor) (n int32, ok bool) {
	switch c.Kind() {
	case jsonscan.Number:
		return indexOf(c.Raw())
	case jsonscan.String:
		raw, _ := c.String()
		return indexOf(raw)
	default:
		c.Skip()
		return 0, false
	}
}

func indexOf(text []byte) (n int32, ok bool) {
	if len(text) == 1 && text[0] >= '0' && text[0] <= '9' {
		return int32(text[0] - '0'), true
	}
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil || f < 0 || f > 1<<30 || f != math.Trunc(f) {
		return 0, false
	}
	return int32(f), true
}
