package e2e

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/sashabaranov/go-openai"
	"github.com/stretchr/testify/require"
)

// OpenAI's own JavaScript SDK, with nothing changed but its base URL.
func TestOfficialNodeSDK(t *testing.T) {
	web, err := filepath.Abs(filepath.Join("..", "..", "web"))
	require.NoError(t, err)
	if _, err := os.Stat(filepath.Join(web, "node_modules", "openai")); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("web/node_modules is missing: run `make web/node_modules`")
		}
		t.Skip("SKIPPED: OpenAI's JavaScript SDK is not here; `make web/node_modules` installs it (needs Node.js)")
	}
	inEachMode(t, func(t *testing.T, in *installation) {
		ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
		defer cancel()
		cmd := exec.CommandContext(ctx, "node", filepath.Join(web, "test", "openai.mjs"), in.edge+"/v1", in.token("user_node", nil), in.sandbox)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Contains(t, string(out), "10 steps passed")
	})
}

func TestGoSDK(t *testing.T) {
	in := allInOne(t)
	config := openai.DefaultConfig(in.token("user_go", nil))
	config.BaseURL = in.edge + "/v1"
	client := openai.NewClientWithConfig(config)
	request := openai.ChatCompletionRequest{Model: "gpt-4o-mini", Messages: []openai.ChatCompletionMessage{{Role: "user", Content: "Hello"}}}

	answer, err := client.CreateChatCompletion(t.Context(), request)
	require.NoError(t, err)
	require.NotEmpty(t, answer.Choices[0].Message.Content)

	stream, err := client.CreateChatCompletionStream(t.Context(), request)
	require.NoError(t, err)
	defer func() { require.NoError(t, stream.Close()) }()
	pieces := 0
	for {
		_, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		pieces++
	}
	require.Greater(t, pieces, 2)

	vectors, err := client.CreateEmbeddings(t.Context(), openai.EmbeddingRequestStrings{Input: []string{"a"}, Model: openai.SmallEmbedding3})
	require.NoError(t, err)
	require.Len(t, vectors.Data[0].Embedding, 1536)

	request.Model = "gpt-99"
	_, err = client.CreateChatCompletion(t.Context(), request)
	var refused *openai.APIError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, http.StatusNotFound, refused.HTTPStatusCode)
	require.Equal(t, "model_not_found", refused.Code)
}
