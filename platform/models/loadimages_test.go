package models_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/models"
)

// TestTokensOfAnImage: a file says how many an image of a model has at most. Only models of the embedded list that are served under
// their names need not say it.
func TestTokensOfAnImage(t *testing.T) {
	const targets = `targets:
  router: {kind: compatible, base_url: "https://router.test/v1"}
  azure: {kind: azure, base_url: "https://azure.test", keys: [AZURE_KEY], api_version: 2024-10-21}
`
	chat := func(id, more string) string {
		return fmt.Sprintf("models:\n  %s: {kind: chat, provider: x, context_tokens: 100000, max_output_tokens: 5, default_output_tokens: 5, input: \"1\", output: \"1\"%s}\n", id, more)
	}
	image := func(id, more string) string {
		return fmt.Sprintf("models:\n  %s: {kind: image, provider: x, context_tokens: 100000, input: \"1\"%s}\n", id, more)
	}
	const byToken = `, image_output: "1", max_output_tokens: 5`
	for name, c := range map[string]struct {
		file string
		id   string
		want int64
	}{
		"said":                     {chat("m", ", max_image_tokens: 16384"), "m", 16_384},
		"the whole context":        {chat("m", ", max_image_tokens: 100000"), "m", 100_000},
		"one":                      {chat("m", ", max_image_tokens: 1"), "m", 1},
		"not said":                 {chat("m", ""), "m", 0},
		"known":                    {chat("gpt-4o", ""), "gpt-4o", 4096},
		"known, dear":              {chat("gpt-4o-mini", ""), "gpt-4o-mini", 48_169},
		"known by its date":        {chat("gpt-4o-mini-2024-07-18", ""), "gpt-4o-mini-2024-07-18", 48_169},
		"known, but said":          {chat("gpt-4o-mini", ", max_image_tokens: 7"), "gpt-4o-mini", 7},
		"like a known one":         {chat("gpt-4o-mini-tuned", ""), "gpt-4o-mini-tuned", 0},
		"another name":             {chat("m", ", targets: [{target: openai, model: gpt-4o-mini}]"), "m", 48_169},
		"a router's name":          {targets + chat("gpt-4o", ", targets: [{target: router, model: openai/gpt-4o}]"), "gpt-4o", 4096},
		"the dearest target":       {targets + chat("m", ", targets: [{target: openai, model: gpt-4o}, {target: router, model: openai/gpt-4o-mini}]"), "m", 48_169},
		"a known name of another":  {targets + chat("gpt-4o", ", targets: [{target: openai}, {target: router, model: qwen-vl}]"), "gpt-4o", 0},
		"a deployment":             {targets + chat("gpt-4o", ", targets: [{target: azure, model: mine}]"), "gpt-4o", 4096},
		"a deployment of a model":  {targets + chat("m", ", targets: [{target: azure, model: gpt-4o}]"), "m", 0},
		"an embedding":             {"models:\n  gpt-4o: {kind: embedding, provider: x, context_tokens: 10, input: \"1\"}\n", "gpt-4o", 0},
		"images, said":             {image("m", byToken+", max_image_tokens: 9"), "m", 9},
		"images, not said":         {image("m", byToken), "m", 0},
		"images, known":            {image("gpt-image-1", byToken), "gpt-image-1", 8192},
		"images at a price apiece": {image("gpt-image-1", `, images: {"a/b": "1"}`), "gpt-image-1", 0},
	} {
		list, err := models.Parse([]byte(c.file))
		require.NoError(t, err, name)
		m, err := list.Get(c.id)
		require.NoError(t, err, name)
		require.Equal(t, c.want, m.MaxImageTokens, name)
		for _, r := range m.Routes {
			require.Equal(t, c.want, r.Model.MaxImageTokens, name)
		}
	}
	for file, want := range map[string]string{
		chat("m", ", max_image_tokens: 0"):                        "line 2: model m: max_image_tokens must be from 1 to context_tokens, got 0",
		chat("m", ", max_image_tokens: -1"):                       "max_image_tokens must be from 1 to context_tokens, got -1",
		chat("m", ", max_image_tokens: 100001"):                   "max_image_tokens must be from 1 to context_tokens, got 100001",
		chat("m", ", max_image_tokens: many"):                     "not a price list",
		image("m", `, images: {"a/b": "1"}, max_image_tokens: 5`): "max_image_tokens is not for a model with a price for each image",

		"models:\n  e: {kind: embedding, provider: x, context_tokens: 10, input: \"1\", max_image_tokens: 5}": "max_image_tokens is not for the kind embedding",
	} {
		_, err := models.Parse([]byte(file))
		require.ErrorContains(t, err, want)
	}
}

// TestTheEmbeddedListSaysTheTokensOfImages for each model that sees images at a price.
func TestTheEmbeddedListSaysTheTokensOfImages(t *testing.T) {
	list, err := models.Default()
	require.NoError(t, err)
	seeing := 0
	for _, m := range list.All() {
		if m.Kind == models.KindChat || m.Kind == models.KindImage && len(m.Prices.Images) == 0 {
			seeing++
			require.Positive(t, m.MaxImageTokens, m.ID)
		} else {
			require.Zero(t, m.MaxImageTokens, m.ID)
		}
	}
	require.Equal(t, 12, seeing)
}
