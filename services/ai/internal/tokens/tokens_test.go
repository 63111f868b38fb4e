package tokens_test

import (
	"bytes"
	"context"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tiktoken-go/tokenizer"

	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/services/ai/internal/tokens"
)

const o200k = models.VocabularyO200k

func TestCountIsTheVocabularys(t *testing.T) {
	whole, err := tokenizer.Get(tokenizer.O200kBase)
	require.NoError(t, err)
	c := tokens.NewCounter()
	for name, text := range map[string]string{
		"empty": "", "word": "hello", "sentence": "The quick brown fox jumps over the lazy dog.", "code": "func main() {\n\tfmt.Println(\"hi\")\n}\n",
		"long prose": strings.Repeat("Several words make a line, and lines make a page; pages make a book.\n", 500),
		"han":        strings.Repeat("你好,世界。", 40), "emoji": strings.Repeat("👩‍👩‍👧‍👦 ", 30), "json": strings.Repeat(`{"a":[1,2,3],"b":null},`, 30),
	} {
		want, err := whole.Count(text)
		require.NoError(t, err, name)
		got := c.Count(o200k, []byte(text))
		blocks := int64(len(text)/512 + 1)
		require.InDelta(t, want, got, float64(blocks-1), name)
		require.LessOrEqual(t, got, int64(len(text)), "a token is at least a byte")
	}
}

func TestCountIsBoundedForHostileText(t *testing.T) {
	c := tokens.NewCounter()
	for name, unit := range map[string]string{"newline and space": "\n ", "spaces": " ", "letters": "a", "invalid UTF-8": "\xff\xfe", "zero": "\x00", "half rune": "\xe6\xbc"} {
		text := bytes.Repeat([]byte(unit), 3<<20/len(unit))
		got := c.Count(o200k, text)
		require.Positive(t, got, name)
		require.LessOrEqual(t, got, int64(len(text)), name)
	}
}

func TestLongTextIsExtrapolated(t *testing.T) {
	c := tokens.NewCounter()
	line := "Several words make a line, and lines make a page. "
	once := c.Count(o200k, []byte(strings.Repeat(line, 100)))
	got := c.Count(o200k, []byte(strings.Repeat(line, 20_000)))
	require.InEpsilon(t, once*200, got, 0.02)
}

func TestEachVocabularyCountsForItself(t *testing.T) {
	c := tokens.NewCounter()
	for text, want := range map[string][2]int64{"hello": {1, 1}, "ഭാരതം എന്റെ രാജ്യമാണ്": {7, 35}} {
		require.Equal(t, want[0], c.Count(o200k, []byte(text)), text)
		require.Equal(t, want[1], c.Count(models.VocabularyCl100k, []byte(text)), text)
		require.Equal(t, want[0], c.Count(models.VocabularyBytes, []byte(text)), "an unknown vocabulary is estimated")
	}
}

func TestBudget(t *testing.T) {
	c := tokens.NewCounter()
	text := []byte(strings.Repeat("hello world ", 100)) // two tokens and a bit for twelve bytes
	whole := c.Budget(t.Context(), o200k, 1<<20)
	exact := whole.Count(text)
	require.Less(t, exact, int64(300))
	require.True(t, whole.Exact())
	require.Equal(t, exact, whole.Count(text), "a budget lasts until it is used up")
	whole.Close()
	whole.Close() // gives back one worker only

	short := c.Budget(t.Context(), o200k, 600)
	got := short.Count(text)
	require.InDelta(t, exact/2+600, got, 20, "the half beyond the budget counts by bytes")
	require.EqualValues(t, 5, short.Count([]byte("hello")), "the budget is one for all texts")
	require.False(t, short.Exact())
	require.Zero(t, short.Count(nil))
	require.False(t, short.Exact(), "what was counted by bytes stays so")
	short.Close()

	tiny := c.Budget(t.Context(), o200k, 160)
	for range 10 {
		require.EqualValues(t, 1, tiny.Count([]byte("a")))
	}
	require.True(t, tiny.Exact())
	require.EqualValues(t, 5, tiny.Count([]byte("hello")), "ten short texts use it up, too")
	tiny.Close()

	foreign := c.Budget(t.Context(), models.VocabularyBytes, 1<<20)
	require.EqualValues(t, len(text), foreign.Count(text))
	require.False(t, foreign.Exact())
	foreign.Close()
}

func TestCountingStopsWithItsContext(t *testing.T) {
	c := tokens.NewCounter()
	ctx, cancel := context.WithCancel(t.Context())
	b := c.Budget(ctx, o200k, 1<<30)
	defer b.Close()
	require.EqualValues(t, 1, b.Count([]byte("hello")))
	cancel()
	require.EqualValues(t, 5, b.Count([]byte("hello")))
	late := c.Budget(ctx, o200k, 1<<30)
	defer late.Close()
	require.EqualValues(t, 5, late.Count([]byte("hello")))
}

// TestWorkersAreBounded takes all workers: the next count goes by bytes after a second, and at once when one is free.
func TestWorkersAreBounded(t *testing.T) {
	tokens.NewCounter().Count(o200k, []byte("load the vocabulary"))
	synctest.Test(t, func(t *testing.T) {
		c := tokens.NewCounter()
		var taken []*tokens.Budget
		for range max(1, runtime.GOMAXPROCS(0)/2) {
			taken = append(taken, c.Budget(t.Context(), o200k, 1<<10))
		}
		start := time.Now()
		crowded := c.Budget(t.Context(), o200k, 1<<10)
		require.Equal(t, time.Second, time.Since(start))
		require.EqualValues(t, 5, crowded.Count([]byte("hello")))
		crowded.Close()
		taken[0].Close()
		start = time.Now()
		free := c.Budget(t.Context(), o200k, 1<<10)
		require.Zero(t, time.Since(start))
		require.EqualValues(t, 1, free.Count([]byte("hello")))
		free.Close()
	})
}

func BenchmarkCount(b *testing.B) {
	c := tokens.NewCounter()
	text := []byte(strings.Repeat("Several words make a line, and lines make a page. ", 160))
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		c.Count(o200k, text)
	}
}
