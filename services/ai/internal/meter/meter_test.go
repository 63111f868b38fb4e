package meter_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/services/ai/internal/meter"
	"github.com/trivet-dev/trivet/services/ai/internal/tokens"
	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

const o200k = models.VocabularyO200k

func add(t testing.TB, m *meter.Meter, data string) {
	t.Helper()
	var k wire.Chunk
	require.True(t, k.Read([]byte(data)), data)
	m.Add(&k)
}

func delta(choice int, text string) string {
	return fmt.Sprintf(`{"id":"c1","choices":[{"index":%d,"delta":{"content":%q}}]}`, choice, text)
}

func TestTextsAreCountedApart(t *testing.T) {
	c := tokens.NewCounter()
	var pool meter.Pool
	m := pool.Get(c, o200k)
	for range 50 { // side by side these would be the word "under|stand|ing" in other tokens
		add(t, m, delta(0, " under"))
		add(t, m, delta(1, "standing"))
		add(t, m, `{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":" x"}},{"index":1,"function":{"arguments":" y"}}]}}]}`)
	}
	want := c.Count(o200k, []byte(strings.Repeat(" under", 50))) + c.Count(o200k, []byte(strings.Repeat("standing", 50))) +
		c.Count(o200k, []byte(strings.Repeat(" x", 50))) + c.Count(o200k, []byte(strings.Repeat(" y", 50)))
	require.Equal(t, want, m.Count())
	require.Equal(t, want, m.Count(), "counting twice changes nothing")
	require.Equal(t, "c1", m.ProviderID)
	require.True(t, m.Produced())
}

func TestEscapesAreText(t *testing.T) {
	c := tokens.NewCounter()
	var pool meter.Pool
	m := pool.Get(c, o200k)
	add(t, m, `{"choices":[{"delta":{"content":"\u0068\u0065\u006c\u006c\u006f"}}]}`)
	require.EqualValues(t, 1, m.Count())
}

func TestGuess(t *testing.T) {
	c := tokens.NewCounter()
	var pool meter.Pool
	m := pool.Get(c, o200k)
	require.Zero(t, m.Guess())
	for range 10 {
		add(t, m, delta(0, " a"))
	}
	require.EqualValues(t, 10, m.Guess(), "a delta is a token")
	add(t, m, delta(0, strings.Repeat("word ", 100)))
	require.EqualValues(t, 104, m.Guess(), "unless it is long")
	m.Report(tokens.Reported{Output: 177})
	require.EqualValues(t, 177, m.Guess(), "or the provider reports more")
	m.Report(tokens.Reported{Output: 0})
	require.EqualValues(t, 177, m.Guess(), "a later report lowers nothing")
	require.EqualValues(t, 177, m.Reported().Output)
}

func TestTextIsBounded(t *testing.T) {
	c := tokens.NewCounter()
	var pool meter.Pool
	m := pool.Get(c, o200k)
	long := strings.Repeat("several words make a line ", 1000)
	for range 40 { // a megabyte
		add(t, m, delta(0, long))
	}
	require.InEpsilon(t, 40*c.Count(o200k, []byte(long)), m.Count(), 0.01)
	for i := range 1000 { // more texts side by side than are kept apart
		add(t, m, delta(i, " a"))
	}
	require.InDelta(t, 40*c.Count(o200k, []byte(long))+1000, m.Count(), 2000)
}

func TestPoolForgets(t *testing.T) {
	c := tokens.NewCounter()
	var pool meter.Pool
	for range 100 {
		m := pool.Get(c, o200k)
		require.Empty(t, m.ProviderID)
		require.False(t, m.Produced())
		require.Zero(t, m.Guess())
		require.Equal(t, tokens.NothingReported(), m.Reported())
		require.False(t, m.Hidden())
		require.Zero(t, m.Finished())
		require.False(t, m.Several())
		require.Zero(t, m.Count())
		add(t, m, delta(3, " a"))
		add(t, m, delta(1, strings.Repeat(" b", 20_000)))
		m.Report(tokens.Reported{Input: 1, Reasoning: 1})
		add(t, m, `{"choices":[{"index":2,"finish_reason":"stop"}]}`)
		pool.Put(m)
	}
}

