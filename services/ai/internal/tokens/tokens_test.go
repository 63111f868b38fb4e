package tokens_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tiktoken-go/tokenizer"

	"github.com/trivet-dev/trivet/services/ai/internal/tokens"
)

func TestCountIsTheVocabularys(t *testing.T) {
	whole, err := tokenizer.Get(tokenizer.O200kBase)
	require.NoError(t, err)
	c := tokens.NewCounter()
	for name, text := range map[string]string{
		"empty": "", "word": "hello", "sentence": "The quick brown fox jumps over the lazy dog.", "code": "func main() {\n\tfmt.Println(\"hi\")\n}\n",
		"long prose": strings.Repeat("Several words make a line, and lines make a page; so it goes on.\n", 500),
		"han":        strings.Repeat("你好,世界。", 40), "emoji": strings.Repeat("👩‍👩‍👧‍👦 ", 30), "json": strings.Repeat(`{"a":[1,2,3],"b":null},`, 30),
	} {
		want, err := whole.Count(text)
		require.NoError(t, err, name)
		got := c.Count([]byte(text))
		blocks := int64(len(text)/512 + 1)
		require.InDelta(t, want, got, float64(blocks-1), name)
		require.LessOrEqual(t, got, int64(len(text)), "a token is at least a byte")
	}
}

func TestCountIsBoundedForHostileText(t *testing.T) {
	c := tokens.NewCounter()
	for name, unit := range map[string]string{"newline and space": "\n ", "spaces": " ", "letters": "a", "invalid UTF-8": "\xff\xfe", "zero": "\x00", "half rune": "\xe6\xbc"} {
		text := bytes.Repeat([]byte(unit), 3<<20/len(unit))
		got := c.Count(text)
		require.Positive(t, got, name)
		require.LessOrEqual(t, got, int64(len(text)), name)
	}
}

func TestLongTextIsTakenToGoOnAsItBegan(t *testing.T) {
	c := tokens.NewCounter()
	line := "Several words make a line, and lines make a page. "
	once := c.Count([]byte(strings.Repeat(line, 100)))
	got := c.Count([]byte(strings.Repeat(line, 20_000)))
	require.InEpsilon(t, once*200, got, 0.02)
}

func TestUsage(t *testing.T) {
	u := tokens.Usage{Input: 5, Cached: 9, Output: 3, Reasoning: 4}
	require.Equal(t, tokens.Usage{Input: 5, Cached: 5, Output: 3, Reasoning: 3}, u.Sane())
	require.EqualValues(t, 8, u.Total())
	require.True(t, u.Valid())
	require.False(t, tokens.Usage{Input: -1}.Valid())
	require.False(t, tokens.Usage{Output: 1e12 + 1}.Valid())
	require.EqualValues(t, 9, u.Proto().GetCachedInputTokens())
}

func BenchmarkCount(b *testing.B) {
	c := tokens.NewCounter()
	text := []byte(strings.Repeat("Several words make a line, and lines make a page. ", 160))
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		c.Count(text)
	}
}
