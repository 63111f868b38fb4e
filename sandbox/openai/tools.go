package openai

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/trivet-dev/trivet/sandbox/internal/ident"
)

// tool is one function that the model may call.
type tool struct {
	Type     string `json:"type"`
	Function struct {
		Name        string          `json:"name"`
		Description string          `json:"description"`
		Parameters  json.RawMessage `json:"parameters"`
	} `json:"function"`
}

// toolCall is one call that the model wants made.
type toolCall struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	Function struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	} `json:"function"`
}

// toolChoice reads tool_choice: a mode, or the name of the one function to call.
func (r *chatRequest) toolChoice() (mode, name string) {
	if len(r.ToolChoice) == 0 || json.Unmarshal(r.ToolChoice, &mode) == nil {
		return mode, ""
	}
	var named struct {
		Function struct {
			Name string `json:"name"`
		} `json:"function"`
	}
	if json.Unmarshal(r.ToolChoice, &named) != nil {
		return "invalid", ""
	}
	return "named", named.Function.Name
}

func (r *chatRequest) checkTools() *apiError {
	mode, name := r.toolChoice()
	if len(r.Tools) == 0 {
		if mode != "" && mode != "none" {
			return &apiError{
				Message: "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.", Type: typeInvalid, Param: "tool_choice",
			}
		}
		return nil
	}
	found := false
	for i, t := range r.Tools {
		if t.Function.Name == "" {
			param := fmt.Sprintf("tools[%d].function.name", i)
			return &apiError{
				Message: "Missing required parameter: '" + param + "'.", Type: typeInvalid, Param: param, Code: "missing_required_parameter",
			}
		}
		found = found || t.Function.Name == name
	}
	switch mode {
	case "", "none", "auto", "required":
		return nil
	case "named":
		if found {
			return nil
		}
		return &apiError{
			Message: fmt.Sprintf("Tool choice '%s' not found in 'tools' parameter.", name), Type: typeInvalid, Param: "tool_choice",
		}
	default:
		return &apiError{
			Message: fmt.Sprintf("Invalid value: '%s'. Supported values are: 'none', 'auto', and 'required'.", mode),
			Type:    typeInvalid, Param: "tool_choice", Code: "invalid_value",
		}
	}
}

// toolCalls decides which functions to call: the named one, or those that the user mentions, or, when a call
// is required, the first. A forced function ends with "stop", as the real API's does.
func (r *chatRequest) toolCalls(seed uint64) (calls []toolCall, finish string) {
	mode, name := r.toolChoice()
	if len(r.Tools) == 0 || mode == "none" {
		return nil, ""
	}
	var wanted []tool
	for _, t := range r.Tools {
		if t.Function.Name == name || (mode != "named" && r.mentions(t.Function.Name)) {
			wanted = append(wanted, t)
		}
	}
	if len(wanted) == 0 && mode == "required" {
		wanted = r.Tools[:1]
	}
	if r.ParallelToolCalls != nil && !*r.ParallelToolCalls && len(wanted) > 1 {
		wanted = wanted[:1]
	}
	for i, t := range wanted {
		call := toolCall{ID: "call_" + ident.Derive(24, "call", fmt.Sprint(seed, i)), Type: "function"}
		call.Function.Name = t.Function.Name
		call.Function.Arguments = sample(t.Function.Parameters, seed)
		calls = append(calls, call)
	}
	if mode == "named" {
		return calls, "stop"
	}
	return calls, "tool_calls"
}

// mentions tells whether the last message is the user's and names the function, also with spaces for "_".
func (r *chatRequest) mentions(name string) bool {
	last := r.Messages[len(r.Messages)-1]
	if last.Role != "user" {
		return false
	}
	text, name := strings.ToLower(last.text), strings.ToLower(name)
	return strings.Contains(text, name) || strings.Contains(text, strings.ReplaceAll(name, "_", " "))
}
