package models_test

import (
	"math"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/models"
)

func TestParseDollars(t *testing.T) {
	good := map[string]int64{
		"0": 0, "1": 1e9, "0.15": 150_000_000, "0.075": 75_000_000, "0.000000001": 1, "1000000": 1e15, "00.5": 500_000_000,
		"999999999.999999999": 999_999_999_999_999_999,
	}
	for text, want := range good {
		got, err := models.ParseDollars(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", "0x1", " 1", "1 ", "1.2.3", "0.0000000001", "NaN", "1000000000", "１"} {
		_, err := models.ParseDollars(text)
		require.Error(t, err, "%q", text)
	}
}

func TestCost(t *testing.T) {
	m := models.Model{ID: "m", InputPrice: 150_000_000, CachedInputPrice: 75_000_000, OutputPrice: 600_000_000}
	cases := []struct{ input, cached, output, want int64 }{
		{0, 0, 0, 0},
		{1, 0, 0, 150},
		{1, 1, 0, 75},
		{0, 0, 1, 600},
		{1000, 400, 10, 600*150 + 400*75 + 6000},
		{1_000_000, 0, 1_000_000, 750_000_000},
	}
	for _, c := range cases {
		got, err := m.Cost(c.input, c.cached, c.output)
		require.NoError(t, err)
		require.Equal(t, c.want, got, "%+v", c)
	}
	odd := models.Model{ID: "odd", InputPrice: 12_500_000, CachedInputPrice: 1, OutputPrice: 1}
	for _, c := range []struct{ input, cached, output, want int64 }{{1, 0, 0, 13}, {2, 0, 0, 25}, {1, 1, 0, 1}, {1_000_000, 1_000_000, 0, 1}, {1_000_000, 1_000_000, 1, 2}, {1, 1, 1, 1}} {
		got, err := odd.Cost(c.input, c.cached, c.output)
		require.NoError(t, err)
		require.Equal(t, c.want, got, "rounded up once: %+v", c)
	}
	for _, c := range [][3]int64{{-1, 0, 0}, {0, -1, 0}, {0, 0, -1}, {1, 2, 0}, {math.MaxInt64, 0, math.MaxInt64}} {
		_, err := models.Model{ID: "m", InputPrice: 1e15, OutputPrice: 1e15}.Cost(c[0], c[1], c[2])
		require.Error(t, err, "%v", c)
	}
}

func TestCostMatchesBigArithmetic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tokens, price := rapid.Int64Range(0, 1e12), rapid.Int64Range(0, 1e15)
		m := models.Model{InputPrice: price.Draw(t, "in"), CachedInputPrice: price.Draw(t, "cached"), OutputPrice: price.Draw(t, "out")}
		input, output := tokens.Draw(t, "input"), tokens.Draw(t, "output")
		cached := rapid.Int64Range(0, input).Draw(t, "cachedInput")
		sum := new(big.Int)
		for _, p := range [][2]int64{{input - cached, m.InputPrice}, {cached, m.CachedInputPrice}, {output, m.OutputPrice}} {
			sum.Add(sum, new(big.Int).Mul(big.NewInt(p[0]), big.NewInt(p[1])))
		}
		want := sum.Add(sum, big.NewInt(999_999)).Div(sum, big.NewInt(1_000_000))
		got, err := m.Cost(input, cached, output)
		if want.IsInt64() {
			require.NoError(t, err)
			require.Equal(t, want.Int64(), got)
		} else {
			require.Error(t, err)
		}
	})
}

func TestAffordableOutputIsTheLargest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		price := rapid.Int64Range(0, 1e11)
		m := models.Model{InputPrice: price.Draw(t, "in"), OutputPrice: price.Draw(t, "out")}
		input, budget, limit := rapid.Int64Range(0, 1e6).Draw(t, "input"), rapid.Int64Range(0, 1e12).Draw(t, "budget"), rapid.Int64Range(0, 1e6).Draw(t, "limit")
		n := m.AffordableOutput(input, budget, limit)
		cost := func(n int64) int64 {
			c, err := m.Cost(input, 0, n)
			require.NoError(t, err)
			return c
		}
		if n < 0 {
			require.Greater(t, cost(0), budget)
			return
		}
		require.LessOrEqual(t, cost(n), budget)
		require.LessOrEqual(t, n, limit)
		if n < limit {
			require.Greater(t, cost(n+1), budget)
		}
	})
}

func TestDefaultList(t *testing.T) {
	list, err := models.Default()
	require.NoError(t, err)
	require.Len(t, list.All(), 22)
	m, err := list.Get("gpt-4o-mini")
	require.NoError(t, err)
	require.Equal(t, models.Model{
		ID: "gpt-4o-mini", Kind: "chat", Provider: "openai", Vocabulary: models.VocabularyO200k, Aliases: []string{"gpt-4o-mini-2024-07-18"}, OutputBound: models.BoundNew, ContextTokens: 128_000, MaxOutputTokens: 16_384, DefaultOutputTokens: 16_384, MaxImageTokens: 48_169,
		InputPrice: 150_000_000, CachedInputPrice: 75_000_000, OutputPrice: 600_000_000,
		Prices: &models.Prices{
			AudioInput: 150_000_000, ImageInput: 150_000_000, AudioOutput: 600_000_000, ImageOutput: 600_000_000,
			Tiers: map[string]models.TokenPrices{"priority": {Input: 250_000_000, CachedInput: 125_000_000, Output: 1_000_000_000}},
		},
	}, m)
	_, err = list.Get("gpt-99")
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_MODEL_NOT_FOUND, errs.ReasonOf(err))
	require.ErrorContains(t, err, "gpt-4o-mini", "the known ones are listed")
	for _, m := range list.All() {
		want, reasons := models.VocabularyO200k, strings.HasPrefix(m.ID, "gpt-5") || strings.HasPrefix(m.ID, "o")
		switch m.Kind {
		case models.KindEmbedding, models.KindCompletion:
			want = models.VocabularyCl100k
		case models.KindModeration: // free, so nothing is counted
			want, reasons = models.VocabularyBytes, false
		case models.KindImage, models.KindSpeech, models.KindTranscription: // with prices of tokens or without
			want, reasons = m.Vocabulary, false
		}
		require.Equal(t, want, m.Vocabulary, m.ID)
		require.Equal(t, reasons, m.Reasoning, m.ID)
	}
}

