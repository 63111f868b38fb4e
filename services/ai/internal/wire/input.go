package wire

import (
	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
)

// parts counts what a conversation holds besides text.
type parts struct {
	messages int64
	calls    int64 // calls of tools
	images   int64
	files    int64
	audio    int64 // bytes of base64
	raw      int64 // bytes of the body that are not text: images, audio and files
}

// takeMessages walks the messages and measures what is not text.
func (r *Request) takeMessages(c *jsonscan.Cursor) error {
	if c.Kind() != jsonscan.Array {
		c.Skip()
		return invalid("messages", "must be a list of messages")
	}
	for range c.Elements() {
		r.parts.messages++
		r.parts.message(c)
	}
	if r.parts.messages == 0 {
		return invalid("messages", "is empty")
	}
	return nil
}

func (p *parts) message(c *jsonscan.Cursor) {
	for key := range c.Members() {
		kind := c.Kind()
		switch {
		case string(key) == "content" && kind == jsonscan.Array:
			for range c.Elements() {
				p.part(c)
			}
		case string(key) == "tool_calls" && kind == jsonscan.Array:
			for range c.Elements() {
				p.calls++
				c.Skip()
			}
		case string(key) == "audio" && kind == jsonscan.Object: // names an earlier answer that the provider keeps
			p.files++
			c.Skip()
		default:
			c.Skip()
		}
	}
}

// part measures a content part. Only the members that carry the bytes of an image, a sound or a file are not text.
func (p *parts) part(c *jsonscan.Cursor) {
	for key := range c.Members() {
		switch string(key) {
		case "image_url":
			p.raw += payload(c, "url", func(int64) { p.images++ })
		case "input_audio":
			p.raw += payload(c, "data", func(size int64) { p.audio += size })
		case "file":
			p.files++
			p.raw += int64(len(c.Raw()))
		default:
			c.Skip()
		}
	}
}

// payload passes the value of a content part's member: the payload itself, or an object that holds it under name. It
// tells found the size of each payload and returns the size of all.
func payload(c *jsonscan.Cursor, name string, found func(size int64)) (sum int64) {
	if c.Kind() != jsonscan.Object {
		size := int64(len(c.Raw()))
		found(size)
		return size
	}
	for key := range c.Members() {
		if string(key) != name {
			c.Skip()
			continue
		}
		size := int64(len(c.Raw()))
		found(size)
		sum += size
	}
	return sum
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
		return invalid("input", "must be a string or a list of strings")
	}
	count := 0
	for range c.Elements() {
		count++
		c.Skip()
	}
	if count == 0 {
		return invalid("input", "is empty")
	}
	return nil
}

// takePrompt counts the prompts of a completion: a text, token numbers, or a list of either.
func (r *Request) takePrompt(c *jsonscan.Cursor) error {
	switch c.Kind() {
	case jsonscan.String:
		r.prompts = 1
		c.Skip()
		return nil
	case jsonscan.Array:
	default:
		c.Skip()
		return invalid("prompt", "must be a string, a list of strings, or a list of token numbers")
	}
	var tokens, others int64
	for range c.Elements() {
		if c.Kind() == jsonscan.Number {
			tokens++
		} else {
			others++
		}
		c.Skip()
	}
	switch {
	case tokens+others == 0:
		return invalid("prompt", "is empty")
	case tokens > 0 && others > 0:
		return invalid("prompt", "must not mix token numbers with other prompts")
	}
	r.prompts = max(others, min(tokens, 1))
	return nil
}
