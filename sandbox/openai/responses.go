package openai

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
)

// respond creates a response.
func (f *Fake) respond(w http.ResponseWriter, r *http.Request) {
	req, answer, ok := f.readResponse(w, r)
	if !ok {
		return
	}
	made := f.newResponse(req, answer)
	if req.Background {
		made.run = &run{created: f.now(), length: f.BackgroundTime(), fault: f.faults.TakeResponse(r)}
	}
	if req.stored() {
		f.responses.put(made)
	}
	if req.Background {
		f.answerRunning(w, r, made, req.Stream)
		return
	}
	if req.Stream {
		f.begin(w, r, req.chat.directives, answer.prompt, answer.reasoning).run(made.events())
		return
	}
	f.stats.bill(answer.usage())
	writeJSON(w, json.RawMessage(made.body(true)))
}

// readResponse reads a request and decides what the model says. It answers a request that it refuses, and reports false.
func (f *Fake) readResponse(w http.ResponseWriter, r *http.Request) (*responseRequest, *completion, bool) {
	req, status, e := f.parseResponse(r)
	if e != nil {
		writeError(w, status, *e)
		return nil, nil, false
	}
	answer, e := f.answer(&req.chat)
	if e != nil {
		writeError(w, http.StatusBadRequest, *e)
		return nil, nil, false
	}
	return req, &answer, true
}

// response is a response and what it was made of.
type response struct {
	id, model string
	created   int64
	status    string
	request   *responseRequest
	output    []outputItem
	usage     usage
	input     []json.RawMessage // items with ids
	messages  []message         // the conversation up to its end
	run       *run              // of a response that is made in the background; nil for others
}

// outputItem is a message, reasoning, or a call of a function.
type outputItem struct {
	id   string
	kind string // "message", "reasoning" or "function_call"
	text string
	call *toolCall
}

func (f *Fake) newResponse(req *responseRequest, answer *completion) *response {
	c := answer.choices[0]
	made := &response{
		id: f.ids.Next("resp_", 48), model: req.chat.model.answersAs(), created: f.now().Unix(), status: "completed", request: req,
		usage: answer.usage(), input: req.items, messages: req.conversation,
	}
	if c.finish == "length" {
		made.status = "incomplete"
	}
	if answer.reasoning > 0 {
		made.output = append(made.output, outputItem{id: f.ids.Next("rs_", 48), kind: "reasoning"})
	}
	for i := range c.calls {
		made.output = append(made.output, outputItem{id: f.ids.Next("fc_", 48), kind: "function_call", call: &c.calls[i]})
	}
	if len(c.calls) == 0 {
		made.output = append(made.output, outputItem{id: f.ids.Next("msg_", 48), kind: "message", text: c.text})
	}
	for _, item := range made.output {
		made.messages = append(slices.Clip(made.messages), item.asMessages()...)
	}
	return made
}

// asMessages is the item as a later request sees it.
func (o outputItem) asMessages() []message {
	switch o.kind {
	case "message":
		return []message{{Role: "assistant", text: o.text, hasContent: true}}
	case "function_call":
		return []message{{Role: "assistant", ToolCalls: []toolCall{*o.call}}}
	default:
		return nil
	}
}

// body is the response as JSON, complete or as it begins.
func (m *response) body(done bool) []byte {
	if done {
		return m.as(phase{status: m.status, usage: &m.usage, completed: m.created})
	}
	return m.as(phase{status: "in_progress"})
}

