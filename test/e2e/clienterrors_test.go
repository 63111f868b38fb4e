package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/internal/docgen"
	"github.com/trivet-dev/trivet/platform/skip"
)

// refusal is a way in which a provider refuses a call.
type refusal struct {
	name, about string
	status      int // 0 stands for silence, -1 for a connection that breaks
	kind, code  string
	retryAfter  string
	heals       bool // the third call works
}

// refusals are one for each class of errors that OpenAI's clients have, and what they repeat.
func refusals() []refusal {
	return []refusal{
		{name: "400", about: "400", status: 400, kind: "invalid_request_error", code: "bad_seed"},
		{name: "401", about: "401: Trivet's key is wrong", status: 401, kind: "invalid_request_error", code: "invalid_api_key"},
		{name: "403", about: "403", status: 403, kind: "invalid_request_error", code: "content_policy_violation"},
		{name: "404", about: "404", status: 404, kind: "invalid_request_error", code: "model_not_found"},
		{name: "409", about: "409", status: 409, kind: "invalid_request_error", code: "locked"},
		{name: "422", about: "422", status: 422, kind: "invalid_request_error", code: "bad_shape"},
		{name: "429", about: "429", status: 429, kind: "tokens", code: "rate_limit_exceeded"},
		{name: "429-later", about: "429, `Retry-After: 1`", status: 429, kind: "tokens", code: "rate_limit_exceeded", retryAfter: "1"},
		{name: "500", about: "500", status: 500, kind: "server_error"},
		{name: "502", about: "502", status: 502, kind: "server_error"},
		{name: "503", about: "503", status: 503, kind: "server_error"},
		{name: "503-heals", about: "503 twice, then an answer", status: 503, kind: "server_error", heals: true},
		{name: "504", about: "504", status: 504, kind: "server_error"},
		{name: "silence", about: "no first byte in time"},
		{name: "reset", about: "the connection to the provider breaks", status: -1},
	}
}

// refusalForms are the endings of the models' names: each call has its own model and target, so that none meets what another leaves behind.
func refusalForms() []string {
	return []string{"chat", "chat-stream", "responses", "responses-stream", "openaiagents", "ai", "langchainopenai"}
}

// refusingProvider refuses as the path's first element says.
type refusingProvider struct {
	mu    sync.Mutex
	calls map[string]int
}

func (p *refusingProvider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	name, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	p.mu.Lock()
	p.calls[name]++
	calls := p.calls[name]
	p.mu.Unlock()
	for _, f := range refusals() {
		form, is := strings.CutPrefix(name, f.name+"-")
		if !is || !strings.Contains(" "+strings.Join(refusalForms(), " ")+" ", " "+form+" ") || f.heals && calls > 2 {
			continue
		}
		switch {
		case f.status < 0:
			panic(http.ErrAbortHandler)
		case f.status == 0:
			<-r.Context().Done()
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if f.retryAfter != "" {
			w.Header().Set("Retry-After", f.retryAfter)
		}
		w.WriteHeader(f.status)
		_, _ = io.WriteString(w, faultError("Refused with "+f.name, f.kind, f.code))
		return
	}
	answer := faultWhole
	if strings.Contains(string(body), `"stream":true`) {
		w.Header().Set("Content-Type", "text/event-stream")
		answer = faultChunks + faultEnd
	} else {
		w.Header().Set("Content-Type", "application/json")
	}
	if path == "responses" {
		answer = strings.ReplaceAll(asResponse(answer), `"text":"one two three"}`, `"text":"one two three","annotations":[]}`) // Vercel's client needs them
	}
	_, _ = io.WriteString(w, answer)
}

// refusalModels is the price list.
func refusalModels(t *testing.T, provider string) string {
	t.Helper()
	var targets, models strings.Builder
	add := func(name string, silent bool) {
		wait := ""
		if silent {
			wait = ", first_byte_timeout: 1s"
		}
		fmt.Fprintf(&targets, "  %s: {kind: compatible, base_url: %q%s}\n", name, provider+"/"+name, wait)
		fmt.Fprintf(&models, "  %s: {provider: test, kind: chat, context_tokens: 8192, max_output_tokens: 1024, default_output_tokens: 256, input: \"1.00\", cached_input: \"1.00\", output: \"2.00\", targets: [{target: %s}]}\n", name, name)
	}
	add("works", false)
	for _, f := range refusals() {
		for _, form := range refusalForms() {
			add(f.name+"-"+form, f.status == 0)
		}
	}
	path := filepath.Join(t.TempDir(), "models.yaml")
	require.NoError(t, os.WriteFile(path, []byte("targets:\n"+targets.String()+"models:\n"+models.String()), 0o600))
	return path
}

// TestErrorsOfTheClients has calls fail in every way that OpenAI's clients tell apart, while their own retries are on, whole and
// streamed, chats and responses. It compares what a caller catches, and how many attempts reach the edge, with the table in
// INTEGRATIONS.md. The other clients make one call for each, in the form that they have by default. Each attempt of a client makes one of Trivet, so that the attempts of the two do not mix.
func TestErrorsOfTheClients(t *testing.T) {
	folder, err := filepath.Abs(filepath.Join("..", "sdk"))
	require.NoError(t, err)
	program := filepath.Join(folder, "clients", "node_modules", "node", "bin", "node")
	_, err = os.Stat(program)
	skip.Unless(t, "OpenAI's clients for Node.js", err, "run `make test/sdk/clients/node_modules` (needs Node.js)")
	server := httptest.NewServer(&refusingProvider{calls: map[string]int{}})
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	in := allInOne(t, "MODELS_FILE="+refusalModels(t, server.URL), "DEFAULT_PLAN=unlimited", "OPENAI_BREAKER_FAILURES=0", "OPENAI_TRIES=1")
	token := in.token("user_errors", nil)
	var names []string
	about := map[string]string{}
	for _, f := range refusals() {
		names, about[f.name] = append(names, f.name), f.about
	}
	list, err := json.Marshal(names)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	command := exec.CommandContext(ctx, program, filepath.Join(folder, "errors.mjs"), in.edge, token, string(list))
	var trouble strings.Builder
	command.Stderr = &trouble
	out, err := command.Output()
	require.NoError(t, err, "%s\n%s", out, trouble.String())
	require.Zero(t, in.account(token).Held, "nothing is held afterwards")

	var table strings.Builder
	table.WriteString("| client | what fails | what the caller catches | attempts |\n|---|---|---|---|\n")
	for line := range strings.Lines(string(out)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if cells[0] != "row" {
			continue
		}
		require.Len(t, cells, 5, line)
		if text := about[cells[2]]; text != "" {
			cells[2] = "provider: " + text
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", cells[1], cells[2], cells[3], cells[4])
	}
	page := filepath.Join("..", "..", "INTEGRATIONS.md")
	committed, err := os.ReadFile(page)
	require.NoError(t, err)
	want, err := docgen.Replace(string(committed), "client-errors", table.String())
	require.NoError(t, err)
	if os.Getenv("TRIVET_WRITE_DOCS") != "" {
		require.NoError(t, os.WriteFile(page, []byte(want), 0o600))
		return
	}
	require.Equal(t, want, string(committed), "run `TRIVET_WRITE_DOCS=1 go test ./test/e2e -run TestErrorsOfTheClients` and commit")
}
