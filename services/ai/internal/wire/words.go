package wire

import "github.com/trivet-dev/trivet/services/ai/internal/jsonscan"

// Words passes the content of a message and appends what the model says to words, and what it thinks to thoughts, each as the
// inside of a JSON string. Content is a text, a part with a text or with thoughts, or a list of them. A number or a boolean is
// what a text of JSON alone was read as.
func Words(words, thoughts []byte, c *jsonscan.Cursor) (w, t []byte) {
	if kind := c.Kind(); kind == jsonscan.Number || kind == jsonscan.Bool {
		return append(words, c.Raw()...), thoughts
	}
	return say(words, thoughts, c, Words)
}

// Texts is Words for other members, such as a refusal, whose numbers and booleans are not said.
func Texts(words, thoughts []byte, c *jsonscan.Cursor) (w, t []byte) {
	return say(words, thoughts, c, Texts)
}

// say appends what a value says; read reads what lies within.
func say(words, thoughts []byte, c *jsonscan.Cursor, read func(words, thoughts []byte, c *jsonscan.Cursor) (w, t []byte)) (w, t []byte) {
	switch c.Kind() {
	case jsonscan.String:
		raw, _ := c.String()
		words = append(words, raw...)
	case jsonscan.Array:
		for range c.Elements() {
			words, thoughts = read(words, thoughts, c)
		}
	case jsonscan.Object:
		for key := range c.Members() {
			switch {
			case string(key) == "text", string(key) == "value":
				words, thoughts = read(words, thoughts, c)
			case string(key) == "refusal":
				words, thoughts = Texts(words, thoughts, c)
			case isReasoning(key):
				thoughts = Thoughts(thoughts, c)
			default:
				c.Skip()
			}
		}
	default:
		c.Skip()
	}
	return words, thoughts
}

// Thoughts passes what a model thinks and appends its texts, as the inside of a JSON string. It is a text, an object with texts, or a
// list of them.
func Thoughts(all []byte, c *jsonscan.Cursor) []byte {
	switch c.Kind() {
	case jsonscan.String:
		raw, _ := c.String()
		return append(all, raw...)
	case jsonscan.Array:
		for range c.Elements() {
			all = Thoughts(all, c)
		}
	case jsonscan.Object:
		for key := range c.Members() {
			switch {
			case string(key) == "text", string(key) == "content", string(key) == "summary", isReasoning(key):
				all = Thoughts(all, c)
			default:
				c.Skip()
			}
		}
	default:
		c.Skip()
	}
	return all
}

// Thought is what a turn has of thoughts. Some providers send the same under several names; the longest counts.
type Thought []byte

// Take reads a member of a turn if it holds thoughts, and reports whether it does.
func (t *Thought) Take(key []byte, c *jsonscan.Cursor) bool {
	if !isReasoning(key) {
		return false
	}
	if other := Thoughts(nil, c); len(other) > len(*t) {
		*t = other
	}
	return true
}
