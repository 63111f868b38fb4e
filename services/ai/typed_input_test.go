package ai_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

func text(s string) *aiv1.ContentPart {
	return &aiv1.ContentPart{Part: &aiv1.ContentPart_Text{Text: s}}
}

func image(i *aiv1.Image) *aiv1.ContentPart {
	return &aiv1.ContentPart{Part: &aiv1.ContentPart_Image{Image: i}}
}

func address(url string) *aiv1.Image { return &aiv1.Image{Source: &aiv1.Image_Url{Url: url}} }

func picture(media string, data ...byte) *aiv1.Image {
	return &aiv1.Image{Source: &aiv1.Image_Data{Data: data}, MediaType: media}
}

func parts(p ...*aiv1.ContentPart) []*aiv1.Message { return []*aiv1.Message{{Role: "user", Parts: p}} }

func TestChatSendsImages(t *testing.T) {
	h := newFixture(t)
	far := address("https://example.com/a.png?b=<c>")
	far.Detail = "low"
	_, err := h.Chat(t.Context(), &aiv1.ChatRequest{
		Model: "gpt-4o-mini", Messages: parts(text("what is this?"), image(far), image(picture("image/webp", 0xff, 0, 0xfe))),
	})
	require.NoError(t, err)
	require.Equal(t, []any{
		map[string]any{"type": "text", "text": "what is this?"},
		map[string]any{"type": "image_url", "image_url": map[string]any{"url": "https://example.com/a.png?b=<c>", "detail": "low"}},
		map[string]any{"type": "image_url", "image_url": map[string]any{"url": "data:image/webp;base64,/wD+"}},
	}, h.sent()["messages"].([]any)[0].(map[string]any)["content"])
	require.GreaterOrEqual(t, h.billing.Holds()[0].Request.GetInputTokens(), int32(2*48_169), "the hold covers both images")
}

func TestMessagesThatContradictThemselves(t *testing.T) {
	both := address("https://example.com/a.png")
	both.MediaType = "image/png"
	for name, c := range map[string]struct {
		messages []*aiv1.Message
		field    string
	}{
		"content and parts":       {[]*aiv1.Message{{Role: "user", Content: "a"}, {Role: "user", Content: "a", Parts: []*aiv1.ContentPart{text("b")}}}, "messages[1].parts"},
		"data without its format": {parts(text("a"), image(picture("", 1))), "messages[0].parts[1].image.mediaType"},
		"an address with one":     {parts(image(both)), "messages[0].parts[0].image.mediaType"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t)
			_, whole := h.Chat(t.Context(), &aiv1.ChatRequest{Model: "gpt-4o-mini", Messages: c.messages})
			_, streamed := h.stream(&aiv1.ChatStreamRequest{Model: "gpt-4o-mini", Messages: c.messages})
			_, counted := h.CountTokens(t.Context(), &aiv1.CountTokensRequest{Model: "gpt-4o-mini", Messages: c.messages})
			for _, err := range []error{whole, streamed, counted} {
				e := errs.From(err)
				requireReason(t, invalidArgument, e)
				require.Equal(t, c.field, e.Fields[0].Name)
			}
			require.Empty(t, h.billing.Holds())
			require.Zero(t, h.openai.Stats().Calls)
		})
	}
}

func TestChatAsksForJSON(t *testing.T) {
	schema, err := structpb.NewStruct(map[string]any{"type": "object"})
	require.NoError(t, err)
	ordered := `{"type":"object","properties":{"z":{"type":"number"},"a":{"const":9007199254740993}}}`
	for name, c := range map[string]struct {
		format *aiv1.ResponseFormat
		want   string // a part of the body
		field  string // of the error
	}{
		"any object": {&aiv1.ResponseFormat{}, `"response_format":{"type":"json_object"}`, ""},
		"a schema":   {&aiv1.ResponseFormat{Schema: schema}, `"response_format":{"type":"json_schema","json_schema":{"name":"answer","schema":{"type":"object"},"strict":false}}`, ""},
		"all of it": {
			&aiv1.ResponseFormat{Name: "w", Description: "d", SchemaJson: ordered, Strict: true},
			`"response_format":{"type":"json_schema","json_schema":{"name":"w","description":"d","schema":` + ordered + `,"strict":true}}`, "",
		},
		"strict about nothing": {&aiv1.ResponseFormat{Strict: true}, "", "responseFormat.strict"},
		"two schemas":          {&aiv1.ResponseFormat{Schema: schema, SchemaJson: ordered}, "", "responseFormat.schema"},
		"a list":               {&aiv1.ResponseFormat{SchemaJson: "[]"}, "", "responseFormat.schema"},
		"half an object":       {&aiv1.ResponseFormat{SchemaJson: `{"type":`}, "", "responseFormat.schema"},
		"a huge schema":        {&aiv1.ResponseFormat{SchemaJson: `{"enum":[` + strings.Repeat("1,", 20_000) + `1]}`}, "", "responseFormat.schema"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t)
			_, err := h.Chat(t.Context(), &aiv1.ChatRequest{Model: "gpt-4o-mini", Messages: user("hi"), ResponseFormat: c.format, Seed: proto.Int32(0)})
			if c.field != "" {
				e := errs.From(err)
				requireReason(t, invalidArgument, e)
				require.Equal(t, c.field, e.Fields[0].Name)
				require.Zero(t, h.openai.Stats().Calls)
				return
			}
			require.NoError(t, err)
			last, _ := h.openai.LastRequest()
			require.Contains(t, string(last.Body), c.want)
			require.Contains(t, string(last.Body), `"seed":0`, "a seed of zero is a seed")
			_, err = h.stream(&aiv1.ChatStreamRequest{Model: "gpt-4o-mini", Messages: user("hi"), ResponseFormat: c.format, Seed: proto.Int32(-1 << 31)})
			require.NoError(t, err)
			last, _ = h.openai.LastRequest()
			require.Contains(t, string(last.Body), c.want)
			require.Contains(t, string(last.Body), `"seed":-2147483648`)
		})
	}
}

