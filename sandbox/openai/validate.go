package openai

import (
	"fmt"
	"net/http"
	"slices"
)

// maxChoices is the API's own limit of n.
const maxChoices = 128

// parseChat reads and checks a chat request. The status belongs to the error.
func parseChat(r *http.Request) (*chatRequest, int, *apiError) {
	req := &chatRequest{}
	if e := decode(r, req); e != nil {
		return nil, http.StatusBadRequest, e
	}
	if req.Model == "" {
		return nil, http.StatusBadRequest, &apiError{Message: "you must provide a model parameter", Type: typeInvalid}
	}
	m, ok := find(req.Model, chatModel)
	if !ok {
		return nil, http.StatusNotFound, notForChat(req.Model)
	}
	req.model = m
	for _, check := range []func() *apiError{
		req.checkMessages, req.checkCounts, req.checkSampling, req.checkReasoning, req.checkTools, req.checkSchemas, req.checkContext,
	} {
		if e := check(); e != nil {
			return nil, http.StatusBadRequest, e
		}
	}
	req.directives = parseDirectives(req.Messages)
	return req, 0, nil
}

func notForChat(name string) *apiError {
	for _, m := range catalogue() {
		if m.id == name || m.snapshot == name {
			return &apiError{
				Message: "This is not a chat model and thus not supported in the v1/chat/completions endpoint. Did you mean to use v1/completions?",
				Type:    typeInvalid, Param: "model",
			}
		}
	}
	e := errModel(name)
	return &e
}

func (r *chatRequest) checkMessages() *apiError {
	if r.Messages == nil {
		return &apiError{Message: "Missing required parameter: 'messages'.", Type: typeInvalid, Param: "messages", Code: "missing_required_parameter"}
	}
	if len(r.Messages) == 0 {
		return &apiError{
			Message: "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.",
			Type:    typeInvalid, Param: "messages", Code: "empty_array",
		}
	}
	roles := []string{"system", "assistant", "user", "function", "tool", "developer"}
	for i, m := range r.Messages {
		if !slices.Contains(roles, m.Role) {
			param := fmt.Sprintf("messages[%d].role", i)
			return &apiError{
				Message: fmt.Sprintf("Invalid value: '%s'. Supported values are: 'system', 'assistant', 'user', 'function', 'tool', and 'developer'.", m.Role),
				Type:    typeInvalid, Param: param, Code: "invalid_value",
			}
		}
		if !m.hasContent && len(m.ToolCalls) == 0 && m.Role != "assistant" {
			param := fmt.Sprintf("messages.[%d].content", i)
			return &apiError{Message: fmt.Sprintf("Invalid value for 'content': expected a string, got null. (%s)", param), Type: typeInvalid, Param: param}
		}
	}
	return nil
}

func (r *chatRequest) checkCounts() *apiError {
	if r.N != nil && *r.N < 1 {
		return outOfRange("n", "integer_below_min_value", "below minimum", fmt.Sprintf(">= 1, but got %d", *r.N))
	}
	if r.N != nil && *r.N > maxChoices {
		return outOfRange("n", "integer_above_max_value", "above maximum", fmt.Sprintf("<= %d, but got %d", maxChoices, *r.N))
	}
	for name, v := range map[string]*int{"max_tokens": r.MaxTokens, "max_completion_tokens": r.MaxCompletionTokens} {
		switch {
		case v == nil:
		case *v < 1:
			return outOfRange(name, "integer_below_min_value", "below minimum", fmt.Sprintf(">= 1, but got %d", *v))
		case *v > r.model.maxOutput:
			return &apiError{
				Message: fmt.Sprintf("%s is too large: %d. This model supports at most %d completion tokens, whereas you provided %d.",
					name, *v, r.model.maxOutput, *v),
				Type: typeInvalid, Param: name, Code: "invalid_value",
			}
		}
	}
	if r.MaxTokens != nil && r.MaxCompletionTokens != nil {
		return &apiError{
			Message: "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
			Type:    typeInvalid, Param: "max_tokens", Code: "invalid_parameter_combination",
		}
	}
	if r.StreamOptions != nil && !r.Stream {
		return &apiError{
			Message: "The 'stream_options' parameter is only allowed when 'stream' is enabled.", Type: typeInvalid, Param: "stream_options",
		}
	}
	return nil
}

func outOfRange(param, code, side, expected string) *apiError {
	return &apiError{
		Message: fmt.Sprintf("Invalid '%s': integer %s value. Expected a value %s instead.", param, side, expected),
		Type:    typeInvalid, Param: param, Code: code,
	}
}

func (r *chatRequest) checkSampling() *apiError {
	if r.Temperature != nil && (*r.Temperature < 0 || *r.Temperature > 2) {
		return &apiError{
			Message: fmt.Sprintf("Invalid 'temperature': expected a value between 0 and 2, but got %g instead.", *r.Temperature),
			Type:    typeInvalid, Param: "temperature", Code: "decimal_out_of_range",
		}
	}
	if r.TopP != nil && (*r.TopP < 0 || *r.TopP > 1) {
		return &apiError{
			Message: fmt.Sprintf("Invalid 'top_p': expected a value between 0 and 1, but got %g instead.", *r.TopP),
			Type:    typeInvalid, Param: "top_p", Code: "decimal_out_of_range",
		}
	}
	if len(r.Stop) > 4 {
		return &apiError{
			Message: fmt.Sprintf("Invalid 'stop': array too long. Expected an array with maximum length 4, but got an array with length %d instead.", len(r.Stop)),
			Type:    typeInvalid, Param: "stop", Code: "array_above_max_length",
		}
	}
	return nil
}

// checkReasoning refuses what reasoning models refuse.
func (r *chatRequest) checkReasoning() *apiError {
	if !r.model.reasoning {
		return nil
	}
	if r.MaxTokens != nil {
		return &apiError{
			Message: "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
			Type:    typeInvalid, Param: "max_tokens", Code: "unsupported_parameter",
		}
	}
	if r.Temperature != nil && *r.Temperature != 1 {
		return &apiError{
			Message: fmt.Sprintf("Unsupported value: 'temperature' does not support %g with this model. Only the default (1) value is supported.", *r.Temperature),
			Type:    typeInvalid, Param: "temperature", Code: "unsupported_value",
		}
	}
	efforts := []string{"", "none", "minimal", "low", "medium", "high"}
	if !slices.Contains(efforts, r.ReasoningEffort) {
		return &apiError{
			Message: fmt.Sprintf("Invalid value: '%s'. Supported values are: 'minimal', 'low', 'medium', and 'high'.", r.ReasoningEffort),
			Type:    typeInvalid, Param: "reasoning_effort", Code: "invalid_value",
		}
	}
	return nil
}

func (r *chatRequest) checkContext() *apiError {
	if n := r.promptTokens(); n > r.model.context {
		return &apiError{
			Message: fmt.Sprintf("This model's maximum context length is %d tokens. However, your messages resulted in %d tokens. "+
				"Please reduce the length of the messages.", r.model.context, n),
			Type: typeInvalid, Param: "messages", Code: "context_length_exceeded",
		}
	}
	return nil
}
