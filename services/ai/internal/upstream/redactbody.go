package upstream

import (
	"bytes"
	"encoding/json"

	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
)

// Body returns a JSON body whose texts are redacted; every other byte stays. The texts are decoded first, because an
// escape may stand within a secret, or right before it.
func (r Redactor) Body(body []byte) []byte {
	e := &bodyRedactor{Redactor: r, body: body}
	c := jsonscan.New(body)
	e.value(&c)
	if e.kept == 0 || c.End() != nil {
		return body
	}
	return append(e.out, body[e.kept:]...)
}

type bodyRedactor struct {
	Redactor
	body, out []byte
	kept      int
}

func (e *bodyRedactor) value(c *jsonscan.Cursor) {
	switch c.Kind() {
	case jsonscan.Object:
		c.EnterObject()
		for n := 0; ; n++ {
			start := c.Pos()
			key, ok := c.Member(n)
			if !ok {
				return
			}
			e.key(start, string(key))
			e.value(c)
		}
	case jsonscan.Array:
		for range c.Elements() {
			e.value(c)
		}
	case jsonscan.String:
		start := c.Pos()
		raw, escaped := c.String()
		if escaped {
			raw = jsonscan.Unescape(nil, raw)
		}
		e.replace(start, c.Offset(), string(raw))
	default:
		c.Skip()
	}
}

// key redacts the key of a member, which begins somewhere after start.
func (e *bodyRedactor) key(start int, key string) {
	quote := bytes.IndexByte(e.body[start:], '"')
	if quote < 0 {
		return
	}
	at := start + quote
	c := jsonscan.New(e.body[at:])
	c.Skip()
	e.replace(at, at+c.Offset(), key)
}

// replace writes a redacted text in place of the one between start and end.
func (e *bodyRedactor) replace(start, end int, text string) {
	clean := e.String(text)
	if clean == text {
		return
	}
	quoted, err := json.Marshal(clean)
	if err != nil {
		quoted = []byte(`"` + hidden + `"`)
	}
	e.out = append(append(e.out, e.body[e.kept:start]...), quoted...)
	e.kept = end
}