// TestCountTokens compares the count with what the provider counts for the same conversation.
func TestCountTokens(t *testing.T) {
	h := newFixture(t)
	for name, c := range map[string]*aiv1.CountTokensRequest{
		"a question": {Model: "gpt-4o-mini", Messages: user("What is the weather in Oslo, and will it be colder tomorrow?")},
		"dialogue":   {Model: "gpt-4.1", Messages: []*aiv1.Message{{Role: "system", Content: "Be brief."}, {Role: "user", Content: "Hi"}, {Role: "assistant", Content: "Hello!"}, {Role: "user", Content: "Bye"}}},
		"a tool":     {Model: "gpt-4o-mini", Messages: user("hi"), Tools: []*aiv1.Tool{{Name: "weather", Description: "Returns the weather."}}},
		"a format":   {Model: "gpt-4o-mini", Messages: user("hi"), ResponseFormat: &aiv1.ResponseFormat{}},
	} {
		t.Run(name, func(t *testing.T) {
			calls, holds := h.openai.Stats().Calls, len(h.billing.Holds())
			got, err := h.CountTokens(t.Context(), c)
			require.NoError(t, err)
			require.Equal(t, calls, h.openai.Stats().Calls, "the provider is not asked")
			require.Len(t, h.billing.Holds(), holds, "counting is free")
			require.True(t, got.GetExact())
			res, err := h.Chat(t.Context(), &aiv1.ChatRequest{Model: c.GetModel(), Messages: c.GetMessages(), Tools: c.GetTools(), ResponseFormat: c.GetResponseFormat()})
			require.NoError(t, err)
			require.GreaterOrEqual(t, got.GetInputTokens(), res.GetUsage().GetInputTokens())
			require.LessOrEqual(t, got.GetInputTokens(), res.GetUsage().GetInputTokens()*2+128, "and it is not far above")
		})
	}
	t.Run("the cost", func(t *testing.T) {
		got, err := h.CountTokens(t.Context(), &aiv1.CountTokensRequest{Model: "gpt-4o-mini", Messages: user("hi")})
		require.NoError(t, err)
		require.Equal(t, int64(got.GetInputTokens())*150, got.GetCostNanoUsd(), "$0.15 a million")
	})
	t.Run("an image", func(t *testing.T) {
		got, err := h.CountTokens(t.Context(), &aiv1.CountTokensRequest{Model: "gpt-4.1", Messages: parts(image(picture("image/png", 1)))})
		require.NoError(t, err)
		require.False(t, got.GetExact())
		require.Greater(t, got.GetInputTokens(), int32(4_096))
	})
	t.Run("a long text", func(t *testing.T) {
		got, err := h.CountTokens(t.Context(), &aiv1.CountTokensRequest{Model: "gpt-4.1", Messages: user(strings.Repeat("a word ", 100_000))})
		require.NoError(t, err)
		require.False(t, got.GetExact())
		require.GreaterOrEqual(t, got.GetInputTokens(), int32(200_000))
	})
	t.Run("an unknown model", func(t *testing.T) {
		_, err := h.CountTokens(t.Context(), &aiv1.CountTokensRequest{Model: "gpt-9", Messages: user("hi")})
		requireReason(t, errorsv1.ErrorReason_ERROR_REASON_MODEL_NOT_FOUND, errs.From(err))
	})
	t.Run("a model of another kind", func(t *testing.T) {
		_, err := h.CountTokens(t.Context(), &aiv1.CountTokensRequest{Model: "text-embedding-3-small", Messages: user("hi")})
		requireReason(t, invalidArgument, errs.From(err))
	})
}

// TestImagesStayWithinTheHold for an image as large as a request can be.
func TestImagesStayWithinTheHold(t *testing.T) {
	h := newFixture(t)
	data := make([]byte, 1<<20)
	_, err := h.Chat(t.Context(), &aiv1.ChatRequest{Model: "gpt-4.1", Messages: parts(image(picture("image/jpeg", data...)))})
	require.NoError(t, err)
	require.Less(t, h.billing.Holds()[0].Request.GetInputTokens(), int32(8_000), "the bytes of an image are not text")
	last, _ := h.openai.LastRequest()
	require.Contains(t, string(last.Body), "data:image/jpeg;base64,"+base64.StdEncoding.EncodeToString(data[:300]))
}