// as is the response as JSON in a phase.
func (m *response) as(p phase) []byte {
	status, details, output, used, failure, completed := p.status, "null", []byte("[]"), "null", "null", "null"
	if p.usage != nil {
		used = reported(*p.usage)
	}
	switch status {
	case "completed", "incomplete":
		completed = strconv.FormatInt(p.completed, 10)
		if status == "incomplete" {
			details = `{"reason":"max_output_tokens"}`
		}
		output = []byte{'['}
		for i, item := range m.output {
			if i > 0 {
				output = append(output, ',')
			}
			output = append(output, item.body(m.itemStatus(i), true)...)
		}
		output = append(output, ']')
	case "failed":
		failure = `{"code":"server_error","message":"The sandbox was told to let this response fail."}`
	}
	q := m.request
	return fmt.Appendf(nil, `{"id":%q,"object":"response","created_at":%d,"status":%q,"background":%t,"completed_at":%s,"error":%s,"incomplete_details":%s,`+
		`"instructions":%s,"max_output_tokens":%s,"model":%q,"output":%s,"parallel_tool_calls":%s,"previous_response_id":%s,"reasoning":%s,`+
		`"service_tier":"default","store":%t,"temperature":%s,"text":%s,"tool_choice":%s,"tools":%s,"top_p":%s,"truncation":"disabled","usage":%s,"user":null,"metadata":%s}`,
		m.id, m.created, status, q.Background, completed, failure, details, or(q.Instructions, "null"), or(q.MaxOutput, "null"), m.model, output, or(q.Parallel, "true"), or(q.Previous, "null"),
		or(q.Reasoning, `{"effort":null,"summary":null}`), q.stored(), or(q.Temperature, "1.0"), or(q.Text, `{"format":{"type":"text"}}`), or(q.ToolChoice, `"auto"`),
		or(q.Tools, "[]"), or(q.TopP, "1.0"), used, or(q.Metadata, "{}"))
}

func or(value json.RawMessage, otherwise string) string {
	if len(value) == 0 || string(value) == "null" {
		return otherwise
	}
	return string(value)
}

func (m *response) itemStatus(i int) string {
	if m.status == "incomplete" && i == len(m.output)-1 {
		return m.status
	}
	return "completed"
}

func reported(u usage) string {
	return fmt.Sprintf(`{"input_tokens":%d,"input_tokens_details":{"cached_tokens":%d},"output_tokens":%d,"output_tokens_details":{"reasoning_tokens":%d},"total_tokens":%d}`,
		u.PromptTokens, u.PromptTokensDetails.CachedTokens, u.CompletionTokens, u.CompletionTokensDetails.ReasoningTokens, u.TotalTokens)
}

// body is the item as JSON, full or as it begins.
func (o outputItem) body(status string, full bool) []byte {
	switch o.kind {
	case "reasoning":
		return fmt.Appendf(nil, `{"id":%q,"type":"reasoning","summary":[]}`, o.id)
	case "function_call":
		arguments := ""
		if full {
			arguments = o.call.Function.Arguments
		}
		return fmt.Appendf(nil, `{"id":%q,"type":"function_call","status":%q,"arguments":%s,"call_id":%q,"name":%s}`,
			o.id, status, quote(arguments), o.call.ID, quote(o.call.Function.Name))
	default:
		content := "[]"
		if full {
			content = "[" + string(part0(o.text)) + "]"
		}
		return fmt.Appendf(nil, `{"id":%q,"type":"message","status":%q,"content":%s,"role":"assistant"}`, o.id, status, content)
	}
}

func part0(text string) []byte {
	return fmt.Appendf(nil, `{"type":"output_text","annotations":[],"logprobs":[],"text":%s}`, quote(text))
}

// maxResponses bounds the responses that are kept; the oldest goes first.
const maxResponses = 1000

// responseStore keeps responses.
type responseStore struct {
	mu    sync.Mutex
	known map[string]*response
	order []string
}

func (s *responseStore) put(m *response) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = map[string]*response{}
	}
	s.known[m.id] = m
	s.order = append(s.order, m.id)
	if len(s.order) > maxResponses {
		delete(s.known, s.order[0])
		s.order = slices.Clone(s.order[1:])
	}
}

func (s *responseStore) get(id string) (*response, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.known[id]
	return m, ok
}

func (s *responseStore) remove(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.known[id]; !ok {
		return false
	}
	delete(s.known, id)
	s.order = slices.DeleteFunc(s.order, func(other string) bool { return other == id })
	return true
}

// item returns the messages of a stored item.
func (s *responseStore) item(id string) ([]message, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.known {
		for _, o := range m.output {
			if o.id == id {
				return o.asMessages(), true
			}
		}
	}
	return nil, false
}

// Responses returns the ids of the responses that are stored, oldest first.
func (f *Fake) Responses() []string {
	f.responses.mu.Lock()
	defer f.responses.mu.Unlock()
	return slices.Clone(f.responses.order)
}

func errNoResponse(id string) apiError {
	return apiError{Message: fmt.Sprintf("Response with id '%s' not found.", id), Type: typeInvalid}
}

