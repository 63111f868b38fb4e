package jsonscan

import "iter"

// Members walks the members of the object that comes next and yields each key with its escapes resolved. The body of
// the loop must consume the value, by Skip for example. A value that is not an object is skipped and has no members.
// After a break the cursor stands within the object and must not be used any more.
func (c *Cursor) Members() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if c.Kind() != Object {
			c.Skip()
			return
		}
		c.enter('{')
		for n := 0; ; n++ {
			key, ok := c.Member(n)
			if !ok || !yield(key) {
				return
			}
		}
	}
}

// Elements walks the elements of the array that comes next and yields their positions. The body of the loop must
// consume the value. A value that is not an array is skipped and has no elements.
func (c *Cursor) Elements() iter.Seq[int] {
	return func(yield func(int) bool) {
		if c.Kind() != Array {
			c.Skip()
			return
		}
		c.enter('[')
		for n := 0; c.Element(n) && yield(n); n++ {
		}
	}
}
