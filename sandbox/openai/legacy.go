package openai

import (
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"strings"
)

// completionRequest is a legacy completion: one prompt or several.
type completionRequest struct {
	Model         string          `json:"model"`
	Prompt        json.RawMessage `json:"prompt"`
	MaxTokens     *int            `json:"max_tokens"`
	N             *int            `json:"n"`
	Stream        bool            `json:"stream"`
	StreamOptions *streamOptions  `json:"stream_options"`
	Stop          stopSequences   `json:"stop"`
}

type completionChoice struct {
	Text         string    `json:"text"`
	Index        int       `json:"index"`
	LogProbs     *struct{} `json:"logprobs"`
	FinishReason *string   `json:"finish_reason"`
}

type completionResponse struct {
	ID      string             `json:"id"`
	Object  string             `json:"object"`
	Created int64              `json:"created"`
	Model   string             `json:"model"`
	Choices []completionChoice `json:"choices"`
	Usage   *usage             `json:"usage,omitempty"`
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
	answer, directives, e := f.completions(&req, m)
	if e != nil {
		writeError(w, http.StatusBadRequest, *e)
		return
	}
	head := completionResponse{ID: f.ids.Next("cmpl-", 29), Object: "text_completion", Created: f.now().Unix(), Model: m.answersAs()}
	if req.Stream {
		asked := req.StreamOptions != nil && req.StreamOptions.IncludeUsage
		f.begin(w, r, directives, answer.prompt, 0).run(head.events(&answer, asked))
		return
	}
	u := answer.usage()
	f.stats.bill(u)
	head.Usage, head.Choices = &u, make([]completionChoice, len(answer.choices))
	for i := range answer.choices {
		head.Choices[i] = completionChoice{Text: answer.choices[i].text, Index: i, FinishReason: &answer.choices[i].finish}
	}
	writeJSON(w, head)
}

// completions decides what the model says to each prompt.
func (f *Fake) completions(r *completionRequest, m model) (out completion, d directives, e *apiError) {
	prompts, e := r.prompts()
	if e != nil {
		return out, d, e
	}
	n := 1
	if r.N != nil {
		n = *r.N
	}
	if n < 1 || n*len(prompts) > maxChoices {
		return out, d, outOfRange("n", "integer_above_max_value", "above maximum", fmt.Sprintf("from 1 to %d for all prompts together, but got %d", maxChoices, n))
	}
	limit := defaultMaxTokens
	if r.MaxTokens != nil {
		limit = min(max(*r.MaxTokens, 0), m.maxOutput)
	}
	for _, prompt := range prompts {
		chat := chatRequest{model: m, Messages: []message{{Role: "user", text: prompt}}}
		chat.directives = parseDirectives(chat.Messages)
		d, out.prompt = chat.directives, out.prompt+CountTokens(prompt)
		for i := range n {
			length := f.ReplyTokens()
			if d.tokens != nil {
				length = *d.tokens
			}
			out.choices = append(out.choices, limitText(compose(chat.opening(), chat.seedOf()+uint64(i), min(length, limit+1)), r.Stop, limit))
		}
	}
	return out, d, nil
}

// events makes the events of a stream: the choices one after another, one token each.
func (h completionResponse) events(answer *completion, asked bool) iter.Seq2[part, []byte] {
	event := func(choices []completionChoice, u *usage) []byte {
		h.Choices, h.Usage = choices, u
		body, err := json.Marshal(h)
		if err != nil { // texts and numbers always marshal
			body = []byte("{}")
		}
		return fmt.Appendf(nil, "data: %s\n\n", body)
	}
	return func(yield func(part, []byte) bool) {
		for i := range answer.choices {
			for token, rest := cutToken(answer.choices[i].text); token != ""; token, rest = cutToken(rest) {
				if !yield(delta, event([]completionChoice{{Text: token, Index: i}}, nil)) {
					return
				}
			}
			if !yield(closing, event([]completionChoice{{Index: i, FinishReason: &answer.choices[i].finish}}, nil)) {
				return
			}
		}
		if u := answer.usage(); asked && !yield(closing, event([]completionChoice{}, &u)) {
			return
		}
		yield(closing, []byte("data: [DONE]\n\n"))
	}
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