func TestSeveral(t *testing.T) {
	for name, c := range map[string]struct {
		data []string
		want bool
	}{
		"nothing":                   {nil, false},
		"one":                       {[]string{delta(0, "a"), delta(0, "b"), `{"choices":[{"index":0,"delta":{"refusal":"c"},"finish_reason":"stop"}]}`}, false},
		"one that is not the first": {[]string{delta(1, "a"), delta(1, "b")}, false},
		"two":                       {[]string{delta(0, "a"), delta(1, "b")}, true},
		"two without a text":        {[]string{`{"choices":[{"index":0,"finish_reason":"stop"},{"index":1,"finish_reason":"stop"}]}`}, true},
	} {
		var pool meter.Pool
		m := pool.Get(tokens.NewCounter(), o200k)
		for _, data := range c.data {
			add(t, m, data)
		}
		require.Equal(t, c.want, m.Several(), name)
	}
}

func TestFinishedCountsEachChoiceOnce(t *testing.T) {
	var pool meter.Pool
	m := pool.Get(tokens.NewCounter(), o200k)
	for _, step := range []struct {
		data string
		want int64
	}{
		{`{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}`, 0},
		{`{"choices":[{"index":1,"finish_reason":"stop"}]}`, 1},
		{`{"choices":[{"index":1,"finish_reason":"stop"}]}`, 1},
		{`{"choices":[{"finish_reason":"length","index":127},{"index":0,"finish_reason":"stop"}]}`, 3},
		{`{"choices":[{"index":128,"finish_reason":"stop"},{"index":-1,"finish_reason":"stop"}]}`, 3},
	} {
		add(t, m, step.data)
		require.Equal(t, step.want, m.Finished(), step.data)
	}
}

func TestUncountableOutputIsHidden(t *testing.T) {
	c := tokens.NewCounter()
	for name, step := range map[string]struct {
		data   string
		hidden bool
	}{
		"text":                {delta(0, "a"), false},
		"reasoning":           {`{"choices":[{"delta":{"reasoning_content":"x"}}]}`, true},
		"empty reasoning":     {`{"choices":[{"delta":{"reasoning_content":""}}]}`, false},
		"thinking in content": {`{"choices":[{"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"x"}]}]}}]}`, true},
		"reported":            {`{"choices":[],"usage":{"completion_tokens":9,"completion_tokens_details":{"reasoning_tokens":3}}}`, true},
		"none reported":       {`{"choices":[],"usage":{"completion_tokens":9,"completion_tokens_details":{"reasoning_tokens":0}}}`, false},
		"sound":               {`{"choices":[{"delta":{"audio":{"id":"a","data":"AAAA"}}}]}`, true},
	} {
		var pool meter.Pool
		m := pool.Get(c, o200k)
		add(t, m, step.data)
		require.Equal(t, step.hidden, m.Hidden(), name)
	}
}

func TestOutputThatIsNotTextIsOneToken(t *testing.T) {
	var pool meter.Pool
	m := pool.Get(tokens.NewCounter(), o200k)
	add(t, m, `{"choices":[{"delta":{"audio":{"id":"a","data":"AAAA"}}}]}`)
	require.True(t, m.Produced())
	require.EqualValues(t, 1, m.Count())
	add(t, m, `{"choices":[{"delta":{"audio":{"transcript":"one two three"}}}]}`)
	require.EqualValues(t, 3, m.Count())
}

// TestExceeds holds the lower estimate against answers of every length: one within its bound is never cut, and one far
// above it always is.
func TestExceeds(t *testing.T) {
	c := tokens.NewCounter()
	for name, unit := range map[string]string{
		"words": " word", "long words": " internationalization", "spaces": strings.Repeat(" ", 40), "code": "\tif err != nil {\n", "digits": "7",
		"han": "你好", "emoji": "👩", "russian": " обслуживания", "dashes": strings.Repeat("-", 60),
	} {
		for _, vocabulary := range []string{models.VocabularyO200k, models.VocabularyCl100k, models.VocabularyBytes} {
			for _, bound := range []int64{1, 5, 200} {
				var pool meter.Pool
				m := pool.Get(c, vocabulary)
				var text strings.Builder
				cut := false
				for range 40 * (bound + 40) {
					text.WriteString(unit)
					add(t, m, delta(0, unit))
					if cut = m.Exceeds(bound); cut {
						break
					}
				}
				require.True(t, cut, "%s, %s, bound %d: never cut", name, vocabulary, bound)
				count := c.Count(vocabulary, []byte(text.String()))
				require.Greater(t, count, bound+bound/16+16, "%s, %s, bound %d: a model may write this within its bound", name, vocabulary, bound)
				if vocabulary == models.VocabularyBytes {
					require.Greater(t, count, 4*bound, "%s, bound %d: a model may write this within its bound", name, bound)
				}
			}
		}
	}
}