// stored returns the response that the path names, or answers with a 404.
func (f *Fake) stored(w http.ResponseWriter, r *http.Request) (*response, bool) {
	m, ok := f.responses.get(r.PathValue("id"))
	if ok && f.lost(m) {
		f.responses.remove(m.id)
		ok = false
	}
	if !ok {
		writeError(w, http.StatusNotFound, errNoResponse(r.PathValue("id")))
	}
	return m, ok
}

func (f *Fake) getResponse(w http.ResponseWriter, r *http.Request) {
	m, ok := f.stored(w, r)
	switch {
	case !ok:
	case m.run != nil:
		f.answerRunning(w, r, m, r.URL.Query().Get("stream") == "true")
	case r.URL.Query().Get("stream") == "true":
		writeError(w, http.StatusBadRequest, apiError{Message: "This response cannot be streamed: it was not created with background=true.", Type: typeInvalid, Param: "stream"})
	default:
		writeJSON(w, json.RawMessage(m.body(true)))
	}
}

func (f *Fake) deleteResponse(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if !f.responses.remove(id) {
		writeError(w, http.StatusNotFound, errNoResponse(id))
		return
	}
	writeJSON(w, struct {
		ID      string `json:"id"`
		Object  string `json:"object"`
		Deleted bool   `json:"deleted"`
	}{id, "response", true})
}

func (f *Fake) cancelResponse(w http.ResponseWriter, r *http.Request) {
	m, ok := f.stored(w, r)
	switch {
	case !ok:
	case m.run == nil:
		writeError(w, http.StatusBadRequest, apiError{Message: "Cannot cancel a synchronous response.", Type: typeInvalid})
	default:
		f.cancelRunning(m)
		f.answerRunning(w, r, m, false)
	}
}

// listInputItems lists the input, newest first unless order is asc.
func (f *Fake) listInputItems(w http.ResponseWriter, r *http.Request) {
	m, ok := f.stored(w, r)
	if !ok {
		return
	}
	const standard, most = 20, 100
	limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
	if err != nil {
		limit = standard
	}
	items := slices.Clone(m.input)
	if r.URL.Query().Get("order") != "asc" {
		slices.Reverse(items)
	}
	from := 0
	if after := r.URL.Query().Get("after"); after != "" {
		from = 1 + slices.IndexFunc(items, func(item json.RawMessage) bool { return idOf(item) == after })
	}
	items = items[from:]
	page := items[:min(len(items), max(1, min(limit, most)))]
	out := struct {
		Object  string            `json:"object"`
		Data    []json.RawMessage `json:"data"`
		FirstID *string           `json:"first_id"`
		LastID  *string           `json:"last_id"`
		HasMore bool              `json:"has_more"`
	}{Object: "list", Data: append([]json.RawMessage{}, page...), HasMore: len(page) < len(items)}
	if len(page) > 0 {
		first, last := idOf(page[0]), idOf(page[len(page)-1])
		out.FirstID, out.LastID = &first, &last
	}
	writeJSON(w, out)
}

func idOf(item json.RawMessage) string {
	var named struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(item, &named) != nil {
		return ""
	}
	return named.ID
}

func (f *Fake) countInput(w http.ResponseWriter, r *http.Request) {
	req, status, e := f.parseResponse(r)
	if e != nil {
		writeError(w, status, *e)
		return
	}
	writeJSON(w, struct {
		Object string `json:"object"`
		Tokens int    `json:"input_tokens"`
	}{"response.input_tokens", req.chat.promptTokens()})
}

// compact puts a conversation into one item that only the sandbox reads.
func (f *Fake) compact(w http.ResponseWriter, r *http.Request) {
	_, answer, ok := f.readResponse(w, r)
	if !ok {
		return
	}
	f.stats.bill(answer.usage())
	sealed, err := json.Marshal(answer.choices[0].text)
	if err != nil { // a text always marshals
		sealed = []byte(`""`)
	}
	writeJSON(w, json.RawMessage(fmt.Appendf(nil, `{"id":%q,"object":"response.compaction","created_at":%d,"output":[{"id":%q,"type":"compaction","encrypted_content":%s}],"usage":%s}`,
		f.ids.Next("resp_", 48), f.now().Unix(), f.ids.Next("cmp_", 48), sealed, reported(answer.usage()))))
}
