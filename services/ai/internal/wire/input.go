package wire

import (
	"bytes"

	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
)

// parts counts what a conversation holds besides text.
type parts struct {
	messages int64
	images   int64
	files    int64
	audio    int64 // bytes of base64
	raw      int64 // bytes of the body that these parts take, and that are no text
}

// takeMessages walks the turns and measures what is not text.
func (r *Request) takeMessages(c *jsonscan.Cursor) error {
	if c.Kind() != jsonscan.Array {
		c.Skip()
		return invalid("messages", "must be a list of messages")
	}
	c.EnterArray()
	for c.Element(int(r.parts.messages)) {
		r.parts.messages++
		r.parts.message(c)
	}
	if r.parts.messages == 0 {
		return invalid("messages", "is empty")
	}
	return nil
}

func (p *parts) message(c *jsonscan.Cursor) {
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
		p.member(c, key)
	}
}

func (p *parts) member(c *jsonscan.Cursor, key []byte) {
	kind := c.Kind()
	switch {
	case string(key) == "content" && kind == jsonscan.Array:
		c.EnterArray()
		for n := 0; c.Element(n); n++ {
			p.part(c)
		}
	case string(key) == "audio" && kind == jsonscan.Object: // names an earlier answer that the provider keeps
		p.files++
		c.Skip()
	default:
		c.Skip()
	}
}

func (p *parts) part(c *jsonscan.Cursor) {
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
		size := int64(len(c.Raw()))
		switch string(key) {
		case "image_url":
			p.images++
		case "input_audio":
			p.audio += size
		case "file":
			p.files++
		default:
			continue
		}
		p.raw += size
	}
}

// takeInput checks the input of an embeddings request: a text, a list of texts, or token numbers in either place.
func (r *Request) takeInput(c *jsonscan.Cursor) error {
	switch c.Kind() {
	case jsonscan.String:
		if raw, _ := c.String(); len(raw) == 0 {
			return invalid("input", "is empty")
		}
		return nil
	case jsonscan.Array:
	default:
		c.Skip()
		return invalid("input", "must be a text or a list of texts")
	}
	c.EnterArray()
	count := 0
	for ; c.Element(count); count++ {
		c.Skip()
	}
	if count == 0 {
		return invalid("input", "is empty")
	}
	return nil
}

// texts calls visit with every text that the provider turns into tokens, escapes resolved. The slice is reused.
func (r *Request) texts(visit func(text []byte)) {
	v := &visitor{visit: visit}
	for _, s := range []span{r.tools, r.functions, r.responseFormat} {
		if s.len() > 0 {
			visit(r.body[s.start:s.end]) // a schema is written much like this into the prompt
		}
	}
	if r.Endpoint == Embeddings {
		c := jsonscan.New(r.body[r.input.start:r.input.end])
		v.strings(&c)
		return
	}
	c := jsonscan.New(r.body[r.messages.start:r.messages.end])
	c.EnterArray()
	for n := 0; c.Element(n); n++ {
		v.object(&c, "content", "name", "refusal", "tool_calls", "function_call")
	}
}

type visitor struct {
	visit   func([]byte)
	scratch []byte
}

// object visits the members of those names, and skips the rest.
func (v *visitor) object(c *jsonscan.Cursor, names ...string) {
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
		if !contains(names, key) {
			c.Skip()
			continue
		}
		v.value(c)
	}
}

// value visits a text, the texts of content parts, or calls of tools.
func (v *visitor) value(c *jsonscan.Cursor) {
	switch c.Kind() {
	case jsonscan.String:
		v.text(c)
	case jsonscan.Array:
		c.EnterArray()
		for n := 0; c.Element(n); n++ {
			v.value(c)
		}
	case jsonscan.Object:
		v.object(c, "text", "refusal", "function", "name", "arguments")
	default:
		c.Skip()
	}
}

// strings visits every text of an embeddings input.
func (v *visitor) strings(c *jsonscan.Cursor) {
	switch c.Kind() {
	case jsonscan.String:
		v.text(c)
	case jsonscan.Array:
		c.EnterArray()
		for n := 0; c.Element(n); n++ {
			v.strings(c)
		}
	default:
		c.Skip()
	}
}

func (v *visitor) text(c *jsonscan.Cursor) {
	raw, escaped := c.String()
	if escaped {
		v.scratch = jsonscan.Unescape(v.scratch[:0], raw)
		raw = v.scratch
	}
	v.visit(raw)
}

func contains(names []string, key []byte) bool {
	for _, name := range names {
		if bytes.Equal(key, []byte(name)) {
			return true
		}
	}
	return false
}

// numbers counts the numbers in an embeddings input: each is a token.
func numbers(c *jsonscan.Cursor) (count int64) {
	switch c.Kind() {
	case jsonscan.Number:
		c.Skip()
		return 1
	case jsonscan.Array:
		c.EnterArray()
		for n := 0; c.Element(n); n++ {
			count += numbers(c)
		}
	default:
		c.Skip()
	}
	return count
}
