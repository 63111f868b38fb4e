package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/internal/docgen"
)

// What a provider that works answers: 7 input and 5 output tokens.
const (
	faultUsage  = `"usage":{"prompt_tokens":7,"completion_tokens":5,"total_tokens":12}`
	faultWhole  = `{"id":"c1","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"one two three"},"finish_reason":"stop"}],` + faultUsage + `}`
	faultChunks = `data: {"id":"c1","choices":[{"index":0,"delta":{"content":"one"}}]}` + "\n\n" + `data: {"id":"c1","choices":[{"index":0,"delta":{"content":" two"}}]}` + "\n\n"
	faultEnd    = `data: {"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],` + faultUsage + "}\n\ndata: [DONE]\n\n"
)

// The same as responses, in events whose data begins each of them.
const (
	faultResponse       = `{"id":"resp_1","object":"response","status":"completed","model":"m","output":[{"id":"msg_1","type":"message","role":"assistant","content":[{"type":"output_text","text":"one two three"}]}],"usage":{"input_tokens":7,"output_tokens":5,"total_tokens":12}}`
	faultResponseBegins = `data: {"type":"response.created","response":{"id":"resp_1","status":"in_progress","output":[]}}` + "\n\n"
	faultResponseChunks = faultResponseBegins + `data: {"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"one"}` + "\n\n" +
		`data: {"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":" two"}` + "\n\n"
	faultResponseEnd = `data: {"type":"response.completed","response":` + faultResponse + "}\n\n"
)

// impossible is the output that no call can have.
const impossible = "999999999"

// asResponse turns a body of a chat into one of a response.
func asResponse(body string) string {
	tall := strings.Contains(body, impossible)
	body = strings.Replace(body, `"completion_tokens":`+impossible, `"completion_tokens":5`, 1)
	body = strings.NewReplacer(
		faultChunks, faultResponseChunks, faultEnd, faultResponseEnd, faultWhole, faultResponse, faultWhole[:80], faultResponse[:80],
		"data: "+faultError("Overloaded", "server_error", "overloaded"), `data: {"type":"error","code":"overloaded","message":"Overloaded","param":null}`,
		"data: "+faultError("Overloaded", "server_error", ""), `data: {"type":"error","code":null,"message":"Overloaded","param":null}`,
	).Replace(body)
	if tall {
		body = strings.Replace(body, `"output_tokens":5`, `"output_tokens":`+impossible, 1)
	}
	return body
}

// providerFault is a way in which a provider fails. An empty stream stands for whole in both forms.
type providerFault struct {
	name, about   string
	status        int
	header        [2]string
	whole, stream string
	unreachable   bool          // nothing listens
	hang          bool          // after the body, which may be empty
	reset         bool          // the connection breaks after the body
	delay         time.Duration // before the head
	packed        bool
	harmless      bool // it leaves nothing behind at its target
}

