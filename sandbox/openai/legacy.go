package openai

import (
	"encoding/json"
	"net/http"
	"strings"
)

// completionRequest is a legacy completion: one prompt or several, never streamed here.
type completionRequest struct {
	Model     string          `json:"model"`
	Prompt    json.RawMessage `json:"prompt"`
	MaxTokens *int            `json:"max_tokens"`
	Stream    bool            `json:"stream"`
	Stop      stopSequences   `json:"stop"`
}

type completionChoice struct {
	Text         string    `json:"text"`
	Index        int       `json:"index"`
	LogProbs     *struct{} `json:"logprobs"`
	FinishReason string    `json:"finish_reason"`
}

// defaultMaxTokens is the legacy endpoint's own default.
const defaultMaxTokens = 16

func (f *Fake) complete(w http.ResponseWriter, r *http.Request) {
	var req completionRequest
	if e := decode(r, &req); e != nil {
		writeError(w, http.StatusBadRequest, *e)
		return
	}
	m, ok := find(req.Model, completionModel)
	if !ok {
		writeError(w, http.StatusNotFound, errModel(req.Model))
		return
	}
	prompts, e := req.prompts()
	if e == nil && req.Stream {
		e = &apiError{Message: "The sandbox does not stream legacy completions; use /v1/chat/completions.", Type: typeInvalid, Param: "stream"}
	}
	if e != nil {
		writeError(w, http.StatusBadRequest, *e)
		return
	}
	limit := defaultMaxTokens
	if req.MaxTokens != nil {
		limit = min(max(*req.MaxTokens, 0), m.maxOutput)
	}
	var u usage
	choices := make([]completionChoice, len(prompts))
	for i, prompt := range prompts {
		chat := chatRequest{model: m, Messages: []message{{Role: "user", text: prompt}}}
		c := limitText(compose(chat.opening(), chat.seedOf(), f.ReplyTokens()), req.Stop, limit)
		choices[i] = completionChoice{Text: c.text, Index: i, FinishReason: c.finish}
		u.PromptTokens += CountTokens(prompt)
		u.CompletionTokens += c.tokens
	}
	u.TotalTokens = u.PromptTokens + u.CompletionTokens
	f.stats.bill(u)
	writeJSON(w, struct {
		ID      string             `json:"id"`
		Object  string             `json:"object"`
		Created int64              `json:"created"`
		Model   string             `json:"model"`
		Choices []completionChoice `json:"choices"`
		Usage   usage              `json:"usage"`
	}{f.ids.Next("cmpl-", 29), "text_completion", f.now().Unix(), m.answersAs(), choices, u})
}

func (r *completionRequest) prompts() ([]string, *apiError) {
	if one, ok := as[string](r.Prompt); ok && len(r.Prompt) > 0 {
		return []string{one}, nil
	}
	if many, ok := as[[]string](r.Prompt); ok && len(many) > 0 && len(many) <= maxInputs {
		return many, nil
	}
	return nil, &apiError{Message: "Missing or invalid parameter: 'prompt'.", Type: typeInvalid, Param: "prompt"}
}

// moderate flags a text that contains the word "flagme", as violence, and no other.
func (f *Fake) moderate(w http.ResponseWriter, r *http.Request) {
	var req struct {
		Model string          `json:"model"`
		Input json.RawMessage `json:"input"`
	}
	if e := decode(r, &req); e != nil {
		writeError(w, http.StatusBadRequest, *e)
		return
	}
	inputs, _ := as[[]string](req.Input)
	if one, ok := as[string](req.Input); ok {
		inputs = []string{one}
	}
	if len(inputs) == 0 {
		writeError(w, http.StatusBadRequest, *errInput)
		return
	}
	results := make([]moderation, len(inputs))
	for i, text := range inputs {
		results[i] = moderationOf(strings.Contains(text, "flagme"))
	}
	writeJSON(w, struct {
		ID      string       `json:"id"`
		Model   string       `json:"model"`
		Results []moderation `json:"results"`
	}{f.ids.Next("modr-", 29), "omni-moderation-2024-09-26", results})
}

type moderation struct {
	Flagged        bool               `json:"flagged"`
	Categories     map[string]bool    `json:"categories"`
	CategoryScores map[string]float64 `json:"category_scores"`
}

func moderationOf(flagged bool) moderation {
	m := moderation{Flagged: flagged, Categories: map[string]bool{}, CategoryScores: map[string]float64{}}
	for _, category := range []string{
		"hate", "hate/threatening", "harassment", "harassment/threatening", "self-harm", "self-harm/intent",
		"self-harm/instructions", "sexual", "sexual/minors", "violence", "violence/graphic", "illicit", "illicit/violent",
	} {
		m.Categories[category] = false
		m.CategoryScores[category] = 0.0001
	}
	if flagged {
		m.Categories["violence"], m.CategoryScores["violence"] = true, 0.98
	}
	return m
}
