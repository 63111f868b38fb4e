package models_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/models"
)

// The ledger bills at the model's price, so a price of a target would have no effect.
func TestTargetsHaveNoPricesOfTheirOwn(t *testing.T) {
	file := func(route string) []byte {
		return []byte(`targets:
  other: {kind: compatible, base_url: "http://127.0.0.1:9"}
models:
  a: {kind: chat, provider: openai, context_tokens: 10, max_output_tokens: 5, default_output_tokens: 5, input: "1", cached_input: "0.5", output: "2", targets: [` + route + `]}
`)
	}
	list, err := models.Parse(file(`{target: other, model: b}`))
	require.NoError(t, err)
	m, err := list.Get("a")
	require.NoError(t, err)
	require.Equal(t, m.InputPrice, m.Dearest().InputPrice)
	require.Equal(t, m.CachedInputPrice, m.Dearest().CachedInputPrice)
	require.Equal(t, m.OutputPrice, m.Dearest().OutputPrice)
	for _, field := range []string{"input", "cached_input", "output"} {
		for _, price := range []string{"9", "1", "0"} {
			_, err := models.Parse(file(`{target: other, ` + field + `: "` + price + `"}`))
			require.ErrorContains(t, err, "model a: "+field+" cannot be set for a target")
			require.ErrorContains(t, err, "line 4")
		}
	}
}
