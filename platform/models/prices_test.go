package models_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/trivet-dev/trivet/platform/models"
)

const pricedModels = `models:
  all:
    {kind: chat, provider: x, context_tokens: 1000000, max_output_tokens: 5000, default_output_tokens: 5000, input: "1", cached_input: "0.25", output: "4",
     audio_input: "10", image_input: "2", audio_output: "20",
     long_context: {above: 1000, input: "2", cached_input: "0.5", output: "6"},
     service_tiers: {flex: {input: "0.5", cached_input: "0.125", output: "2", long_context: {above: 1000, input: "1", output: "3"}},
                     priority: {input: "3", output: "12", long_context: {above: 500, input: "5", output: "15"}}},
     tools: {web_search: "0.01", code_interpreter: "0.03"}}
  paint: {kind: image, provider: x, context_tokens: 9000, input: "0", images: {"hd/1x1": "0.08"}}
  draw: {kind: image, provider: x, context_tokens: 9000, max_output_tokens: 6000, input: "5", image_input: "10", image_output: "40"}
  say: {kind: speech, provider: x, context_tokens: 4096, input: "0", characters: "15"}
  hear: {kind: transcription, provider: x, context_tokens: 4096, input: "0", minute: "0.006", max_audio_seconds: 60}
`

func TestPrice(t *testing.T) {
	list, err := models.Parse([]byte(pricedModels))
	require.NoError(t, err)
	for name, c := range map[string]struct {
		model string
		used  models.Quantities
		want  int64
	}{
		"text":                {"all", models.Quantities{Input: 100, Cached: 40, Output: 10}, 60*1000 + 40*250 + 10*4000},
		"sound and images":    {"all", models.Quantities{Input: 100, AudioInput: 30, ImageInput: 20, Output: 10, AudioOutput: 4}, 50*1000 + 30*10_000 + 20*2000 + 6*4000 + 4*20_000},
		"cached text only":    {"all", models.Quantities{Input: 100, Cached: 90, AudioInput: 30}, 70*250 + 30*10_000},
		"at the step":         {"all", models.Quantities{Input: 1000}, 1000 * 1000},
		"above the step":      {"all", models.Quantities{Input: 1001, Cached: 1, Output: 2}, 1000*2000 + 500 + 2*6000},
		"flex":                {"all", models.Quantities{Input: 100, Cached: 40, Output: 10, Tier: "flex"}, 60*500 + 40*125 + 10*2000},
		"flex above the step": {"all", models.Quantities{Input: 2000, Cached: 1000, Output: 10, Tier: "flex"}, 2000*1000 + 10*3000},
		"a tier's own step":   {"all", models.Quantities{Input: 501, Tier: "priority"}, 501 * 5000},
		"tools":               {"all", models.Quantities{Input: 1, Tools: map[string]int64{"web_search": 3, "code_interpreter": 1}}, 1000 + 60_000_000},
		"images":              {"paint", models.Quantities{Images: 3, Image: "hd/1x1"}, 240_000_000},
		"tokens of images":    {"draw", models.Quantities{Images: 3, Input: 30, ImageInput: 20, Output: 100, ImageOutput: 100}, 10*5000 + 20*10_000 + 100*40_000},
		"characters":          {"say", models.Quantities{Characters: 7}, 7 * 15_000},
		"milliseconds":        {"hear", models.Quantities{AudioMillis: 1500}, 150_000},
		"a millisecond":       {"hear", models.Quantities{AudioMillis: 1}, 100},
	} {
		m, err := list.Get(c.model)
		require.NoError(t, err)
		got, err := m.Price(c.used)
		require.NoError(t, err, name)
		require.Equal(t, c.want, got, name)
	}
	for name, q := range map[string]models.Quantities{
		"an unknown tier": {Tier: "turbo"}, "an unknown tool": {Tools: map[string]int64{"mcp": 1}}, "more parts than all": {Input: 1, AudioInput: 1, ImageInput: 1},
		"more cached than input": {Input: 1, Cached: 2}, "a negative count": {AudioMillis: -1}, "a negative part": {Output: 1, AudioOutput: -1}, "too much": {Tools: map[string]int64{"web_search": 1 << 62}},
	} {
		m, err := list.Get("all")
		require.NoError(t, err)
		_, err = m.Price(q)
		require.Error(t, err, name)
	}
	m, err := list.Get("paint")
	require.NoError(t, err)
	_, err = m.Price(models.Quantities{Images: 1, Image: "sd/1x1"})
	require.Error(t, err, "an image without a price")
}

// A plain model's price is that of its tokens.
func TestPriceOfTextIsItsCost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(0, 1e9)
		m := models.Model{InputPrice: n.Draw(t, "in"), CachedInputPrice: n.Draw(t, "cached"), OutputPrice: n.Draw(t, "out")}
		input, output := n.Draw(t, "input"), n.Draw(t, "output")
		cached := rapid.Int64Range(0, input).Draw(t, "cachedInput")
		want, err := m.Cost(input, cached, output)
		require.NoError(t, err)
		got, err := m.Price(models.Quantities{Input: input, Cached: cached, Output: output})
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