// providerFaults are the rows of the table in docs/errors.md.
var providerFaults = []providerFault{
	{name: "ok", harmless: true, about: "no fault", whole: faultWhole, stream: faultChunks + faultEnd},
	{name: "no-connection", about: "no connection", unreachable: true},
	{name: "429", about: "429", status: 429, whole: faultError("Rate limit reached", "tokens", "rate_limit_exceeded")},
	{name: "429-later", about: "429, `Retry-After: 7`", status: 429, header: [2]string{"Retry-After", "7"}, whole: faultError("Rate limit reached", "tokens", "rate_limit_exceeded")},
	{name: "500", about: "500", status: 500, whole: faultError("The server had an error", "server_error", "")},
	{name: "503", about: "503", status: 503, whole: faultError("Overloaded", "server_error", "")},
	{name: "silent", about: "no first byte in time", hang: true},
	{name: "slow", harmless: true, about: "a slow first byte, in time", delay: 50 * time.Millisecond, whole: faultWhole, stream: faultChunks + faultEnd},
	{name: "reset", about: "reset before the answer", status: -1, reset: true},
	{name: "cut", about: "cut in the middle", whole: faultWhole[:80], stream: faultChunks, reset: true},
	{name: "stall", about: "silence in the middle", whole: faultWhole[:80], stream: faultChunks, hang: true},
	{name: "garbage", about: "an answer that is not JSON", whole: "wrong", stream: "data: {\"choices\":[\n\n"},
	{name: "wrong-key", about: "401, wrong key", status: 401, whole: faultError("Incorrect API key provided: sk-abc", "invalid_request_error", "invalid_api_key")},
	{name: "no-quota", about: "429, no quota left", status: 429, whole: faultError("You exceeded your current quota", "insufficient_quota", "insufficient_quota")},
	{name: "policy", about: "403, content policy", status: 403, whole: faultError("Rejected by the content policy", "invalid_request_error", "content_policy_violation")},
	{name: "page", about: "403, a firewall's page", status: 403, header: [2]string{"Content-Type", "text/html"}, whole: "<html>Attention Required!</html>"},
	{name: "bad-request", about: "400", status: 400, whole: faultError("Bad seed", "invalid_request_error", "")},
	{name: "error-first", about: "200, the error comes first", whole: faultError("Overloaded", "server_error", ""), stream: "data: " + faultError("Overloaded", "server_error", "") + "\n\n"},
	{name: "error-later", about: "200, an error after two events", whole: faultWhole, stream: faultChunks + "data: " + faultError("Overloaded", "server_error", "overloaded") + "\n\n"},
	{name: "type", harmless: true, about: "a wrong `Content-Type`", header: [2]string{"Content-Type", "text/plain"}, whole: faultWhole, stream: faultChunks + faultEnd},
	{name: "form", harmless: true, about: "the other form: JSON for a stream, a stream for JSON", whole: faultChunks + faultEnd, stream: faultWhole},
	{name: "gzip", harmless: true, about: "gzip, unasked", packed: true, whole: faultWhole, stream: faultChunks + faultEnd},
	{
		name: "usage", harmless: true, about: "an impossible usage", whole: strings.Replace(faultWhole, `"completion_tokens":5`, `"completion_tokens":999999999`, 1),
		stream: faultChunks + strings.Replace(faultEnd, `"completion_tokens":5`, `"completion_tokens":999999999`, 1),
	},
}

func faultError(message, kind, code string) string {
	body := map[string]any{"message": message, "type": kind, "param": nil, "code": nil}
	if code != "" {
		body["code"] = code
	}
	raw, _ := json.Marshal(map[string]any{"error": body})
	return string(raw)
}

// faultyProvider answers under /NAME/PATH with the fault of that name, and counts calls by model.
type faultyProvider struct {
	t *testing.T

	mu    sync.Mutex
	calls map[string]int // by model and fault
}

func (p *faultyProvider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		Model  string
		Stream bool
		Format string `json:"stream_format"`
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/") {
		ask.Model, ask.Stream = r.FormValue("model"), r.FormValue("stream") == "true"
	} else if err := json.NewDecoder(r.Body).Decode(&ask); err != nil {
		p.t.Errorf("the provider got a body that is not JSON: %v", err)
	}
	name := strings.Split(r.URL.Path, "/")[1]
	p.mu.Lock()
	p.calls[ask.Model+" "+name]++
	p.mu.Unlock()
	for _, f := range slices.Concat(providerFaults, streamFaults) {
		if f.name == name {
			f.answer(w, r, ask.Stream || ask.Format == "sse")
			return
		}
	}
	p.t.Errorf("unknown fault %q", name)
}

func (p *faultyProvider) callsOf(model, fault string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls[model+" "+fault]
}

