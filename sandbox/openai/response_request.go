package openai

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// responseRequest holds the fields of a request of the Responses API that change the answer, or that it repeats.
type responseRequest struct {
	Model        string          `json:"model"`
	Input        json.RawMessage `json:"input"`
	Instructions json.RawMessage `json:"instructions"`
	Stream       bool            `json:"stream"`
	Store        *bool           `json:"store"`
	Background   bool            `json:"background"`
	MaxOutput    json.RawMessage `json:"max_output_tokens"`
	Previous     json.RawMessage `json:"previous_response_id"`
	Tools        json.RawMessage `json:"tools"`
	ToolChoice   json.RawMessage `json:"tool_choice"`
	Parallel     json.RawMessage `json:"parallel_tool_calls"`
	Text         json.RawMessage `json:"text"`
	Reasoning    json.RawMessage `json:"reasoning"`
	Temperature  json.RawMessage `json:"temperature"`
	TopP         json.RawMessage `json:"top_p"`
	Metadata     json.RawMessage `json:"metadata"`

	chat         chatRequest
	items        []json.RawMessage // of the input, with ids
	conversation []message         // without the instructions
}

func (r *responseRequest) stored() bool { return r.Store == nil || *r.Store }

// parseResponse reads and checks a request. The status belongs to the error.
func (f *Fake) parseResponse(r *http.Request) (*responseRequest, int, *apiError) {
	req := &responseRequest{}
	if e := decode(r, req); e != nil {
		return nil, http.StatusBadRequest, e
	}
	r.Body = http.NoBody
	m, ok := find(req.Model, chatModel)
	if !ok {
		return nil, http.StatusNotFound, notForChat(req.Model)
	}
	if req.Background && !req.stored() {
		return nil, http.StatusBadRequest, &apiError{Message: "Background mode requires 'store' to be true.", Type: typeInvalid, Param: "store"}
	}
	req.chat.model, req.chat.Stream = m, req.Stream
	if status, e := f.converse(req); e != nil {
		return nil, status, e
	}
	if e := req.fill(); e != nil {
		return nil, http.StatusBadRequest, e
	}
	c := &req.chat
	for _, check := range []func() *apiError{c.checkMessages, c.checkCounts, c.checkSampling, c.checkReasoning, c.checkTools, c.checkSchemas, c.checkContext} {
		if e := check(); e != nil {
			return nil, http.StatusBadRequest, e
		}
	}
	c.directives = parseDirectives(c.Messages)
	return req, 0, nil
}

// converse makes the messages of the conversation.
func (f *Fake) converse(req *responseRequest) (int, *apiError) {
	if id, ok := as[string](req.Previous); ok && id != "" {
		previous, known := f.responses.get(id)
		if !known {
			return http.StatusBadRequest, &apiError{
				Message: fmt.Sprintf("Previous response with id '%s' not found.", id), Type: typeInvalid, Param: "previous_response_id", Code: "previous_response_not_found",
			}
		}
		req.conversation = append(req.conversation, previous.messages...)
	}
	if text, ok := as[string](req.Input); ok && len(req.Input) > 0 && string(req.Input) != "null" {
		item, err := json.Marshal(map[string]any{"role": "user", "content": text})
		if err != nil { // a text always marshals
			item = []byte("{}")
		}
		req.Input = fmt.Appendf(nil, "[%s]", item)
	}
	items, ok := as[[]json.RawMessage](req.Input)
	if !ok {
		return http.StatusBadRequest, &apiError{Message: "Invalid type for 'input': expected a string or an array of items.", Type: typeInvalid, Param: "input", Code: "invalid_type"}
	}
	for i, item := range items {
		if status, e := f.addItem(req, item, i); e != nil {
			return status, e
		}
	}
	req.chat.Messages = req.conversation
	if text, ok := as[string](req.Instructions); ok && text != "" {
		req.chat.Messages = append([]message{{Role: "developer", text: text, hasContent: true}}, req.conversation...)
	}
	return 0, nil
}

// inputItem is an item of the input.
type inputItem struct {
	ID        string          `json:"id"`
	Type      string          `json:"type"`
	Role      string          `json:"role"`
	Content   json.RawMessage `json:"content"`
	CallID    string          `json:"call_id"`
	Name      string          `json:"name"`
	Arguments string          `json:"arguments"`
	Output    json.RawMessage `json:"output"`
}