func TestVocabularyAndReasoning(t *testing.T) {
	list, err := models.Parse([]byte(`models:
  a: {kind: chat, provider: x, context_tokens: 10, max_output_tokens: 5, default_output_tokens: 5, input: "1", output: "1", reasoning: true}
  b: {kind: embedding, provider: x, vocabulary: cl100k_base, context_tokens: 10, input: "1"}
`))
	require.NoError(t, err)
	all := list.All()
	require.Equal(t, models.VocabularyBytes, all[0].Vocabulary, "an unknown vocabulary counts by bytes")
	require.True(t, all[0].Reasoning)
	require.Equal(t, models.VocabularyCl100k, all[1].Vocabulary)
}

func TestLoadReportsEveryMistake(t *testing.T) {
	path := filepath.Join(t.TempDir(), "models.yaml")
	require.NoError(t, os.WriteFile(path, []byte(`models:
  a: {kind: chat, provider: x, context_tokens: 10, max_output_tokens: 20, default_output_tokens: 5, input: "1,5", output: "1"}
  b: {kind: video, provider: "", context_tokens: 0, input: "1"}
  c: {kind: embedding, provider: x, context_tokens: 10, output: "1"}
  d: {kind: chat, provider: x, context_tokens: 10, max_output_tokens: 5, default_output_tokens: 5, input: "2000000", output: "1"}
  e: {kind: embedding, provider: x, context_tokens: 10, input: "1", reasoning: true, vocabulary: gpt2, ask_usage: true}
  f: {kind: chat, provider: x, context_tokens: 10, max_output_tokens: 5, default_output_tokens: 5, input: "1", output: "1", output_bound: tokens, aliases: [a, f2, f2, ""]}
  g: {kind: chat, provider: x, context_tokens: 10, max_output_tokens: 5, default_output_tokens: 5, input: "1", output: "1", aliases: [f2]}
  h: {kind: moderation, provider: x, context_tokens: 10, input: "0.01", output: "0"}
`), 0o600))
	_, err := models.Load(path)
	for _, want := range []string{
		"MODELS_FILE", `model a: input: "1,5"`, "model a: max_output_tokens", `model b: kind must be chat, completion, embedding, moderation, image, speech or transcription, got "video"`, "model b: provider",
		"model b: context_tokens", "model c: input is missing", "model c: an embedding has no output", "model d: input: \"2000000\" is above",
		"model e: an embedding has no output", `model e: vocabulary must be o200k_base, cl100k_base or bytes, got "gpt2"`,
		"model e: an embedding is not streamed", `model f: output_bound must be max_completion_tokens, max_tokens or none, got "tokens"`,
		`model f: alias "a" already names the model a`, `model f: alias "f2" already names the model f`, `model g: alias "f2" already names the model f`,
		"model h: a moderation has no output", "model h: a moderation is free",
		`model f: an alias must have 1 to 128 bytes, no control characters, and no white space around it, got ""`,
	} {
		require.ErrorContains(t, err, want)
	}
	_, err = models.Load(path + ".missing")
	require.ErrorContains(t, err, "MODELS_FILE")
	_, err = models.Parse([]byte("models: {a: {knd: chat}}"))
	require.ErrorContains(t, err, "knd")
	_, err = models.Parse([]byte("models: {}"))
	require.ErrorContains(t, err, "is empty")
}

// TestASloppyPriceList: what YAML would read in another way than a person does, or not at all.
func TestASloppyPriceList(t *testing.T) {
	const one = "models:\n  a: {kind: chat, provider: x, context_tokens: 1000, max_output_tokens: 100, default_output_tokens: 10, input: \"1\", output: \"1\""
	_, err := models.Parse([]byte(one + "}\n"))
	require.NoError(t, err)
	for file, want := range map[string]string{
		"":                           `"models" is empty`,
		"# nothing\n":                `"models" is empty`,
		one + "}\n---\nmodels: {}\n": "line 3: the file must end before this second document",
		one + "}\n---\n- [\n":        "the file must end after one document",
		strings.Replace(one, ": 1000", ": 01750", 1) + "}":    "line 2: a number must be decimal",
		strings.Replace(one, ": 1000", ": 0x3e8", 1) + "}":    "line 2: a number must be decimal",
		strings.Replace(one, ": 100,", ": 0o144,", 1) + "}":   "line 2: a number must be decimal",
		one + ", max_image_tokens: 0b11}":                     "line 2: a number must be decimal",
		strings.Replace(one, "  a:", `  "a ":`, 1) + "}":      "model a : the name must have",
		strings.Replace(one, "  a:", `  "a\u202e":`, 1) + "}": "the name must have",
		one + `, aliases: [" b"]}`:                            "an alias must have",
		one + `, refused_fields: [""]}`:                       "refused_fields must have names",
		one + `, refused_fields: [" store"]}`:                 "refused_fields must have names",
	} {
		_, err := models.Parse([]byte(file))
		require.ErrorContains(t, err, want, file)
	}
}
