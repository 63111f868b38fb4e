package e2e

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/tracing/tracingtest"
)

// What callers send, what the provider answers, and the key that it repeats.
const (
	canaryPrompt   = "canary-prompt"
	canaryAnswer   = "canary-answer"
	canaryProvider = "sk-canary-openai-0123456789abcdef"
)

// parrot is a provider that repeats the request and the key in each of its errors.
type parrot struct{ mode atomic.Value }

func (p *parrot) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	repeated, _ := json.Marshal(fmt.Sprintf("%s %s %s", r.Header.Get("Authorization"), r.URL, body))
	w.Header().Set("Content-Type", "application/json")
	fail := func(status int) {
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"error":{"message":%[1]s,"type":%[1]s,"code":%[1]s,"param":%[1]s}}`, repeated)
	}
	switch p.mode.Load() {
	case "refuses the key":
		fail(http.StatusUnauthorized)
	case "refuses the request":
		fail(http.StatusBadRequest)
	case "limits":
		fail(http.StatusTooManyRequests)
	case "fails":
		fail(http.StatusInternalServerError)
	case "breaks off":
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Content-Length", "100000")
		_, _ = fmt.Fprintf(w, "data: {\"choices\":[{\"delta\":{\"content\":%s}}]}\n\n", repeated)
	case "regrets":
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = fmt.Fprintf(w, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"%s\"}}]}\n\ndata: {\"error\":{\"message\":%[2]s,\"type\":%[2]s,\"code\":%[2]s}}\n\n", canaryAnswer, repeated)
	default:
		p.answer(w, r.URL.Path)
	}
}

func (p *parrot) answer(w http.ResponseWriter, path string) {
	usage := `"usage":{"input_tokens":1,"output_tokens":1,"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}`
	switch path {
	case "/v1/chat/completions":
		_, _ = fmt.Fprintf(w, `{"id":"1","object":"chat.completion","model":"gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant","content":%q},"finish_reason":"stop"}],%s}`, canaryAnswer, usage)
	case "/v1/responses":
		_, _ = fmt.Fprintf(w, `{"id":"resp_1","object":"response","status":"completed","model":"gpt-4o-mini","output":[{"id":"msg_1","type":"message","role":"assistant",`+
			`"content":[{"type":"output_text","text":%q}]}],%s}`, canaryAnswer, usage)
	case "/v1/embeddings":
		_, _ = fmt.Fprintf(w, `{"object":"list","model":"text-embedding-3-small","data":[{"object":"embedding","index":0,"embedding":"AAAAPw=="}],%s}`, usage)
	case "/v1/moderations":
		_, _ = fmt.Fprintf(w, `{"id":"modr_1","model":"omni-moderation-latest","results":[{"flagged":false,%q:true}]}`, canaryAnswer)
	case "/v1/images/generations":
		_, _ = fmt.Fprintf(w, `{"created":1,"data":[{"b64_json":%q}],%s}`, canaryAnswer, usage)
	case "/v1/audio/speech":
		w.Header().Set("Content-Type", "audio/mpeg")
		_, _ = io.WriteString(w, canaryAnswer)
	case "/v1/audio/transcriptions":
		_, _ = fmt.Fprintf(w, `{"text":%q}`, canaryAnswer)
	default:
		http.NotFound(w, &http.Request{})
	}
}

