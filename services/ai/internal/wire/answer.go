package wire

import (
	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
	"github.com/trivet-dev/trivet/services/ai/internal/tokens"
)

// Answer is what Trivet needs to know of an answer that came in one piece.
type Answer struct {
	// ID is the provider's id of the answer; may be empty.
	ID string
	// Usage is what the provider counted; only when HasUsage.
	Usage    tokens.Usage
	HasUsage bool
}

// ReadAnswer reads the body of a good answer. It reports false for what is no answer to that endpoint: not JSON, or
// without choices or data.
func ReadAnswer(endpoint Endpoint, body []byte) (Answer, bool) {
	list := "choices"
	if endpoint == Embeddings {
		list = "data"
	}
	var a Answer
	c := jsonscan.New(body)
	found := false
	c.EnterObject()
	for n := 0; ; n++ {
		key, ok := c.Member(n)
		if !ok {
			break
		}
		switch string(key) {
		case "id":
			a.ID = string(text(&c))
		case "usage":
			a.Usage, a.HasUsage = readUsage(&c)
		case list:
			found = notEmpty(&c)
		default:
			c.Skip()
		}
	}
	return a, c.End() == nil && found
}

// notEmpty passes a value and reports whether it is a list with an element.
func notEmpty(c *jsonscan.Cursor) bool {
	if c.Kind() != jsonscan.Array {
		c.Skip()
		return false
	}
	c.EnterArray()
	count := 0
	for ; c.Element(count); count++ {
		c.Skip()
	}
	return count > 0
}

// text passes a value and returns it when it is a text, else nil.
func text(c *jsonscan.Cursor) []byte {
	if c.Kind() != jsonscan.String {
		c.Skip()
		return nil
	}
	raw, escaped := c.String()
	if escaped {
		return jsonscan.Unescape(nil, raw)
	}
	return raw
}

// readUsage reads the value of "usage"; false when it is null or says what can't be. An explicit 0 is believed.
func readUsage(c *jsonscan.Cursor) (u tokens.Usage, ok bool) {
	told := false
	number := func(into *int64) {
		if c.Kind() != jsonscan.Number {
			c.Skip()
			return
		}
		if n, whole := c.Int(); whole {
			*into, told = n, true
		} else {
			*into = -1 // not a count
		}
	}
	members(c, func(key []byte) {
		switch string(key) {
		case "prompt_tokens":
			number(&u.Input)
		case "completion_tokens":
			number(&u.Output)
		case "prompt_tokens_details":
			detail(c, "cached_tokens", func() { number(&u.Cached) })
		case "completion_tokens_details":
			detail(c, "reasoning_tokens", func() { number(&u.Reasoning) })
		default:
			c.Skip()
		}
	})
	if !told || !u.Valid() {
		return tokens.Usage{}, false
	}
	return u.Sane(), true
}

// members walks an object and calls visit for each member, which must consume the value; a value that is no object
// is skipped.
func members(c *jsonscan.Cursor, visit func(key []byte)) {
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
		visit(key)
	}
}

func detail(c *jsonscan.Cursor, name string, read func()) {
	members(c, func(key []byte) {
		if string(key) == name {
			read()
		} else {
			c.Skip()
		}
	})
}
