package tokens

import (
	"fmt"
	"sync"

	"github.com/tiktoken-go/tokenizer"
)

const (
	// blockSize bounds the piece that the tokenizer sees at once, in bytes. Its merge is quadratic in the length of
	// a word, and a megabyte of "\n " is one word: measured 570 s whole, 0.2 s in blocks.
	blockSize = 1 << 10
	// exactSize is how much of a text is counted, in bytes; the rest is taken to be like it. That bounds a count to
	// some 50 ms of one processor whatever a caller sends.
	exactSize = 256 << 10
)

// Counter counts the tokens of o200k_base, the encoding of every current OpenAI chat model. The vocabulary (7 MB,
// 30 ms) is loaded by the first Count, so that a process that never needs it does not pay. It is safe for concurrent use.
type Counter struct {
	load func() (tokenizer.Codec, error)
}

// NewCounter returns a counter that has loaded nothing yet.
func NewCounter() *Counter {
	return &Counter{load: sync.OnceValues(func() (tokenizer.Codec, error) {
		c, err := tokenizer.Get(tokenizer.O200kBase)
		if err != nil {
			return nil, fmt.Errorf("load the tokenizer's vocabulary: %w", err)
		}
		return c, nil
	})}
}

// Count returns how many tokens text has, at most a token per KiB too many. A text above 256 KiB is counted in part
// and the rest taken to be like it. Should the vocabulary fail to load, the count is the guess of Guess.
func (c *Counter) Count(text []byte) int64 {
	if len(text) == 0 {
		return 0
	}
	vocabulary, err := c.load()
	if err != nil {
		return Guess(int64(len(text)))
	}
	head := text
	if len(head) > exactSize {
		head = head[:clean(head, exactSize)]
	}
	var sum int64
	for rest := head; len(rest) > 0; {
		block := rest[:clean(rest, blockSize)]
		n, err := vocabulary.Count(string(block))
		if err != nil {
			n = int(Guess(int64(len(block))))
		}
		sum += int64(n)
		rest = rest[len(block):]
	}
	if len(head) < len(text) {
		sum = sum * int64(len(text)) / int64(len(head))
	}
	return sum
}

// Guess is how many tokens n bytes of common text have, without looking at it: one in four, rounded up.
func Guess(n int64) int64 { return (n + 3) / 4 }

// clean returns a place at or before most to cut text: before a space that stands between two other characters, where
// the encoding starts a new token anyway; else before any space, else at the start of a rune.
func clean(text []byte, most int) int {
	if len(text) <= most {
		return len(text)
	}
	space, low := 0, most/2
	for i := most; i > low; i-- {
		if text[i] != ' ' {
			continue
		}
		if i+1 < len(text) && letter(text[i-1]) && letter(text[i+1]) {
			return i
		}
		space = max(space, i)
	}
	if space > 0 {
		return space
	}
	for i := most; i > low; i-- {
		if text[i]&0xC0 != 0x80 {
			return i
		}
	}
	return most
}

func letter(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' || b >= 0x80 }
