package e2e

import (
	"bytes"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/sandbox/openai"
)

// formOf writes a form of a file, which has that name and content, and of the other fields, by name and value.
func formOf(t *testing.T, file, content string, fields ...string) (kind, body string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	part, err := w.CreateFormFile(file, "file")
	require.NoError(t, err)
	_, err = part.Write([]byte(content))
	require.NoError(t, err)
	for i := 0; i < len(fields); i += 2 {
		require.NoError(t, w.WriteField(fields[i], fields[i+1]))
	}
	require.NoError(t, w.Close())
	return w.FormDataContentType(), b.String()
}

// TestImagesAndSound: each endpoint answers through the edge, its cost is in the ledger and the log of requests when the answer has
// ended, and nothing stays held.
func TestImagesAndSound(t *testing.T) {
	inEachMode(t, func(t *testing.T, in *installation) {
		token, sound := in.token("user_alice", nil), string(openai.WAV(2500))
		const js = "application/json"
		edit, edited := formOf(t, "image", "png", "model", "gpt-image-1", "prompt", "make it blue", "quality", "low", "size", "1024x1024")
		hear, heard := formOf(t, "file", sound, "model", "whisper-1")
		hearSlowly, heardSlowly := formOf(t, "file", sound, "model", "gpt-4o-transcribe", "stream", "true")
		translate, translated := formOf(t, "file", sound, "model", "whisper-1")
		for _, c := range []struct {
			path, kind, body, answers, contains string
			cost                                int64
			details                             map[string]any
		}{
			{"images/generations", js, `{"model":"dall-e-3","prompt":"a red square"}`, js, `"url"`, 40_000_000, map[string]any{"images": 1.0}},
			{"images/generations", js, `{"model":"gpt-image-1","prompt":"a red square","quality":"low","size":"1024x1024","stream":true,"partial_images":1}`, "text/event-stream", "image_generation.completed", 3*5_000 + 372*40_000, map[string]any{"images": 1.0, "imageOutputTokens": 372.0}},
			{"images/edits", edit, edited, js, `"b64_json"`, 3*5_000 + 323*10_000 + 272*40_000, map[string]any{"images": 1.0, "imageInputTokens": 323.0, "imageOutputTokens": 272.0}},
			{"audio/speech", js, `{"model":"tts-1","voice":"alloy","input":"Hello"}`, "audio/mpeg", "\xff\xfb\x90", 5 * 15_000, map[string]any{"characters": 5.0}},
			{"audio/speech", js, `{"model":"gpt-4o-mini-tts","voice":"alloy","input":"Hello","stream_format":"sse"}`, "text/event-stream", "speech.audio.done", 5 * 15_000, map[string]any{"characters": 5.0}},
			{"audio/transcriptions", hear, heard, js, `"text"`, 3 * 100_000, map[string]any{"audioMillis": 3000.0}},
			{"audio/transcriptions", hearSlowly, heardSlowly, "text/event-stream", "transcript.text.done", 25*6_000 + 6*10_000, map[string]any{"audioInputTokens": 25.0}},
			{"audio/translations", translate, translated, js, "Translated", 3 * 100_000, map[string]any{"audioMillis": 3000.0}},
		} {
			before := in.account(token)
			a := in.callAs(t.Context(), http.MethodPost, "/v1/"+c.path, token, c.kind, c.body)
			require.NoError(t, a.err)
			require.Equal(t, http.StatusOK, a.status, "%s: %s", c.path, a.body)
			require.True(t, strings.HasPrefix(a.header.Get("Content-Type"), c.answers), a.header.Get("Content-Type"))
			require.Contains(t, string(a.body), c.contains)
			after := in.account(token)
			require.Equal(t, c.cost, before.Balance-after.Balance, c.path)
			require.Equal(t, c.cost, after.Usage.Cost-before.Usage.Cost, c.path)
			require.Zero(t, after.Held)
			var logged struct {
				Requests []struct {
					CostNanoUsd int64 `json:",string"`
					Details     map[string]any
				}
			}
			in.get("/api/v1/requests?requestId="+a.header.Get("X-Request-Id"), token, &logged)
			require.Len(t, logged.Requests, 1)
			require.Equal(t, c.cost, logged.Requests[0].CostNanoUsd)
			for name, want := range c.details {
				require.Equal(t, want, logged.Requests[0].Details[name], "%s: %s", c.path, name)
			}
		}
	}, "MODELS_FILE="+withEventsOfSpeech(t))
}

// withEventsOfSpeech is the price list with a model that speaks in events.
func withEventsOfSpeech(t *testing.T) string {
	t.Helper()
	list, err := os.ReadFile("../../platform/models/models.yaml")
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "models.yaml")
	list = append(list, "  gpt-4o-mini-tts: {kind: speech, provider: openai, context_tokens: 4096, input: \"0\", characters: \"15.00\"}\n"...)
	require.NoError(t, os.WriteFile(path, list, 0o600))
	return path
}
