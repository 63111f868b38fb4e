package openai_test

import (
	"errors"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"

	goopenai "github.com/sashabaranov/go-openai"
	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/sandbox/openai"
)

func embed(t *testing.T, s *server, req goopenai.EmbeddingRequestConverter) goopenai.EmbeddingResponse {
	t.Helper()
	resp, err := s.client.CreateEmbeddings(t.Context(), req)
	require.NoError(t, err)
	return resp
}

func dot(a, b []float32) float64 {
	var sum float64
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

func TestEmbeddings(t *testing.T) {
	s := serve(t, openai.Config{})
	req := goopenai.EmbeddingRequestStrings{Model: goopenai.SmallEmbedding3, Input: []string{"the red fox", "the red dog", "quantum field theory"}}
	resp := embed(t, s, req)
	require.Equal(t, "text-embedding-3-small", string(resp.Model))
	require.Equal(t, 9, resp.Usage.PromptTokens)
	require.Equal(t, 9, resp.Usage.TotalTokens)
	require.Len(t, resp.Data, 3)
	for i, d := range resp.Data {
		require.Equal(t, i, d.Index)
		require.Len(t, d.Embedding, 1536)
		require.InDelta(t, 1, math.Sqrt(dot(d.Embedding, d.Embedding)), 1e-4)
	}
	near, far := dot(resp.Data[0].Embedding, resp.Data[1].Embedding), dot(resp.Data[0].Embedding, resp.Data[2].Embedding)
	require.Greater(t, near, far+0.3, "texts that share words are near")
	require.Equal(t, resp.Data, embed(t, s, req).Data)

	req.EncodingFormat = goopenai.EmbeddingEncodingFormatBase64
	require.Equal(t, resp.Data, embed(t, s, req).Data, "base64 carries the same numbers")

	req.Model, req.EncodingFormat = goopenai.LargeEmbedding3, ""
	require.Len(t, embed(t, s, req).Data[0].Embedding, 3072)
	req.Dimensions = 64
	require.Len(t, embed(t, s, req).Data[0].Embedding, 64)

	tokens := embed(t, s, goopenai.EmbeddingRequestTokens{Model: goopenai.SmallEmbedding3, Input: [][]int{{1, 2, 3}, {4}}})
	require.Len(t, tokens.Data, 2)
	require.Equal(t, 4, tokens.Usage.PromptTokens)
}

func TestEmbeddingInputsInAllForms(t *testing.T) {
	s := serve(t, openai.Config{})
	for name, test := range map[string]struct {
		body   string
		status int
	}{
		"a string":          {`{"model":"text-embedding-3-small","input":"one"}`, 200},
		"a list of strings": {`{"model":"text-embedding-3-small","input":["one","two"]}`, 200},
		"tokens":            {`{"model":"text-embedding-3-small","input":[1,2]}`, 200},
		"lists of tokens":   {`{"model":"text-embedding-3-small","input":[[1],[2]]}`, 200},
		"no input":          {`{"model":"text-embedding-3-small"}`, 400},
		"empty string":      {`{"model":"text-embedding-3-small","input":""}`, 400},
		"one of them empty": {`{"model":"text-embedding-3-small","input":["one",""]}`, 400},
		"empty list":        {`{"model":"text-embedding-3-small","input":[]}`, 400},
		"an object":         {`{"model":"text-embedding-3-small","input":{}}`, 400},
		"no model":          {`{"input":"one"}`, 400},
		"chat model":        {`{"model":"gpt-4o","input":"one"}`, 404},
		"too many dims":     {`{"model":"text-embedding-3-small","input":"one","dimensions":1537}`, 400},
		"no dims":           {`{"model":"text-embedding-3-small","input":"one","dimensions":0}`, 400},
		"odd encoding":      {`{"model":"text-embedding-3-small","input":"one","encoding_format":"hex"}`, 400},
	} {
		t.Run(name, func(t *testing.T) {
			resp := s.do(t, "POST", "/v1/embeddings", test.body)
			require.Equal(t, test.status, resp.status)
			if test.status != http.StatusOK {
				resp.error(t)
			}
		})
	}
}

func TestLegacyCompletions(t *testing.T) {
	s := serve(t, openai.Config{})
	req := goopenai.CompletionRequest{Model: "gpt-3.5-turbo-instruct", Prompt: []string{"once upon", "a time"}, MaxTokens: 4}
	resp, err := s.client.CreateCompletion(t.Context(), req)
	require.NoError(t, err)
	require.Len(t, resp.Choices, 2)
	require.Equal(t, "You said once upon", resp.Choices[0].Text)
	require.Equal(t, "length", resp.Choices[0].FinishReason)
	require.Equal(t, 8, resp.Usage.CompletionTokens)

	require.Equal(t, http.StatusBadRequest, s.do(t, "POST", "/v1/completions", `{"model":"gpt-3.5-turbo-instruct"}`).status)
	require.Equal(t, http.StatusBadRequest, s.do(t, "POST", "/v1/completions", `{"model":"gpt-3.5-turbo-instruct","prompt":["a","b"],"n":65}`).status)
	require.Equal(t, http.StatusNotFound, s.do(t, "POST", "/v1/completions", `{"model":"gpt-4o","prompt":"a"}`).status)
}

func TestLegacyCompletionsStream(t *testing.T) {
	s := serve(t, openai.Config{})
	stream, err := s.client.CreateCompletionStream(t.Context(), goopenai.CompletionRequest{
		Model: "gpt-3.5-turbo-instruct", Prompt: "once upon", MaxTokens: 4, N: 2, StreamOptions: &goopenai.StreamOptions{IncludeUsage: true},
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, stream.Close()) }()
	texts, ends, used := [2]string{}, 0, 0
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		for _, c := range chunk.Choices {
			texts[c.Index] += c.Text
			if c.FinishReason == "length" {
				ends++
			}
		}
		if chunk.Usage != nil {
			used = chunk.Usage.CompletionTokens
		}
	}
	require.Equal(t, [2]string{"You said once upon", "You said once upon"}, texts)
	require.Equal(t, 2, ends)
	require.Equal(t, 8, used)
	require.EqualValues(t, 8, s.Fake.Stats().CompletionTokens)
}

