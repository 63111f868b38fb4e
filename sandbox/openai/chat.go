package openai

import (
	"bytes"
	"encoding/json"
	"net/http"
)

// fingerprint is the system_fingerprint of every answer.
const fingerprint = "fp_sandbox0001"

type chatResponse struct {
	ID                string       `json:"id"`
	Object            string       `json:"object"`
	Created           int64        `json:"created"`
	Model             string       `json:"model"`
	Choices           []chatChoice `json:"choices"`
	Usage             usage        `json:"usage"`
	ServiceTier       string       `json:"service_tier"`
	SystemFingerprint string       `json:"system_fingerprint"`
}

type chatChoice struct {
	Index        int         `json:"index"`
	Message      chatMessage `json:"message"`
	LogProbs     *struct{}   `json:"logprobs"`
	FinishReason string      `json:"finish_reason"`
}

type chatMessage struct {
	Role        string     `json:"role"`
	Content     *string    `json:"content"`
	ToolCalls   []toolCall `json:"tool_calls,omitempty"`
	Refusal     *string    `json:"refusal"`
	Annotations []struct{} `json:"annotations"`
}

func (f *Fake) chat(w http.ResponseWriter, r *http.Request) {
	req, status, e := parseChat(r)
	if e != nil {
		writeError(w, status, *e)
		return
	}
	answer, e := f.answer(req)
	if e != nil {
		writeError(w, http.StatusBadRequest, *e)
		return
	}
	// A client may read slowly; what it sent is not needed any more.
	r.Body, req.Messages, req.Tools = http.NoBody, nil, nil
	id := f.ids.Next("chatcmpl-", 29)
	if req.Stream {
		f.stream(w, r, req, &answer, id)
		return
	}
	u := answer.usage()
	f.stats.bill(u)
	resp := chatResponse{
		ID: id, Object: "chat.completion", Created: f.now().Unix(), Model: req.model.answersAs(),
		Choices: make([]chatChoice, len(answer.choices)), Usage: u, ServiceTier: "default", SystemFingerprint: fingerprint,
	}
	for i := range answer.choices {
		resp.Choices[i] = answer.choices[i].object(i)
	}
	writeJSON(w, resp)
}

func (c *choice) object(index int) chatChoice {
	m := chatMessage{Role: "assistant", ToolCalls: c.calls, Annotations: []struct{}{}}
	if len(c.calls) == 0 {
		m.Content = &c.text
	}
	return chatChoice{Index: index, Message: m, FinishReason: c.finish}
}

// writeJSON answers 200.
func writeJSON(w http.ResponseWriter, v any) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		answerStatus(w, http.StatusInternalServerError, 0)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(b.Bytes())
}

// quote makes a JSON string of s and leaves <, > and & as they are, like the real API.
func quote(s string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil { // a string always marshals
		return []byte(`""`)
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}
