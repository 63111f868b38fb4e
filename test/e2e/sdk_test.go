package e2e

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sashabaranov/go-openai"
	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/skip"
)

// sdkFolder is the folder with the tests in JavaScript. It skips the test when their packages are not installed.
func sdkFolder(t *testing.T) string {
	t.Helper()
	folder, err := filepath.Abs(filepath.Join("..", "sdk"))
	require.NoError(t, err)
	_, err = os.Stat(filepath.Join(folder, "node_modules", "openai"))
	skip.Unless(t, "packages for Node.js", err, "run `make test/sdk/node_modules` (needs Node.js)")
	return folder
}

// node runs a program of Node.js and returns its output.
func node(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, "node", args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

// OpenAI's own JavaScript SDK, with nothing changed but its base URL.
func TestOfficialNodeSDK(t *testing.T) {
	folder := sdkFolder(t)
	inEachMode(t, func(t *testing.T, in *installation) {
		out := node(t, filepath.Join(folder, "openai.mjs"), in.edge+"/v1", in.token("user_node", nil), in.sandbox)
		require.Contains(t, out, "10 steps passed")
	})
}

// A Node.js back end that speaks gRPC through gen/es.
func TestNodeGRPC(t *testing.T) {
	folder := sdkFolder(t)
	in := allInOne(t)
	address, ok := strings.CutPrefix(in.grpc[0], "TRIVET_GRPC_ADDR=")
	require.True(t, ok)
	out := node(t, "--preserve-symlinks", "--preserve-symlinks-main", filepath.Join(folder, "grpc.mjs"), address, in.token("user_node_grpc", nil))
	require.Contains(t, out, "5 steps passed")
}

// gen/es compiles in a strict TypeScript project under "moduleResolution": "nodenext".
func TestGeneratedTypeScriptCompiles(t *testing.T) {
	folder := sdkFolder(t)
	node(t, filepath.Join(folder, "node_modules", "typescript", "bin", "tsc"), "-p", folder)
}

// What Trivet translates to the Responses API has every member that the types of OpenAI's client require, and no other, and so have the edge's errors. The
// answers and events are those of TestTranslatedAnswersAreTyped, the errors those of TestErrorsAreTyped.
func TestTranslatedAnswersCompile(t *testing.T) {
	folder := sdkFolder(t)
	clients := filepath.Join(folder, "clients")
	_, err := os.Stat(filepath.Join(clients, "node_modules", "openai"))
	skip.Unless(t, "OpenAI's clients for Node.js", err, "run `make test/sdk/clients/node_modules` (needs Node.js)")
	compiler := filepath.Join(folder, "node_modules", "typescript", "bin", "tsc")
	node(t, compiler, "-p", clients)

	// The check itself works: one member too many, a wrong type, and a missing member in three answers do not compile.
	read, err := os.ReadFile(filepath.Join(clients, "translated.ts"))
	require.NoError(t, err)
	answers := strings.Replace(string(read), `"background": false,`, `"surprise": 1, "background": false,`, 1)
	answers = strings.Replace(answers, `"output_index": 0,`, `"output_index": "0",`, 1)
	last := strings.LastIndex(answers, `"object": "response",`)
	answers = answers[:last] + strings.TrimPrefix(answers[last:], `"object": "response",`)
	broken, config := filepath.Join(clients, "broken.ts"), filepath.Join(clients, "broken.json")
	t.Cleanup(func() { _, _ = os.Remove(broken), os.Remove(config) })
	require.NoError(t, os.WriteFile(broken, []byte(answers), 0o600))
	require.NoError(t, os.WriteFile(config, []byte(`{"extends":"./tsconfig.json","files":["broken.ts"]}`), 0o600))
	out, err := exec.CommandContext(t.Context(), "node", compiler, "-p", config).CombinedOutput()
	require.Error(t, err)
	for _, problem := range []string{`"surprise"' does not exist`, "Type 'string' is not assignable to type 'number'", "Property 'object' is missing"} {
		require.Contains(t, string(out), problem)
	}
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