func (f *providerFault) answer(w http.ResponseWriter, r *http.Request, stream bool) {
	time.Sleep(f.delay)
	body, kind := f.whole, "application/json"
	if stream && f.stream != "" {
		body = f.stream
	}
	if strings.HasSuffix(r.URL.Path, "/responses") {
		body = asResponse(body)
	}
	if api := apiOf(r.URL.Path, stream); api != faultChat {
		body = mediaBody(api, body)
		if (api == faultSpeech || api == faultSpeechStream) && strings.HasPrefix(body, "one two") {
			kind = "audio/mpeg"
		}
	}
	if strings.HasPrefix(body, "data:") {
		kind = "text/event-stream"
	}
	if f.packed {
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		_, _ = z.Write([]byte(body))
		_ = z.Close()
		body = packed.String()
		w.Header().Set("Content-Encoding", "gzip")
	}
	w.Header().Set("Content-Type", kind)
	if f.header[0] != "" {
		w.Header().Set(f.header[0], f.header[1])
	}
	if f.status > 0 {
		w.WriteHeader(f.status)
	}
	if body != "" {
		_, _ = w.Write([]byte(body))
		_ = http.NewResponseController(w).Flush()
	}
	if f.hang {
		<-r.Context().Done()
	}
	if f.reset {
		panic(http.ErrAbortHandler)
	}
}

// faultCell is one call of the table.
type faultCell struct {
	fault         *providerFault
	two, streamed bool
	api           faultAPI
}

// faultAPI is the way in which a call comes.
type faultAPI string

// The ways; a column of the table for each, whole and streamed.
const (
	faultChat     faultAPI = ""
	faultRespond  faultAPI = "responses"
	faultTypedAPI faultAPI = "typed"
)

// target is the cell's own where a call leaves something behind that other calls must not meet.
func (c faultCell) target() string {
	if c.fault.harmless {
		return c.fault.name
	}
	return c.model()
}

// model is the cell's own.
func (c faultCell) model() string {
	name := c.fault.name
	for _, part := range []struct {
		is   bool
		text string
	}{{c.two, "two"}, {c.streamed, "stream"}, {c.api != faultChat, string(c.api)}} {
		if part.is {
			name += "." + part.text
		}
	}
	return name
}

func (c faultCell) request() (path, body string) {
	messages := `"messages":[{"role":"user","content":"hi"}]`
	switch {
	case c.api == faultRespond:
		return "/v1/responses", fmt.Sprintf(`{"model":%q,"stream":%t,"store":false,"max_output_tokens":50,"input":"hi"}`, c.model(), c.streamed)
	case c.api == faultTypedAPI && c.streamed:
		return "/api/v1/chat:stream", fmt.Sprintf(`{"model":%q,"maxTokens":50,%s}`, c.model(), messages)
	case c.api == faultTypedAPI:
		return "/api/v1/chat", fmt.Sprintf(`{"model":%q,"maxTokens":50,%s}`, c.model(), messages)
	default:
		return "/v1/chat/completions", fmt.Sprintf(`{"model":%q,"stream":%t,"max_tokens":50,%s}`, c.model(), c.streamed, messages)
	}
}

// faultCells are all calls of the table, row by row.
func faultCells() (cells []faultCell) {
	for i := range providerFaults {
		for _, two := range []bool{false, true} {
			for _, api := range []faultAPI{faultChat, faultRespond, faultTypedAPI} {
				for _, streamed := range []bool{false, true} {
					cells = append(cells, faultCell{&providerFaults[i], two, streamed, api})
				}
			}
		}
	}
	return cells
}

