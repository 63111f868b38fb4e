package meter_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/ai/internal/meter"
	"github.com/trivet-dev/trivet/services/ai/internal/tokens"
	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

func add(t testing.TB, m *meter.Meter, c *tokens.Counter, data string) {
	t.Helper()
	var k wire.Chunk
	require.True(t, k.Read([]byte(data)), data)
	m.Add(&k, c)
}

func delta(choice int, text string) string {
	return fmt.Sprintf(`{"id":"c1","choices":[{"index":%d,"delta":{"content":%q}}]}`, choice, text)
}

func TestTextsAreCountedApart(t *testing.T) {
	c := tokens.NewCounter()
	var pool meter.Pool
	m := pool.Get()
	for range 50 { // side by side these would be the word "under|stand|ing" in other tokens
		add(t, m, c, delta(0, " under"))
		add(t, m, c, delta(1, "standing"))
		add(t, m, c, `{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":" x"}},{"index":1,"function":{"arguments":" y"}}]}}]}`)
	}
	want := c.Count([]byte(strings.Repeat(" under", 50))) + c.Count([]byte(strings.Repeat("standing", 50))) +
		c.Count([]byte(strings.Repeat(" x", 50))) + c.Count([]byte(strings.Repeat(" y", 50)))
	require.Equal(t, want, m.Count(c))
	require.Equal(t, want, m.Count(c), "counting twice changes nothing")
	require.Equal(t, "c1", m.ProviderID)
	require.True(t, m.Produced())
}

func TestEscapesAreText(t *testing.T) {
	c := tokens.NewCounter()
	var pool meter.Pool
	m := pool.Get()
	add(t, m, c, `{"choices":[{"delta":{"content":"\u0068\u0065\u006c\u006c\u006f"}}]}`)
	require.EqualValues(t, 1, m.Count(c))
}

func TestGuess(t *testing.T) {
	c := tokens.NewCounter()
	var pool meter.Pool
	m := pool.Get()
	require.Zero(t, m.Guess())
	for range 10 {
		add(t, m, c, delta(0, " a"))
	}
	require.EqualValues(t, 10, m.Guess(), "a delta is a token")
	add(t, m, c, delta(0, strings.Repeat("word ", 100)))
	require.EqualValues(t, 104, m.Guess(), "unless it is long")
	m.Tell(tokens.Usage{Output: 77})
	require.EqualValues(t, 77, m.Guess())
	told, ok := m.Told()
	require.True(t, ok)
	require.EqualValues(t, 77, told.Output)
}

func TestTextIsBounded(t *testing.T) {
	c := tokens.NewCounter()
	var pool meter.Pool
	m := pool.Get()
	long := strings.Repeat("several words make a line ", 1000)
	for range 40 { // a megabyte
		add(t, m, c, delta(0, long))
	}
	require.InEpsilon(t, 40*c.Count([]byte(long)), m.Count(c), 0.01)
	for i := range 1000 { // more texts side by side than are kept apart
		add(t, m, c, delta(i, " a"))
	}
	require.InDelta(t, 40*c.Count([]byte(long))+1000, m.Count(c), 2000)
}

func TestPoolForgets(t *testing.T) {
	c := tokens.NewCounter()
	var pool meter.Pool
	for range 100 {
		m := pool.Get()
		require.Empty(t, m.ProviderID)
		require.False(t, m.Produced())
		require.Zero(t, m.Guess())
		_, told := m.Told()
		require.False(t, told)
		require.Zero(t, m.Count(c))
		add(t, m, c, delta(3, " a"))
		add(t, m, c, delta(1, strings.Repeat(" b", 20_000)))
		m.Tell(tokens.Usage{Input: 1})
		pool.Put(m)
	}
}
