package ai_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
)

// unknownImages are models whose images have a number of tokens that nobody has said.
const unknownImages = `
targets:
  a: {kind: compatible, base_url: "%s/v1"}
models:
  dear: {kind: chat, provider: x, context_tokens: 100000, max_output_tokens: 4000, default_output_tokens: 1000, input: "1", output: "4", targets: [{target: a}]}
  seen: {kind: chat, provider: x, context_tokens: 100000, max_output_tokens: 4000, default_output_tokens: 1000, input: "0", image_input: "1", output: "0", targets: [{target: a}]}
  quick: {kind: chat, provider: x, context_tokens: 100000, max_output_tokens: 4000, default_output_tokens: 1000, input: "0", output: "0", service_tiers: {priority: {input: "1", output: "1"}}, targets: [{target: a}]}
  free: {kind: chat, provider: x, context_tokens: 100000, max_output_tokens: 4000, default_output_tokens: 1000, input: "0", output: "1", targets: [{target: a}]}
  draw: {kind: image, provider: x, context_tokens: 90000, max_output_tokens: 6000, input: "5", image_output: "40", targets: [{target: a}]}
`

// TestImagesWithoutABoundAreRefused by the name of their field, with the setting that bounds them: a model of the operator's may use
// more tokens for an image than any number that Trivet could guess.
func TestImagesWithoutABoundAreRefused(t *testing.T) {
	const chats = aiv1.Endpoint_ENDPOINT_CHAT_COMPLETIONS
	const picture = `[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"https://example.com/a.png"}}]`
	chat := func(model, more string) posted {
		return plain(fmt.Sprintf(`{"model":%q%s,"messages":[{"role":"user","content":"a"},{"role":"user","content":%s}]}`, model, more, picture))
	}
	for name, c := range map[string]struct {
		endpoint     aiv1.Endpoint
		request      posted
		field, model string
	}{
		"a chat":                   {chats, chat("dear", ""), "messages[1].content[1].image_url", "dear"},
		"images at a price":        {chats, chat("seen", ""), "messages[1].content[1].image_url", "seen"},
		"a tier at a price":        {chats, chat("quick", `,"service_tier":"priority"`), "messages[1].content[1].image_url", "quick"},
		"a response":               {responses, plain(`{"model":"dear","store":false,"input":[{"role":"user","content":[{"type":"input_image","image_url":"https://example.com/a.png"}]}]}`), "input[0].content[0].image_url", "dear"},
		"the output of a function": {responses, plain(`{"model":"dear","store":false,"input":[{"type":"function_call_output","call_id":"c","output":[{"type":"input_image","image_url":"https://example.com/a.png"}]}]}`), "input[0].output[0].image_url", "dear"},
		"an edit":                  {edits, form(t, "model", "draw", "prompt", "a", "@image", "x"), "image", "draw"},
		"a mask":                   {edits, form(t, "model", "draw", "prompt", "a", "@mask", "x", "@image", "x"), "image", "draw"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t, withModels(fmt.Sprintf(unknownImages, "http://127.0.0.1:1")))
			a := h.send(c.endpoint, c.request)
			requireReason(t, invalidArgument, a.err)
			require.Len(t, a.err.Fields, 1)
			require.Equal(t, c.field, a.err.Fields[0].Name)
			require.Equal(t, fmt.Sprintf("The field %q is an image, and the price list does not say how many tokens an image of %s has at most, so its cost has no bound. "+
				"Ask the operator to set max_image_tokens of the model in MODELS_FILE.", c.field, c.model), a.err.Message)
			require.Empty(t, h.billing.Holds())
		})
	}
}

// TestImagesWithoutAPriceNeedNoBound: a model whose input is free may see any image. What it reports is believed up to its context.
func TestImagesWithoutAPriceNeedNoBound(t *testing.T) {
	for _, model := range []string{"free", "quick"} {
		server := serve(t, raw("application/json", usageOf("default", 90_000, 0, 0, 10, 0)))
		h := newFixture(t, withModels(fmt.Sprintf(unknownImages, server)))
		a := h.relay(aiv1.Endpoint_ENDPOINT_CHAT_COMPLETIONS, `{"model":"`+model+`","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}]}`)
		require.Nil(t, a.err, model)
		require.EqualValues(t, 200, a.head.GetStatus(), a.body)
		hold := h.settled()
		require.EqualValues(t, 100_000, hold.Request.GetInputTokens())
		require.EqualValues(t, 90_000, hold.Settled[0].GetUsage().GetInputTokens())
		require.NotContains(t, h.logged.String(), "exceeds the bound")
		if model == "free" {
			require.EqualValues(t, 10*1000, hold.Cost)
		}
	}
}
