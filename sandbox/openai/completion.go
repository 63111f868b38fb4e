package openai

import (
	"fmt"
	"strings"
)

// maxReply bounds an answer over all its choices, in bytes: an answer is kept until its client has read it.
const maxReply = 1 << 20

// choice is one answer of the model.
type choice struct {
	text   string
	calls  []toolCall // instead of a text
	finish string
	tokens int // reasoning not counted
}

// size is what the choice takes in memory, about.
func (c *choice) size() int {
	n := len(c.text)
	for i := range c.calls {
		n += len(c.calls[i].Function.Name) + len(c.calls[i].Function.Arguments)
	}
	return n
}

// completion is the whole answer to a chat request.
type completion struct {
	choices   []choice
	prompt    int
	cached    int
	reasoning int // over all choices
}

// answer decides what the model says. It depends on the request only. The error says that it would be too large.
func (f *Fake) answer(r *chatRequest) (completion, *apiError) {
	out := completion{prompt: r.promptTokens()}
	out.cached = min(r.directives.cached, out.prompt)
	seed, size := r.seedOf(), 0
	for i := range r.choices() {
		limit := r.maxOutput()
		reasoning := min(r.reasoningTokens(), limit)
		out.reasoning += reasoning
		c := f.choose(r, seed+uint64(i), limit-reasoning)
		if size += c.size(); size > maxReply {
			return completion{}, &apiError{
				Message: fmt.Sprintf("The sandbox's answers have at most %d bytes over all choices. Ask for fewer choices or tokens.", maxReply), Type: typeInvalid, Param: "n",
			}
		}
		out.choices = append(out.choices, c)
	}
	return out, nil
}

// reasoningTokens is the number of output tokens spent on hidden reasoning.
func (r *chatRequest) reasoningTokens() int {
	if r.directives.reasoning != nil {
		return *r.directives.reasoning
	}
	if !r.model.reasoning {
		return 0
	}
	switch r.ReasoningEffort {
	case "none", "minimal":
		return 0
	case "low":
		return 16
	case "high":
		return 64
	default:
		return 32
	}
}

func (f *Fake) choose(r *chatRequest, seed uint64, limit int) choice {
	if calls, finish := r.toolCalls(seed); len(calls) > 0 {
		return limitCalls(choice{calls: calls, finish: finish}, limit)
	}
	n := f.ReplyTokens()
	if r.directives.tokens != nil {
		n = min(*r.directives.tokens, maxReplyTokens)
	}
	n = min(n, limit+1) // one more than is shown tells that the limit has cut it
	text := compose(r.opening(), seed, n)
	if r.ResponseFormat != nil {
		text = r.ResponseFormat.shape(text, seed)
	}
	return limitText(text, r.Stop, limit)
}

// limitText ends the text at the first stop sequence, then at the limit.
func limitText(text string, stops []string, limit int) choice {
	for _, s := range stops {
		if at := strings.Index(text, s); s != "" && at >= 0 {
			text = text[:at]
		}
	}
	c := choice{text: text, finish: "stop"}
	for rest := text; rest != ""; c.tokens++ {
		if c.tokens == limit {
			c.text, c.finish = text[:len(text)-len(rest)], "length"
			break
		}
		_, rest = cutToken(rest)
	}
	return c
}

// limitCalls ends the arguments of the tool calls at the limit, as the real API does: as broken JSON.
func limitCalls(c choice, limit int) choice {
	for i := range c.calls {
		arguments := limitText(c.calls[i].Function.Arguments, nil, max(limit-c.tokens-1, 0))
		if c.tokens+1 > limit || arguments.finish == "length" {
			c.calls[i].Function.Arguments = arguments.text
			c.calls, c.finish, c.tokens = c.calls[:i+1], "length", limit
			return c
		}
		c.tokens += 1 + arguments.tokens
	}
	return c
}

// usage is OpenAI's account of a chat completion, in tokens.
type usage struct {
	PromptTokens        int `json:"prompt_tokens"`
	CompletionTokens    int `json:"completion_tokens"`
	TotalTokens         int `json:"total_tokens"`
	PromptTokensDetails struct {
		CachedTokens int `json:"cached_tokens"`
		AudioTokens  int `json:"audio_tokens"`
	} `json:"prompt_tokens_details"`
	CompletionTokensDetails struct {
		ReasoningTokens          int `json:"reasoning_tokens"`
		AudioTokens              int `json:"audio_tokens"`
		AcceptedPredictionTokens int `json:"accepted_prediction_tokens"`
		RejectedPredictionTokens int `json:"rejected_prediction_tokens"`
	} `json:"completion_tokens_details"`
}

func (c *completion) usage() usage {
	u := usage{PromptTokens: c.prompt, CompletionTokens: c.reasoning}
	for i := range c.choices {
		u.CompletionTokens += c.choices[i].tokens
	}
	u.TotalTokens = u.PromptTokens + u.CompletionTokens
	u.PromptTokensDetails.CachedTokens = c.cached
	u.CompletionTokensDetails.ReasoningTokens = c.reasoning
	return u
}
