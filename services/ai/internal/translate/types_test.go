package translate_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/ai/internal/translate"
)

// recordings are answers of chats of every kind, with the requests that they answer.
func recordings() []struct{ name, request, chat string } {
	chunk := func(delta, finish string) string {
		return `data: {"id":"c1","object":"chat.completion.chunk","created":1764300000,"model":"m","choices":[{"index":0,"delta":` + delta + `,"finish_reason":` + finish + "}]}\n\n"
	}
	const end = `data: {"id":"c1","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10,"completion_tokens_details":{"reasoning_tokens":1}}}` + "\n\ndata: [DONE]\n\n"
	whole := func(message, finish string) string {
		return `{"id":"c1","created":1764300000,"model":"m","choices":[{"index":0,"message":` + message + `,"finish_reason":"` + finish + `"}],"usage":{"prompt_tokens":"7","completion_tokens":3.0}}`
	}
	const tools = `,"tools":[{"type":"function","name":"f","parameters":{"type":"object"}},{"type":"function","name":"g","description":"d","parameters":null,"strict":true}],"tool_choice":{"type":"function","name":"f"}`
	const everything = `,"instructions":"i","max_output_tokens":64,"max_tool_calls":2,"metadata":{"a":"b"},"parallel_tool_calls":false,"reasoning":{"effort":"low"},"service_tier":"default",` +
		`"temperature":0.5,"top_p":0.9,"text":{"verbosity":"low"},"truncation":"disabled","user":"u","safety_identifier":"s","prompt_cache_key":"k"`
	const schema = `,"text":{"format":{"type":"json_schema","name":"n","schema":{"type":"object"},"strict":true}}`
	return []struct{ name, request, chat string }{
		{"text", ``, whole(`{"role":"assistant","content":"Hi"}`, "stop")},
		{"everything", everything, whole(`{"role":"assistant","content":"Hi","reasoning_content":"Hm"}`, "stop")},
		{"functions", tools, whole(`{"content":null,"tool_calls":[{"id":"t1","function":{"name":"f","arguments":"{}"}},{"function":{"name":"g","arguments":{"a":1}}}]}`, "tool_calls")},
		{"schema", schema, whole(`{"content":"{}"}`, "stop")},
		{"object", `,"text":{"format":{"type":"json_object"}}`, whole(`{"content":"{}"}`, "stop")},
		{"refusal", ``, whole(`{"content":null,"refusal":"No"}`, "stop")},
		{"incomplete", ``, whole(`{"content":"Hi"}`, "length")},
		{"filtered", ``, whole(`{"content":""}`, "content_filter")},
		{"streamedText", `,"stream":true`, chunk(`{"role":"assistant","content":""}`, `null`) + chunk(`{"content":"Hi"}`, `null`) + chunk(`{}`, `"stop"`) + end},
		{"streamedThoughts", `,"stream":true` + everything, chunk(`{"reasoning":"Hm"}`, `null`) + chunk(`{"content":"Hi"}`, `null`) + chunk(`{}`, `"length"`) + end},
		{"streamedFunctions", `,"stream":true` + tools, chunk(`{"content":"Hi","tool_calls":[{"index":"0","function":{"name":"f","arguments":"{"}}]}`, `null`) + chunk(`{"tool_calls":[{"index":0,"function":{"arguments":"}"}}]}`, `"tool_calls"`) + end},
		{"streamedRefusal", `,"stream":true` + schema, chunk(`{"refusal":"No"}`, `null`) + chunk(`{}`, `"content_filter"`) + end},
	}
}