func (f *Fake) addItem(req *responseRequest, raw json.RawMessage, at int) (int, *apiError) {
	item, ok := as[inputItem](raw)
	if !ok {
		return http.StatusBadRequest, &apiError{Message: fmt.Sprintf("Invalid 'input[%d]': expected an item.", at), Type: typeInvalid, Param: "input"}
	}
	var m message
	switch {
	case item.Type == "item_reference", item.Type == "" && len(item.Content) == 0:
		known, ok := f.responses.item(item.ID)
		if !ok {
			return http.StatusNotFound, &apiError{Message: fmt.Sprintf("Item with id '%s' not found.", item.ID), Type: typeInvalid, Param: "input"}
		}
		req.conversation = append(req.conversation, known...)
		return 0, nil
	case item.Type == "" || item.Type == "message":
		m = flattened(item.Role, item.Content)
	case item.Type == "function_call":
		call := toolCall{ID: item.CallID, Type: "function"}
		call.Function.Name, call.Function.Arguments = item.Name, item.Arguments
		m = message{Role: "assistant", ToolCalls: []toolCall{call}}
	case item.Type == "function_call_output":
		m = flattened("tool", item.Output)
		m.ToolCallID = item.CallID
	case item.Type == "reasoning", item.Type == "compaction":
		return 0, nil
	default:
		param := fmt.Sprintf("input[%d].type", at)
		return http.StatusBadRequest, &apiError{Message: fmt.Sprintf("The sandbox takes no items of the type '%s'.", item.Type), Type: typeInvalid, Param: param}
	}
	req.conversation = append(req.conversation, m)
	req.items = append(req.items, f.withID(raw, item))
	return 0, nil
}

// flattened is a message of texts and images, whatever the API calls their parts.
func flattened(role string, content json.RawMessage) message {
	m := message{Role: role, hasContent: true}
	if text, ok := as[string](content); ok {
		m.text = text
		return m
	}
	parts, _ := as[[]struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}](content)
	for _, p := range parts {
		if p.Type == "input_image" {
			m.images++
		}
		if m.text != "" && p.Text != "" {
			m.text += " "
		}
		m.text += p.Text
	}
	return m
}

// withID gives an item of the input the id by which it is stored.
func (f *Fake) withID(raw json.RawMessage, item inputItem) json.RawMessage {
	if item.ID != "" {
		return raw
	}
	members, ok := as[map[string]json.RawMessage](raw)
	if !ok {
		return raw
	}
	members["id"] = quote(f.ids.Next("msg_", 48))
	if item.Type == "" {
		members["type"] = []byte(`"message"`)
	}
	out, err := json.Marshal(members)
	if err != nil {
		return raw
	}
	return out
}

// fill translates the other fields to those of a chat.
func (r *responseRequest) fill() *apiError {
	c := &r.chat
	c.Temperature, c.TopP = optional[float64](r.Temperature), optional[float64](r.TopP)
	c.MaxCompletionTokens, c.ParallelToolCalls = optional[int](r.MaxOutput), optional[bool](r.Parallel)
	tools, _ := as[[]struct {
		Type        string          `json:"type"`
		Name        string          `json:"name"`
		Description string          `json:"description"`
		Parameters  json.RawMessage `json:"parameters"`
	}](r.Tools)
	for i, t := range tools {
		if t.Type != "function" {
			return &apiError{Message: fmt.Sprintf("The sandbox has no tools of the type '%s'.", t.Type), Type: typeInvalid, Param: fmt.Sprintf("tools[%d].type", i)}
		}
		one := tool{Type: "function"}
		one.Function.Name, one.Function.Description, one.Function.Parameters = t.Name, t.Description, t.Parameters
		c.Tools = append(c.Tools, one)
	}
	c.ToolChoice = r.ToolChoice
	if named, ok := as[struct {
		Name string `json:"name"`
	}](r.ToolChoice); ok && named.Name != "" {
		c.ToolChoice = fmt.Appendf(nil, `{"type":"function","function":{"name":%s}}`, quote(named.Name))
	}
	text, _ := as[struct {
		Format *struct {
			Type   string          `json:"type"`
			Name   string          `json:"name"`
			Schema json.RawMessage `json:"schema"`
		} `json:"format"`
	}](r.Text)
	if text.Format != nil {
		c.ResponseFormat = &responseFormat{Type: text.Format.Type}
		c.ResponseFormat.JSONSchema.Name, c.ResponseFormat.JSONSchema.Schema = text.Format.Name, text.Format.Schema
	}
	reasoning, _ := as[struct {
		Effort string `json:"effort"`
	}](r.Reasoning)
	c.ReasoningEffort = reasoning.Effort
	return nil
}

// optional reads a value that may be absent or null.
func optional[T any](raw json.RawMessage) *T {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	value, ok := as[T](raw)
	if !ok {
		return nil
	}
	return &value
}
