package allinone

import (
	"bytes"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// modelCall is a call of a model with content that nothing may show.
type modelCall struct {
	path, kind, body string
	streams          bool // it may also ask for a stream
}

// modelCalls are calls of every endpoint of a model.
func modelCalls(t *testing.T) []modelCall {
	t.Helper()
	json := func(path, fields string, streams bool) modelCall {
		return modelCall{path, "application/json", "{" + strings.ReplaceAll(fields, "PROMPT", `"`+canaryPrompt+`"`) + "}", streams}
	}
	form := func(path, model, file string) modelCall {
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		require.NoError(t, w.WriteField("model", model))
		require.NoError(t, w.WriteField("prompt", canaryPrompt))
		part, err := w.CreateFormFile(file, canaryPrompt+".wav")
		require.NoError(t, err)
		_, err = io.WriteString(part, canaryPrompt)
		require.NoError(t, err)
		require.NoError(t, w.Close())
		return modelCall{path, w.FormDataContentType(), b.String(), false}
	}
	return []modelCall{
		json("/v1/chat/completions", `"model":"gpt-4o-mini","messages":[{"role":"user","content":PROMPT}]`, true),
		json("/v1/responses", `"model":"gpt-4o-mini","store":false,"instructions":PROMPT,"input":PROMPT`, true),
		json("/v1/responses", `"model":"gpt-4o-mini","input":PROMPT`, true),
		json("/v1/embeddings", `"model":"text-embedding-3-small","input":PROMPT`, false),
		json("/v1/moderations", `"model":"omni-moderation-latest","input":PROMPT`, false),
		json("/v1/images/generations", `"model":"gpt-image-1","prompt":PROMPT`, true),
		json("/v1/audio/speech", `"model":"tts-1","voice":"alloy","input":PROMPT`, false),
		json("/api/v1/chat", `"model":"gpt-4o-mini","messages":[{"role":"user","content":PROMPT}]`, false),
		json("/api/v1/chat:stream", `"model":"gpt-4o-mini","messages":[{"role":"user","content":PROMPT}]`, false),
		json("/api/v1/embeddings", `"model":"text-embedding-3-small","input":[PROMPT]`, false),
		form("/v1/audio/transcriptions", "whisper-1", "file"),
		form("/v1/audio/translations", "whisper-1", "file"),
		form("/v1/images/edits", "gpt-image-1", "image"),
	}
}

// everyModel calls every endpoint of a model with a credential.
func (a *aviary) everyModel(credential string) {
	for _, c := range modelCalls(a.t) {
		a.sendAs(c.path, credential, c.kind, c.body)
		if c.streams {
			a.sendAs(c.path, credential, c.kind, strings.Replace(c.body, "{", `{"stream":true,`, 1))
		}
		if c.kind == "application/json" { // a field that no endpoint takes, and a body that is not JSON
			a.sendAs(c.path, credential, c.kind, strings.Replace(c.body, "{", `{"`+canaryPrompt+`":"`+canaryPrompt+`",`, 1))
			a.sendAs(c.path, credential, c.kind, c.body[:len(c.body)-2])
			continue
		}
		a.sendAs(c.path, credential, c.kind, c.body[:len(c.body)/2])
	}
}

// workingAnswers are what a provider that works answers, by the end of the path.
var workingAnswers = map[string]string{
	"/chat/completions": `{"id":"1","object":"chat.completion","model":"gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant","content":"` + canaryAnswer + `"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`,
	"/responses": `{"id":"resp_1","object":"response","status":"completed","model":"gpt-4o-mini","output":[{"id":"msg_1","type":"message","role":"assistant","content":[{"type":"output_text","text":"` + canaryAnswer + `"}]}],` +
		`"usage":{"input_tokens":1,"output_tokens":1,"total_tokens":2}}`,
	"/embeddings":           `{"object":"list","model":"text-embedding-3-small","data":[{"object":"embedding","index":0,"embedding":"AAAAPw=="}],"usage":{"prompt_tokens":1,"total_tokens":1}}`,
	"/moderations":          `{"id":"modr_1","model":"omni-moderation-latest","results":[{"flagged":false,"` + canaryAnswer + `":true}]}`,
	"/images/generations":   `{"created":1,"data":[{"b64_json":"` + canaryAnswer + `"}],"usage":{"input_tokens":1,"output_tokens":1,"total_tokens":2}}`,
	"/images/edits":         `{"created":1,"data":[{"b64_json":"` + canaryAnswer + `"}],"usage":{"input_tokens":1,"output_tokens":1,"total_tokens":2}}`,
	"/audio/transcriptions": `{"text":"` + canaryAnswer + `"}`,
	"/audio/translations":   `{"text":"` + canaryAnswer + `"}`,
	"/audio/speech":         canaryAnswer,
}

// answersAsAModel answers a call of a model, and reports whether it was one.
func answersAsAModel(w http.ResponseWriter, r *http.Request) bool {
	for end, answer := range workingAnswers {
		if strings.HasSuffix(r.URL.Path, end) {
			if end == "/audio/speech" {
				w.Header().Set("Content-Type", "audio/mpeg")
			}
			_, _ = io.WriteString(w, answer)
			return true
		}
	}
	return false
}
