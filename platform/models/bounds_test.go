package models_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/models"
)

// TestBoundsOfAPriceList goes to both sides of every bound. An empty want means that the file is good.
func TestBoundsOfAPriceList(t *testing.T) {
	chat := func(id, context, most, usual, input, output string) string {
		return fmt.Sprintf("models:\n  %q: {kind: chat, provider: x, context_tokens: %s, max_output_tokens: %s, default_output_tokens: %s, input: %q, output: %q}\n",
			id, context, most, usual, input, output)
	}
	embedding := func(more string) string {
		return "models:\n  e: {kind: embedding, provider: x, context_tokens: 10, input: \"1\"" + more + "}\n"
	}
	for file, want := range map[string]string{
		chat(strings.Repeat("m", 128), "10", "5", "5", "1", "1"):                     "",
		chat(strings.Repeat("m", 129), "10", "5", "5", "1", "1"):                     "1 to 128 bytes",
		chat("", "10", "5", "5", "1", "1"):                                           "1 to 128 bytes",
		chat("m", "1", "1", "1", "1", "1"):                                           "",
		chat("m", "0", "1", "1", "1", "1"):                                           "context_tokens must be from 1",
		chat("m", "2147483647", "5", "5", "1", "1"):                                  "",
		chat("m", "2147483648", "5", "5", "1", "1"):                                  "context_tokens must be from 1",
		chat("m", "10", "10", "5", "1", "1"):                                         "",
		chat("m", "10", "11", "5", "1", "1"):                                         "max_output_tokens must be from 1 to context_tokens, got 11",
		chat("m", "10", "0", "0", "1", "1"):                                          "max_output_tokens must be from 1 to context_tokens, got 0",
		chat("m", "10", "5", "6", "1", "1"):                                          "default_output_tokens must be from 1 to max_output_tokens, got 6",
		chat("m", "10", "5", "0", "1", "1"):                                          "default_output_tokens must be from 1 to max_output_tokens, got 0",
		chat("m", "10", "5", "-1", "1", "1"):                                         "default_output_tokens must be from 1",
		chat("m", "10", "5", "5", "1000000", "1000000"):                              "",
		chat("m", "10", "5", "5", "1000000.000000001", "1"):                          `input: "1000000.000000001" is above`,
		chat("m", "10", "5", "5", "1", "1000000.000000001"):                          `output: "1000000.000000001" is above`,
		chat("m", "10", "5", "5", "0", "0"):                                          "",
		strings.Replace(chat("m", "10", "5", "5", "1", "1"), `, output: "1"`, "", 1): "output is missing",
		embedding(""):                           "",
		embedding(", max_output_tokens: 5"):     "an embedding has no output",
		embedding(", default_output_tokens: 5"): "an embedding has no output",
		embedding(`, output: "0"`):              "an embedding has no output",
		embedding(", reasoning: true"):          "an embedding has no output",
		embedding(`, cached_input: "x"`):        "cached_input",
	} {
		_, err := models.Parse([]byte(file))
		if want == "" {
			require.NoError(t, err, file)
		} else {
			require.ErrorContains(t, err, want, file)
		}
	}
}

// TestCachedInputCostsAsMuchAsOther unless the price list says otherwise: also that it costs nothing.
func TestCachedInputCostsAsMuchAsOther(t *testing.T) {
	for more, want := range map[string]int64{"": 2_000_000_000, `, cached_input: "0"`: 0, `, cached_input: "0.5"`: 500_000_000} {
		list, err := models.Parse([]byte("models:\n  e: {kind: embedding, provider: x, context_tokens: 10, input: \"2\"" + more + "}\n"))
		require.NoError(t, err)
		m, err := list.Get("e")
		require.NoError(t, err)
		require.Equal(t, want, m.CachedInputPrice, more)
		require.EqualValues(t, 2_000_000_000, m.InputPrice)
	}
}

// TestCostAtTheEndOfWhatCanBeCounted is exact up to the last nano-dollar of an int64.
func TestCostAtTheEndOfWhatCanBeCounted(t *testing.T) {
	const largest = 1<<63 - 1
	cost := func(price, tokens int64) (int64, error) {
		return models.Model{ID: "m", InputPrice: price, CachedInputPrice: price, OutputPrice: price}.Cost(tokens, 0, 0)
	}
	got, err := cost(1_000_000, largest)
	require.NoError(t, err)
	require.Equal(t, int64(largest), got)
	m := models.Model{ID: "m", InputPrice: 1_000_000, OutputPrice: 1_000_000}
	got, err = m.Cost(largest-1, 0, 1)
	require.NoError(t, err)
	require.Equal(t, int64(largest), got)
	for name, call := range map[string]func() (int64, error){
		"one nano-dollar more": func() (int64, error) { return m.Cost(largest, 0, 1) },
		"one hundredth more":   func() (int64, error) { return models.Model{InputPrice: 1_000_000, OutputPrice: 1}.Cost(largest, 0, 1) },
		"twice":                func() (int64, error) { return m.Cost(largest, 0, largest) },
		"beyond 64 bits by far": func() (int64, error) {
			return models.Model{InputPrice: largest, CachedInputPrice: largest, OutputPrice: largest}.Cost(largest, 0, largest)
		},
		"a quotient of exactly 2^64": func() (int64, error) { return cost(1<<62, 4_000_000) },
		"a quotient of almost 2^64":  func() (int64, error) { return cost(2_000_000, largest) },
	} {
		_, err := call()
		require.Error(t, err, name)
	}
	require.EqualValues(t, -1, m.AffordableOutput(11, 10, 5))
	require.EqualValues(t, 0, m.AffordableOutput(10, 10, 5), "a budget for exactly the input")
	require.EqualValues(t, 4, m.AffordableOutput(10, 14, 5))
	require.EqualValues(t, 5, m.AffordableOutput(10, 15, 5))
	require.EqualValues(t, 5, m.AffordableOutput(10, 1000, 5))
	require.EqualValues(t, 7, models.Model{InputPrice: 1_000_000}.AffordableOutput(10, 10, 7), "free output")
	require.Equal(t, int64(largest), models.Model{}.AffordableOutput(0, 0, largest))
}

// TestAnUnknownModelIsNamed, as far as an error has room for its name, and the known ones are in order.
func TestAnUnknownModelIsNamed(t *testing.T) {
	list, err := models.Parse([]byte(`models:
  b: {kind: embedding, provider: x, context_tokens: 10, input: "1"}
  c: {kind: embedding, provider: x, context_tokens: 10, input: "1"}
  a: {kind: embedding, provider: x, context_tokens: 10, input: "1"}
`))
	require.NoError(t, err)
	for id, want := range map[string]string{
		strings.Repeat("x", 80):       strings.Repeat("x", 80),
		strings.Repeat("x", 81):       strings.Repeat("x", 80) + "…",
		strings.Repeat("x", 79) + "é": strings.Repeat("x", 79) + "…",
	} {
		_, err := list.Get(id)
		e := errs.From(err)
		require.Equal(t, want, e.Metadata["model"])
		require.True(t, utf8.ValidString(e.Message))
		require.Contains(t, e.Message, "Known models: a, b, c.")
	}
}
