// Package jsonscan walks JSON in place: it checks what it passes as strictly as
// encoding/json does, allocates nothing, and leaves every byte where it is, so
// that a caller can read a few fields of a large body and splice it afterwards.
package jsonscan

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// MaxDepth is how deep objects and arrays may nest. It bounds the stack, and no
// request or answer of the OpenAI API comes near it.
const MaxDepth = 256

// ErrSyntax is returned for input that is not JSON.
var ErrSyntax = errors.New("not valid JSON")

// ErrDepth is returned for input that nests deeper than MaxDepth.
var ErrDepth = errors.New("JSON nests too deeply")

// Kind is the kind of a JSON value, known from its first byte.
type Kind uint8

// The kinds. Invalid is also returned at the end of the input.
const (
	Invalid Kind = iota
	Object
	Array
	String
	Number
	Bool
	Null
)

// Cursor stands before a value, or between the members of what it has entered.
// Its first error sticks: every later call does nothing and reports no more
// members, so that a walk needs to look at Err only once, at its end.
type Cursor struct {
	data  []byte
	pos   int
	depth int
	err   error
}

// New returns a cursor before the first value of data, which must not change while the cursor lives.
func New(data []byte) Cursor { return Cursor{data: data} }

// Err returns the first error, ErrSyntax or ErrDepth.
func (c *Cursor) Err() error { return c.err }

// Pos returns the offset of the next byte that is not white space; before a value that is where the value starts.
func (c *Cursor) Pos() int {
	c.space()
	return c.pos
}

// Offset returns where the cursor stands; after a value that is where the value ends.
func (c *Cursor) Offset() int { return c.pos }

// End checks that only white space is left.
func (c *Cursor) End() error {
	c.space()
	if c.err == nil && c.pos != len(c.data) {
		c.fail(ErrSyntax)
	}
	return c.err
}

// Kind returns the kind of the next value, without moving.
func (c *Cursor) Kind() Kind {
	switch c.peek() {
	case '{':
		return Object
	case '[':
		return Array
	case '"':
		return String
	case 't', 'f':
		return Bool
	case 'n':
		return Null
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return Number
	default:
		return Invalid
	}
}

// EnterObject steps into an object; false, and an error, when the next value is not an object. Walk it with Member.
func (c *Cursor) EnterObject() bool { return c.enter('{') }

// EnterArray steps into an array; false, and an error, when the next value is not an array. Walk it with Element.
func (c *Cursor) EnterArray() bool { return c.enter('[') }

func (c *Cursor) enter(open byte) bool {
	if c.peek() != open {
		c.fail(ErrSyntax)
		return false
	}
	if c.depth == MaxDepth {
		c.fail(ErrDepth)
		return false
	}
	c.depth++
	c.pos++
	return true
}

// Member moves to the value of the object's next member and returns its key with escapes resolved; false at the
// object's end, which it steps over. The argument n counts the members from 0. The value must be consumed, by
// Skip for example, before the next call. The key is valid until the data changes.
func (c *Cursor) Member(n int) (key []byte, ok bool) {
	if !c.next(n, '}') {
		return nil, false
	}
	raw, escaped := c.rawString()
	if c.peek() != ':' {
		c.fail(ErrSyntax)
		return nil, false
	}
	c.pos++
	if escaped {
		raw = Unescape(nil, raw)
	}
	return raw, c.err == nil
}

// Element moves to the array's next value; false at the array's end, which it steps over. As with Member, n counts
// from 0 and the value must be consumed.
func (c *Cursor) Element(n int) bool { return c.next(n, ']') }

func (c *Cursor) next(n int, closing byte) bool {
	b := c.peek()
	if b == closing {
		c.pos++
		c.depth--
		return false
	}
	if n > 0 {
		if b != ',' {
			c.fail(ErrSyntax)
			return false
		}
		c.pos++
		if c.peek() == closing {
			c.fail(ErrSyntax)
		}
	}
	return c.err == nil
}