// Nothing that the four processes log, measure, trace or store has a prompt, an answer, the provider's key or the caller's credential, although the
// provider repeats them in its errors. A caller sees its own prompt at most.
func TestCanariesOfCallsInSplitMode(t *testing.T) {
	provider, collector := &parrot{}, tracingtest.Start(t)
	provider.mode.Store("works")
	server := httptest.NewServer(provider)
	t.Cleanup(server.Close)
	b := audit{t: t, url: databasetest.PostgresURL(t)}
	in := split(t, "DATABASE_URL="+b.url, "OPENAI_BASE_URL="+server.URL+"/v1", "OPENAI_API_KEY="+canaryProvider, "DEFAULT_PLAN=unlimited",
		"OPENAI_RETRY_DELAY=0s", "OPENAI_BREAKER_FAILURES=0", "OTEL_EXPORTER_OTLP_ENDPOINT="+collector.URL, "OTEL_BSP_SCHEDULE_DELAY=50", "TRIVET_TRACE_PROVIDERS=true")
	token := in.token("user_caller", nil)
	var key struct{ Secret string }
	made := in.call(t.Context(), http.MethodPost, "/api/v1/apiKeys", token, `{"name":"server"}`)
	require.NoError(t, json.Unmarshal(made.body, &key))
	require.NotEmpty(t, key.Secret)

	calls := map[string]string{
		"/v1/chat/completions":   `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"canary-prompt"}]}`,
		"/v1/responses":          `{"model":"gpt-4o-mini","instructions":"canary-prompt","input":"canary-prompt"}`,
		"/v1/embeddings":         `{"model":"text-embedding-3-small","input":"canary-prompt"}`,
		"/v1/moderations":        `{"model":"omni-moderation-latest","input":"canary-prompt"}`,
		"/v1/images/generations": `{"model":"gpt-image-1","prompt":"canary-prompt"}`,
		"/v1/audio/speech":       `{"model":"tts-1","voice":"alloy","input":"canary-prompt"}`,
		"/api/v1/chat":           `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"canary-prompt"}]}`,
		"/api/v1/chat:stream":    `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"canary-prompt"}]}`,
		"/api/v1/embeddings":     `{"model":"text-embedding-3-small","input":["canary-prompt"]}`,
	}
	form := "--x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--x\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\n" + canaryPrompt +
		"\r\n--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"" + canaryPrompt + ".wav\"\r\n\r\n" + canaryPrompt + "\r\n--x--\r\n"
	var refused strings.Builder
	served := map[string]bool{}
	note := func(path string, a answer) {
		if a.status == http.StatusOK {
			served[path] = true
			return
		}
		fmt.Fprintf(&refused, "%s %d %v %s\n", path, a.status, a.header, a.body)
	}
	for _, mode := range []string{"works", "refuses the key", "refuses the request", "limits", "fails", "breaks off", "regrets"} {
		provider.mode.Store(mode)
		for _, credential := range []string{token, key.Secret} {
			for path, body := range calls {
				note(path, in.call(t.Context(), http.MethodPost, path, credential, body))
				if strings.HasPrefix(path, "/v1/chat") || path == "/v1/responses" {
					note(path, in.call(t.Context(), http.MethodPost, path, credential, strings.Replace(body, "{", `{"stream":true,`, 1)))
				}
			}
			note("/v1/audio/transcriptions", in.callAs(t.Context(), http.MethodPost, "/v1/audio/transcriptions", credential, "multipart/form-data; boundary=x", form))
		}
	}
	require.Len(t, served, len(calls)+1, "every endpoint reaches the provider")
	require.Contains(t, refused.String(), canaryPrompt, "the provider's message goes to the caller")
	for _, secret := range []string{canaryProvider, token, key.Secret} {
		require.NotContains(t, refused.String(), secret)
	}

	var seen strings.Builder
	for _, ops := range in.ops {
		response, err := http.Get(ops + "/metrics")
		require.NoError(t, err)
		seen.WriteString(readAll(t, response))
		require.NoError(t, response.Body.Close())
	}
	for _, service := range []string{"auth", "ai", "billing"} {
		seen.WriteString(b.everyRow(service))
	}
	in.stop() // each process exports its last spans, and writes its last lines
	for _, s := range collector.Await(t, func(all []tracingtest.Span) bool { return len(all) > 0 }) {
		seen.WriteString(s.Raw + "\n")
	}
	seen.WriteString(in.log.String())
	require.Contains(t, seen.String(), "gpt-4o-mini")
	for _, canary := range []string{canaryPrompt, canaryAnswer, canaryProvider, token, key.Secret} {
		for _, form := range []string{canary, hex.EncodeToString([]byte(canary))} { // columns of bytes are shown in hexadecimal digits
			at := strings.Index(seen.String(), form)
			require.Negative(t, at, "%s is shown: %s", canary, around(seen.String(), at))
		}
	}
}

// around is the text around a place.
func around(text string, at int) string { return text[max(0, at-300):max(0, min(len(text), at+100))] }
