package tokens

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/tiktoken-go/tokenizer"

	"github.com/trivet-dev/trivet/platform/models"
)

const (
	// blockSize bounds the piece that the tokenizer sees at once, in bytes. Its merge is quadratic in the length of
	// a word, and a megabyte of "\n " is one word: 570 s as a whole, 0.2 s in blocks.
	blockSize = 1 << 10
	// exactSize is how much of a produced text is counted, in bytes; the rest is taken to be like it.
	exactSize = 256 << 10
	// smallText is what a text takes of a budget at least, in bytes: each costs something, however short it is.
	smallText = 16
	// workerWait bounds the wait for a worker. A caller who finds none in time is counted by bytes.
	workerWait = time.Second
)

// Counter counts tokens by the vocabularies that Trivet has. A vocabulary (7 MB, 30 ms) is loaded by the first count
// that needs it. A Counter is safe for concurrent use.
type Counter struct {
	codecs  map[string]func() (tokenizer.Codec, error)
	workers chan struct{}
}

// NewCounter returns a counter that has loaded nothing yet. At most half of the processors count inputs at once, so
// that callers who send long texts leave room for the others.
func NewCounter() *Counter {
	return &Counter{
		codecs: map[string]func() (tokenizer.Codec, error){
			models.VocabularyO200k:  loader(tokenizer.O200kBase),
			models.VocabularyCl100k: loader(tokenizer.Cl100kBase),
		},
		workers: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
	}
}

func loader(encoding tokenizer.Encoding) func() (tokenizer.Codec, error) {
	return sync.OnceValues(func() (tokenizer.Codec, error) {
		c, err := tokenizer.Get(encoding)
		if err != nil {
			return nil, fmt.Errorf("load the vocabulary %s: %w", encoding, err)
		}
		return c, nil
	})
}

// codec returns the codec of a vocabulary; false when Trivet does not have it.
func (c *Counter) codec(vocabulary string) (tokenizer.Codec, bool) {
	load, ok := c.codecs[vocabulary]
	if !ok {
		return nil, false
	}
	codec, err := load()
	return codec, err == nil
}

// Count estimates how many tokens a produced text has, at most a token per KiB too many. A vocabulary that Trivet does
// not have is taken to be like o200k_base. A text above 256 KiB is counted in part, and the rest taken to be like it.
func (c *Counter) Count(vocabulary string, text []byte) int64 {
	if len(text) == 0 {
		return 0
	}
	codec, ok := c.codec(vocabulary)
	if !ok {
		if codec, ok = c.codec(models.VocabularyO200k); !ok {
			return Guess(int64(len(text)))
		}
	}
	head := text
	if len(head) > exactSize {
		head = head[:clean(head, exactSize)]
	}
	var sum int64
	for rest := head; len(rest) > 0; {
		block := rest[:clean(rest, blockSize)]
		sum += blockCount(codec, block)
		rest = rest[len(block):]
	}
	if len(head) < len(text) {
		sum = sum * int64(len(text)) / int64(len(head))
	}
	return sum
}

// blockCount counts a block; one that the tokenizer fails on counts by bytes.
func blockCount(codec tokenizer.Codec, block []byte) int64 {
	n, err := codec.Count(string(block))
	if err != nil {
		return int64(len(block))
	}
	return int64(n)
}

// Budget bounds the work of counting one input: the tokenizer sees a number of bytes in all, and everything beyond
// counts by bytes, which is never too low. The count is an upper bound for the vocabulary, but for the few tokens that
// cutting a text into blocks may save.
type Budget struct {
	ctx     context.Context //nolint:containedctx // it ends with the count
	codec   tokenizer.Codec // nil: everything counts by bytes
	left    int             // bytes that the tokenizer may still see
	inexact bool            // something was counted by bytes
	release func()
}

// Budget returns the budget of one count and waits for a worker; Close gives the worker back. Everything counts by
// bytes when Trivet does not have the vocabulary, when no worker is free in time, and from the moment when ctx ends.
func (c *Counter) Budget(ctx context.Context, vocabulary string, size int) *Budget {
	b := &Budget{ctx: ctx, left: size, release: func() {}}
	codec, ok := c.codec(vocabulary)
	if !ok {
		return b
	}
	wait := time.NewTimer(workerWait)
	defer wait.Stop()
	select {
	case c.workers <- struct{}{}:
		b.codec, b.release = codec, sync.OnceFunc(func() { <-c.workers })
	case <-ctx.Done():
	case <-wait.C:
	}
	return b
}

// Close gives the worker back.
func (b *Budget) Close() { b.release() }

// Exact reports whether the tokenizer has seen everything that was counted so far.
func (b *Budget) Exact() bool { return !b.inexact }

// Count returns the tokens of a text, or its bytes as far as it exceeds the budget.
func (b *Budget) Count(text []byte) (sum int64) {
	for len(text) > 0 && b.codec != nil && b.left > 0 && b.ctx.Err() == nil {
		block := text[:clean(text, min(blockSize, b.left))]
		sum += blockCount(b.codec, block)
		b.left -= max(len(block), smallText)
		text = text[len(block):]
	}
	b.inexact = b.inexact || len(text) > 0
	return sum + int64(len(text))
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