// faultModels is the price list: a model and a failing target for each cell.
func faultModels(t *testing.T, provider string, cells []faultCell) string {
	t.Helper()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	var list strings.Builder
	fmt.Fprintf(&list, "targets:\n  works: {kind: compatible, base_url: %q}\n", provider+"/ok")
	listed := map[string]bool{}
	for _, c := range cells {
		if listed[c.target()] {
			continue
		}
		listed[c.target()] = true
		base, timeouts := provider, ""
		if c.fault.unreachable {
			base = "http://" + closed.Addr().String()
		}
		switch {
		case c.fault.hang && c.fault.whole == "":
			timeouts = ", first_byte_timeout: 200ms"
		case c.fault.hang: // the body comes with the head
			timeouts = ", idle_timeout: 500ms, first_byte_timeout: 500ms" // images may be silent for as long as their first byte may take
		}
		fmt.Fprintf(&list, "  %s: {kind: compatible, base_url: %q%s}\n", c.target(), base+"/"+c.fault.name, timeouts)
	}
	list.WriteString("models:\n")
	for _, c := range cells {
		prices := `kind: chat, context_tokens: 8192, max_output_tokens: 1024, default_output_tokens: 256, input: "1.00", cached_input: "1.00", output: "2.00"`
		if m, isMedia := faultMedia[c.api]; isMedia {
			prices = m.prices
		}
		fmt.Fprintf(&list, "  %s:\n    {provider: test, %s,\n", c.model(), prices)
		fmt.Fprintf(&list, "     targets: [{target: %s}", c.target())
		if c.two {
			list.WriteString(", {target: works, priority: 2}")
		}
		list.WriteString("]}\n")
	}
	path := filepath.Join(t.TempDir(), "models.yaml")
	require.NoError(t, os.WriteFile(path, []byte(list.String()), 0o600))
	return path
}

// TestFaultTable makes every call of the table in docs/errors.md through the edge and compares what it comes to with the
// table. TRIVET_WRITE_DOCS=1 writes the table.
func TestFaultTable(t *testing.T) {
	provider := &faultyProvider{t: t, calls: map[string]int{}}
	server := httptest.NewServer(provider)
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	in := allInOne(t, "MODELS_FILE="+faultModels(t, server.URL, faultCells()), "DEFAULT_PLAN=unlimited", "OPENAI_BREAKER_FAILURES=0", "OPENAI_RETRY_DELAY=1ms", "LOG_LEVEL=info")
	token := in.token("user_alice", nil)
	before := in.account(token)
	answers := make(map[string]answer)
	var mu sync.Mutex
	var calls sync.WaitGroup
	room := make(chan struct{}, 32)
	for _, c := range faultCells() {
		calls.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			path, body := c.request()
			a := in.call(t.Context(), http.MethodPost, path, token, body)
			mu.Lock()
			defer mu.Unlock()
			answers[c.model()] = a
		})
	}
	calls.Wait()
	usage := in.usageByModel(token)
	require.Zero(t, in.account(token).Held, "nothing is held afterwards")
	var spent int64
	for _, u := range usage {
		spent += u.Cost
	}
	require.Equal(t, before.Balance-spent, in.account(token).Balance)
	require.NotContains(t, in.log.String(), "panic")
	in.verifyLedger()

	result := func(c faultCell) string {
		return c.describe(t, answers[c.model()], provider, usage[c.model()])
	}
	var table strings.Builder
	table.WriteString("| provider | targets | `/v1` chat, whole | `/v1` chat, streamed | `/v1/responses`, whole | `/v1/responses`, streamed | typed, whole | typed, streamed |\n|---|---|---|---|---|---|---|---|\n")
	cells := faultCells()
	for i := 0; i < len(cells); i += 6 {
		targets := "one"
		if cells[i].two {
			targets = "two"
		}
		fmt.Fprintf(&table, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", cells[i].fault.about, targets,
			result(cells[i]), result(cells[i+1]), result(cells[i+2]), result(cells[i+3]), result(cells[i+4]), result(cells[i+5]))
	}
	compareWithDocs(t, "errors.md", "faults", table.String())
}

// modelUsage is what the calls of a model used.
type modelUsage struct {
	Input, Output, Cost int64
}

func (in *installation) usageByModel(token string) map[string]modelUsage {
	in.t.Helper()
	out := map[string]modelUsage{}
	for page := ""; ; {
		var usage struct {
			Rows []struct {
				Model string
				Usage struct {
					Input  int64 `json:"inputTokens,string"`
					Output int64 `json:"outputTokens,string"`
				}
				Cost int64 `json:"costNanoUsd,string"`
			}
			NextPageToken string
		}
		in.get("/api/v1/billing/usage?groupBy=USAGE_GROUPING_MODEL&pageSize=100&pageToken="+page, token, &usage)
		for _, r := range usage.Rows {
			u := out[r.Model]
			out[r.Model] = modelUsage{u.Input + r.Usage.Input, u.Output + r.Usage.Output, u.Cost + r.Cost}
		}
		if page = usage.NextPageToken; page == "" {
			return out
		}
	}
}