// Skip passes the next value, whatever it is, and checks it.
func (c *Cursor) Skip() {
	switch c.Kind() {
	case Object:
		c.enter('{')
		for n := 0; c.next(n, '}'); n++ {
			c.rawString()
			if c.peek() != ':' {
				c.fail(ErrSyntax)
				return
			}
			c.pos++
			c.Skip()
		}
	case Array:
		c.enter('[')
		for n := 0; c.next(n, ']'); n++ {
			c.Skip()
		}
	case String:
		c.rawString()
	case Number:
		c.number()
	case Bool, Null:
		c.literal()
	case Invalid:
		c.fail(ErrSyntax)
	}
}

// Raw passes the next value and returns its bytes as they stand.
func (c *Cursor) Raw() []byte {
	start := c.Pos()
	c.Skip()
	return c.Since(start)
}

// Since returns the bytes from start, which Pos has returned, to the end of what was passed; nil after an error.
func (c *Cursor) Since(start int) []byte {
	if c.err != nil {
		return nil
	}
	return c.data[start:c.pos]
}

// String passes a string and returns the bytes between its quotes unchanged; escaped reports that they have escapes,
// which Unescape resolves. Anything but a string is an error.
func (c *Cursor) String() (raw []byte, escaped bool) { return c.rawString() }

// Bool passes true or false. Anything else is an error.
func (c *Cursor) Bool() bool {
	b := c.peek()
	if b != 't' && b != 'f' {
		c.fail(ErrSyntax)
		return false
	}
	c.literal()
	return b == 't' && c.err == nil
}

func (c *Cursor) peek() byte {
	c.space()
	if c.err != nil || c.pos >= len(c.data) {
		return 0
	}
	return c.data[c.pos]
}

func (c *Cursor) space() {
	for c.pos < len(c.data) {
		switch c.data[c.pos] {
		case ' ', '\t', '\r', '\n':
			c.pos++
		default:
			return
		}
	}
}

func (c *Cursor) fail(err error) {
	if c.err == nil {
		c.err = err
	}
	c.pos = len(c.data)
}

func (c *Cursor) literal() {
	word := "null"
	switch c.data[c.pos] {
	case 't':
		word = "true"
	case 'f':
		word = "false"
	}
	if len(c.data)-c.pos < len(word) || string(c.data[c.pos:c.pos+len(word)]) != word {
		c.fail(ErrSyntax)
		return
	}
	c.pos += len(word)
}

// rawString passes a string. Most bytes of a body lie in strings, so it reads eight at a time up to the next
// quote, backslash or control character.
func (c *Cursor) rawString() (raw []byte, escaped bool) {
	if c.peek() != '"' {
		c.fail(ErrSyntax)
		return nil, false
	}
	start, i := c.pos+1, c.pos+1
	for {
		i = Plain(c.data, i)
		if i >= len(c.data) {
			break
		}
		switch c.data[i] {
		case '"':
			c.pos = i + 1
			return c.data[start:i], escaped
		case '\\':
			escaped = true
			n := escapeLen(c.data[i:])
			if n == 0 {
				c.fail(ErrSyntax)
				return nil, false
			}
			i += n
		default: // a control character
			c.fail(ErrSyntax)
			return nil, false
		}
	}
	c.fail(ErrSyntax)
	return nil, false
}

// Plain returns the first offset at or after i that holds a quote, a backslash or a control character.
func Plain(data []byte, i int) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(data); i += 8 {
		w := binary.LittleEndian.Uint64(data[i:])
		quote, slash := w^(ones*'"'), w^(ones*'\\')
		// A byte's high bit is set in hit when the byte is zero in quote or slash, or below 0x20 in w.
		hit := ((quote - ones) & ^quote) | ((slash - ones) & ^slash) | ((w - ones*0x20) & ^w)
		if hit &= highs; hit != 0 {
			return i + bits.TrailingZeros64(hit)/8
		}
	}
	for ; i < len(data); i++ {
		if b := data[i]; b == '"' || b == '\\' || b < 0x20 {
			break
		}
	}
	return i
}

// escapeLen returns the length of the escape that data starts with; 0 when it is not an escape.
func escapeLen(data []byte) int {
	if len(data) < 2 {
		return 0
	}
	switch data[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if _, ok := hex4(data[2:]); ok {
			return 6
		}
	}
	return 0
}