// Whatever a call uses within its bounds costs at most what is held for them: by both tiers, and on both sides of the step.
func TestWorstBoundsThePrice(t *testing.T) {
	list, err := models.Parse([]byte(pricedModels))
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		m, err := list.Get(rapid.SampledFrom([]string{"all", "paint", "draw", "say", "hear"}).Draw(t, "model"))
		require.NoError(t, err)
		upTo := func(name string, most int64) int64 { return rapid.Int64Range(0, most).Draw(t, name) }
		most := models.Quantities{
			Input: upTo("most input", 3000), Output: upTo("most output", 3000), Images: upTo("most images", 10), Image: "hd/1x1",
			AudioMillis: upTo("most sound", 1e7), Characters: upTo("most characters", 5000),
		}
		used := models.Quantities{
			Input: upTo("input", most.Input), Output: upTo("output", most.Output), Images: upTo("images", most.Images), Image: "hd/1x1",
			AudioMillis: upTo("sound", most.AudioMillis), Characters: upTo("characters", most.Characters),
		}
		if rapid.Bool().Draw(t, "sounds") {
			most.AudioInput, most.AudioOutput = 1, 1
			used.AudioInput, used.AudioOutput = upTo("audio input", used.Input), upTo("audio output", used.Output)
		}
		if rapid.Bool().Draw(t, "images") {
			most.ImageInput, most.ImageOutput = 1, 1
			used.ImageInput, used.ImageOutput = upTo("image input", used.Input-used.AudioInput), upTo("image output", used.Output-used.AudioOutput)
		}
		used.Cached = upTo("cached", used.Input)
		if m.ID == "all" {
			most.Tier = rapid.SampledFrom([]string{"", "flex", "priority"}).Draw(t, "tier")
			used.Tier = rapid.SampledFrom([]string{"", most.Tier}).Draw(t, "served tier")
			calls := upTo("most calls", 9)
			most.Tools = map[string]int64{"code_interpreter": calls}
			search := upTo("searches", calls)
			used.Tools = map[string]int64{"web_search": search, "code_interpreter": upTo("runs", calls-search)}
		}
		worst, err := m.Worst(most)
		require.NoError(t, err)
		held, err := models.Model{InputPrice: worst.Input, OutputPrice: worst.Output}.Cost(most.Input, 0, most.Output)
		require.NoError(t, err)
		cost, err := m.Price(used)
		require.NoError(t, err)
		require.LessOrEqual(t, cost, held+worst.Fixed)
	})
}

func TestMistakesInPrices(t *testing.T) {
	const chat = `kind: chat, provider: x, context_tokens: 100, max_output_tokens: 5, default_output_tokens: 5, input: "1", output: "1"`
	for row, want := range map[string]string{
		chat + `, images: {"a/b": "1"}`:                                       "images is not for the kind chat",
		chat + `, minute: "1"`:                                                "minute is not for the kind chat",
		chat + `, characters: "1"`:                                            "characters is not for the kind chat",
		chat + `, image_output: "1"`:                                          "image_output is not for the kind chat",
		chat + `, max_audio_seconds: 5`:                                       "max_audio_seconds is not for the kind chat",
		chat + `, audio_input: "1,5"`:                                         "audio_input: \"1,5\" is not an amount of dollars",
		chat + `, tools: {web_search: "x"}`:                                   "web_search: \"x\" is not an amount of dollars",
		chat + `, service_tiers: {auto: {input: "1", output: "1"}}`:           `"auto" cannot have prices`,
		chat + `, service_tiers: {"a b": {input: "1", output: "1"}}`:          `"a b" cannot have prices`,
		chat + `, service_tiers: {flex: {output: "1"}}`:                       "service_tiers/flex/input is missing",
		chat + `, service_tiers: {flex: {input: "1", output: "1", above: 5}}`: "above belongs under long_context",
		chat + `, long_context: {above: 100, input: "1", output: "1"}`:        "above must be at least 1 and less than context_tokens, got 100",
		chat + `, long_context: {above: 50, input: "1"}`:                      "long_context/output is missing",
		chat + `, long_context: {above: 50, input: "1", output: "1"}, service_tiers: {flex: {input: "1", output: "1"}}`:            "flex must have a long_context if the model has one",
		`kind: image, provider: x, context_tokens: 100, input: "0"`:                                                                "set either images (a price for each quality and size) or image_output (a price for a million tokens)",
		`kind: image, provider: x, context_tokens: 100, input: "0", images: {"a/b": "1"}, image_output: "1", max_output_tokens: 5`: "set either images (a price for each quality and size) or image_output (a price for a million tokens)",
		`kind: image, provider: x, context_tokens: 100, input: "0", image_output: "1"`:                                             "max_output_tokens must be the most tokens of one image",
		`kind: image, provider: x, context_tokens: 100, input: "0", images: {"a/b": "1"}, reasoning: true`:                         "remove every field about bounds",
		`kind: speech, provider: x, context_tokens: 100, input: "0"`:                                                               "characters is needed",
		`kind: speech, provider: x, context_tokens: 100, input: "0", characters: "1", output: "1"`:                                 "characters is needed, and output",
		`kind: transcription, provider: x, context_tokens: 100, input: "0", minute: "1"`:                                           "max_audio_seconds must be from 1",
		`kind: transcription, provider: x, context_tokens: 100, input: "0", max_audio_seconds: 5`:                                  "minute (or audio_input, but not both) must be set",
		`kind: transcription, provider: x, context_tokens: 100, input: "0", max_audio_seconds: 5, audio_input: "1"`:                "and output must be set if audio_input is",
	} {
		_, err := models.Parse([]byte("models: {a: {" + row + "}}"))
		require.ErrorContains(t, err, want, row)
	}
}