var errorCode = regexp.MustCompile(`"code":"([a-zA-Z_]+)"`)

// describe puts what a call came to into a few words: status, code, how it ended, attempts, and the charge.
func (c faultCell) describe(t *testing.T, a answer, p *faultyProvider, u modelUsage) string {
	t.Helper()
	body := string(a.body)
	words := []string{strconv.Itoa(a.status)}
	if code := errorCode.FindStringSubmatch(body); code != nil {
		words[0] += " `" + code[1] + "`"
	} else if a.status >= 400 {
		words[0] += " without a code"
	}
	switch ended := strings.Contains(body, "[DONE]") || strings.Contains(body, `"finishReason":"stop"`) || strings.Contains(body, `"type":"response.completed"`) ||
		lastMediaEvent.MatchString(body); {
	case a.err != nil && (strings.Contains(body, `"one`) || strings.HasPrefix(body, "one ")) && !ended: // a text, an image or sound
		words = append(words, "after its first words, then cut")
	case a.err != nil:
		t.Errorf("%s: %d %s: %v", c.model(), a.status, body, a.err)
	case a.status == http.StatusOK && c.streamed && strings.HasPrefix(a.header.Get("Content-Type"), "audio/"):
		words = append(words, "sound without events")
	case a.status == http.StatusOK && c.streamed && !ended:
		t.Errorf("%s: a stream ended in order without its end: %s", c.model(), body)
	}
	if strings.Contains(body, `"fallback":true`) {
		require.Contains(t, body, "I'm currently unavailable. Please try again later or contact support.")
		words = append(words, "fallback text")
	}
	if wait := a.header.Get("Retry-After"); wait != "" {
		words = append(words, "retry after "+wait+" s")
		if c.api == faultTypedAPI {
			require.Contains(t, body, `"retryAfter":`+wait)
		}
	}
	tried := p.callsOf(c.model(), c.fault.name)
	other := 0
	if c.two && c.fault.name != "ok" {
		other = p.callsOf(c.model(), "ok")
	}
	switch {
	case other > 0:
		words = append(words, fmt.Sprintf("%d + %d calls", tried, other))
	case tried != 1:
		words = append(words, fmt.Sprintf("%d calls", tried))
	}
	return strings.Join(append(words, c.charge(t, u)), ", ")
}

// charge says what was charged: nothing, what the provider reported, what Trivet counted, or the bound of the hold.
func (c faultCell) charge(t *testing.T, u modelUsage) string {
	t.Helper()
	if m, isMedia := faultMedia[c.api]; isMedia && u != (modelUsage{}) {
		charge, known := m.charges[u.Cost]
		if !known {
			t.Errorf("%s: unexpected usage %+v", c.model(), u)
		}
		return charge
	}
	require.Equal(t, u.Input*1000+u.Output*2000, u.Cost, "%s: the price of %+v", c.model(), u)
	switch {
	case u == (modelUsage{}):
		return "free"
	case u.Input == 7 && u.Output == 5:
		return "charged as reported"
	case u.Output == 2:
		return "charged as counted"
	case u.Input == 7 && u.Output == 50:
		return "charged at the bound"
	default:
		t.Errorf("%s: unexpected usage %+v", c.model(), u)
		return "?"
	}
}

// compareWithDocs compares a table with the one between its markers in a file of docs/.
func compareWithDocs(t *testing.T, file, marker, table string) {
	t.Helper()
	path := filepath.Join("..", "..", "docs", file)
	is, err := os.ReadFile(path)
	require.NoError(t, err)
	want, err := docgen.Replace(string(is), marker, table)
	require.NoError(t, err)
	if os.Getenv("TRIVET_WRITE_DOCS") != "" {
		require.NoError(t, os.WriteFile(path, []byte(want), 0o644))
		return
	}
	require.Equal(t, want, string(is), "run make docs")
}