// translated returns the answer to a request as JSON: a response, or the list of the events of its stream.
func translated(t *testing.T, request, chat string) string {
	t.Helper()
	exchange, err := translate.New([]byte(`{"model":"m","input":"x"`+request+`}`), translate.Options{Now: func() time.Time { return time.Unix(1764300001, 0) }})
	require.NoError(t, err)
	body, err := io.ReadAll(exchange.Answer(io.NopCloser(strings.NewReader(chat))))
	require.NoError(t, err)
	if body[0] == '{' {
		return string(body)
	}
	var events []string
	for event := range strings.SplitSeq(strings.TrimSuffix(string(body), "\n\n"), "\n\n") {
		_, data, ok := strings.Cut(event, "\ndata: ")
		require.True(t, ok, event)
		events = append(events, data)
	}
	return "[" + strings.Join(events, ",") + "]"
}

// TestTranslatedAnswersAreTyped keeps translated answers of every kind as TypeScript, which test/e2e compiles against the types of OpenAI's client:
// a member that is missing, or that they do not have, is an error there. TRIVET_WRITE_DOCS=1 writes the file.
func TestTranslatedAnswersAreTyped(t *testing.T) {
	var out bytes.Buffer
	out.WriteString("// Written by TestTranslatedAnswersAreTyped of services/ai/internal/translate; do not edit.\n" +
		"import type { Answer, Events } from \"./translated-types.ts\";\n")
	for _, r := range recordings() {
		kind := "Answer"
		answer := translated(t, r.request, r.chat)
		if answer[0] == '[' {
			kind = "Events"
		}
		fmt.Fprintf(&out, "\nexport const %s: %s = ", r.name, kind)
		require.NoError(t, json.Indent(&out, []byte(answer), "", " "))
		out.WriteString(";\n")
	}
	path := filepath.Join("..", "..", "..", "..", "test", "sdk", "clients", "translated.ts")
	if os.Getenv("TRIVET_WRITE_DOCS") != "" {
		require.NoError(t, os.WriteFile(path, out.Bytes(), 0o600))
		return
	}
	committed, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, out.String(), string(committed), "run `TRIVET_WRITE_DOCS=1 go test ./services/ai/internal/translate` and commit")
}

// TestResponsesHaveAllRequiredMembers compares responses with what the public Open Responses specification requires of one, and of its items.
func TestResponsesHaveAllRequiredMembers(t *testing.T) {
	required := map[string][]string{
		"response": {
			"id", "object", "created_at", "completed_at", "status", "incomplete_details", "model", "previous_response_id", "instructions", "output", "error", "tools",
			"tool_choice", "truncation", "parallel_tool_calls", "text", "top_p", "presence_penalty", "frequency_penalty", "top_logprobs", "temperature", "reasoning", "user",
			"usage", "max_output_tokens", "max_tool_calls", "store", "background", "service_tier", "metadata", "safety_identifier", "prompt_cache_key",
		},
		"message":        {"type", "id", "status", "role", "content"},
		"function_call":  {"type", "id", "call_id", "name", "arguments", "status"},
		"reasoning":      {"type", "id", "summary"},
		"output_text":    {"type", "text", "annotations", "logprobs"},
		"reasoning_text": {"type", "text"},
		"refusal":        {"type", "refusal"},
		"function":       {"type", "name", "description", "parameters", "strict"},
	}
	seen := map[string]bool{}
	var check func(value any)
	check = func(value any) {
		switch v := value.(type) {
		case []any:
			for _, one := range v {
				check(one)
			}
		case map[string]any:
			kind, _ := v["type"].(string)
			if object, _ := v["object"].(string); object == "response" {
				kind = object
			}
			_, choice := v["parameters"]
			if kind != "function" || choice { // the choice of a function has its name only
				seen[kind] = true
				for _, name := range required[kind] {
					require.Contains(t, v, name, kind)
				}
			}
			for _, one := range v {
				check(one)
			}
		}
	}
	for _, r := range recordings() {
		var answer any
		require.NoError(t, json.Unmarshal([]byte(translated(t, r.request, r.chat)), &answer), r.name)
		check(answer)
	}
	for kind := range required {
		require.True(t, seen[kind], kind)
	}
}
