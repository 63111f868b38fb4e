package jsonscan

import "math"

// Int passes a number and returns it; ok is false, without an error, for a number that is not written as a whole
// one (1.0, 1e3) or that does not fit an int64. Anything but a number is an error.
func (c *Cursor) Int() (n int64, ok bool) {
	if c.Kind() != Number {
		c.fail(ErrSyntax)
		return 0, false
	}
	start := c.pos
	c.number()
	if c.err != nil {
		return 0, false
	}
	return parseInt(c.data[start:c.pos])
}

func parseInt(text []byte) (int64, bool) {
	negative := text[0] == '-'
	if negative {
		text = text[1:]
	}
	var n int64
	for _, b := range text {
		if b < '0' || b > '9' || n > (math.MaxInt64-9)/10 {
			return 0, false
		}
		n = n*10 + int64(b-'0')
	}
	if negative {
		n = -n
	}
	return n, true
}

// number passes a number of JSON's grammar: no leading zeros, no lone point, no bare exponent.
func (c *Cursor) number() {
	if c.at('-') {
		c.pos++
	}
	switch {
	case c.at('0'):
		c.pos++
	case !c.digits():
		c.fail(ErrSyntax)
		return
	}
	if c.at('.') {
		c.pos++
		if !c.digits() {
			c.fail(ErrSyntax)
			return
		}
	}
	if c.at('e') || c.at('E') {
		c.pos++
		if c.at('+') || c.at('-') {
			c.pos++
		}
		if !c.digits() {
			c.fail(ErrSyntax)
		}
	}
}

func (c *Cursor) at(b byte) bool { return c.pos < len(c.data) && c.data[c.pos] == b }

func (c *Cursor) digits() bool {
	start := c.pos
	for c.pos < len(c.data) && c.data[c.pos] >= '0' && c.data[c.pos] <= '9' {
		c.pos++
	}
	return c.pos > start
}
