// Package form turns a chat completion into a stream of chunks, and such a stream into a completion, for providers that
// answer in the form that was not asked for. It keeps texts as the provider wrote them, escapes included, so that a
// character whose escapes come in two chunks is whole in the result.
package form

import (
	"encoding/json"
	"slices"

	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
)

// node is a JSON value.
type node struct {
	kind jsonscan.Kind
	// raw is the inside of a string, or the text of a number, true, false or null.
	raw []byte
	// keys and values are the members of an object in their order; values alone are the elements of an array.
	keys   []string
	values []*node
}

// parse reads a value. It reports false for what is not JSON.
func parse(data []byte) (*node, bool) {
	c := jsonscan.New(data)
	n := read(&c)
	return n, c.End() == nil
}

func read(c *jsonscan.Cursor) *node {
	n := &node{kind: c.Kind()}
	switch n.kind {
	case jsonscan.Object:
		for key := range c.Members() {
			n.keys = append(n.keys, string(key))
			n.values = append(n.values, read(c))
		}
	case jsonscan.Array:
		for range c.Elements() {
			n.values = append(n.values, read(c))
		}
	case jsonscan.String:
		raw, _ := c.String()
		n.raw = append([]byte(nil), raw...)
	default:
		n.raw = append([]byte(nil), c.Raw()...)
	}
	return n
}

// get returns a member of an object; nil when it has none of that name.
func (n *node) get(key string) *node {
	if n == nil {
		return nil
	}
	for i, k := range n.keys {
		if k == key {
			return n.values[i]
		}
	}
	return nil
}

// set writes a member of an object.
func (n *node) set(key string, value *node) {
	for i, k := range n.keys {
		if k == key {
			n.values[i] = value
			return
		}
	}
	n.keys, n.values = append(n.keys, key), append(n.values, value)
}

// without returns the object less some members.
func (n *node) without(keys ...string) *node {
	out := object()
	for i, k := range n.keys {
		if !slices.Contains(keys, k) {
			out.set(k, n.values[i])
		}
	}
	return out
}

func (n *node) is(kind jsonscan.Kind) bool { return n != nil && n.kind == kind }

// text returns a string that needs no escapes; "" for any other value.
func (n *node) text() string {
	if !n.is(jsonscan.String) {
		return ""
	}
	return string(n.raw)
}

// append writes the value as JSON.
func (n *node) append(out []byte) []byte {
	switch n.kind {
	case jsonscan.Object:
		out = append(out, '{')
		for i, key := range n.keys {
			if i > 0 {
				out = append(out, ',')
			}
			quoted, _ := json.Marshal(key) // a text: it cannot fail
			out = append(append(out, quoted...), ':')
			out = n.values[i].append(out)
		}
		return append(out, '}')
	case jsonscan.Array:
		out = append(out, '[')
		for i, value := range n.values {
			if i > 0 {
				out = append(out, ',')
			}
			out = value.append(out)
		}
		return append(out, ']')
	case jsonscan.String:
		return append(append(append(out, '"'), n.raw...), '"')
	default:
		return append(out, n.raw...)
	}
}

func object() *node            { return &node{kind: jsonscan.Object} }
func array() *node             { return &node{kind: jsonscan.Array} }
func str(text string) *node    { return &node{kind: jsonscan.String, raw: []byte(text)} }
func null() *node              { return &node{kind: jsonscan.Null, raw: []byte("null")} }
func number(text string) *node { return &node{kind: jsonscan.Number, raw: []byte(text)} }