func TestModerations(t *testing.T) {
	s := serve(t, openai.Config{})
	good, err := s.client.Moderations(t.Context(), goopenai.ModerationRequest{Input: "hello"})
	require.NoError(t, err)
	require.False(t, good.Results[0].Flagged)
	bad, err := s.client.Moderations(t.Context(), goopenai.ModerationRequest{Input: "please flagme"})
	require.NoError(t, err)
	require.True(t, bad.Results[0].Flagged)
	require.True(t, bad.Results[0].Categories.Violence)
	require.Equal(t, http.StatusBadRequest, s.do(t, "POST", "/v1/moderations", `{}`).status)
}

func TestSpeechAsEvents(t *testing.T) {
	s := serve(t, openai.Config{})
	say := func(model string) reply {
		return s.do(t, http.MethodPost, "/v1/audio/speech", `{"model":"`+model+`","voice":"alloy","input":"It is good to speak","stream_format":"sse"}`)
	}
	r := say("gpt-4o-mini-tts")
	require.Equal(t, "text/event-stream; charset=utf-8", r.header.Get("Content-Type"))
	require.Equal(t, 2, strings.Count(r.body, `{"type":"speech.audio.delta","audio":"`))
	require.True(t, strings.HasSuffix(r.body, `{"type":"speech.audio.done","usage":{"input_tokens":5,"output_tokens":20,"total_tokens":25}}`+"\n\n"), r.body)

	require.Equal(t, http.StatusBadRequest, say("tts-1").status, "it has no events")
}
