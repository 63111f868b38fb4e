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

// maxTools is the API's own limit of tools.
const maxTools = 128

func (r *chatRequest) checkTools() *apiError {
	mode, name := r.toolChoice()
	if len(r.Tools) > maxTools {
		return &apiError{
			Message: fmt.Sprintf("Invalid 'tools': array too long. Expected an array with maximum length %d, but got an array with length %d instead.", maxTools, len(r.Tools)),
			Type:    typeInvalid, Param: "tools", Code: "array_above_max_length",
		}
	}
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

// checkSchemas refuses what the answer would have to fit: a schema that is larger than the sandbox follows.
func (r *chatRequest) checkSchemas() *apiError {
	tooLarge := func(param string, schema json.RawMessage) *apiError {
		if len(schema) <= maxSchema {
			return nil
		}
		return &apiError{Message: fmt.Sprintf("Invalid '%s': the sandbox fits answers to schemas of at most %d bytes.", param, maxSchema), Type: typeInvalid, Param: param}
	}
	for _, t := range r.wanted() {
		if e := tooLarge("tools", t.Function.Parameters); e != nil {
			return e
		}
	}
	if r.ResponseFormat == nil {
		return nil
	}
	return tooLarge("response_format.json_schema.schema", r.ResponseFormat.JSONSchema.Schema)
}

// wanted decides which functions to call: the named one, or those that the user mentions, or, when a call is required,
// the first.
func (r *chatRequest) wanted() []tool {
	mode, name := r.toolChoice()
	if len(r.Tools) == 0 || mode == "none" {
		return nil
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
	return wanted
}

// toolCalls makes the calls. A forced function ends with "stop", as the real API's does.
func (r *chatRequest) toolCalls(seed uint64) (calls []toolCall, finish string) {
	for i, t := range r.wanted() {
		call := toolCall{ID: "call_" + ident.Derive(24, "call", fmt.Sprint(seed, i)), Type: "function"}
		call.Function.Name = t.Function.Name
		call.Function.Arguments = sample(t.Function.Parameters, seed)
		calls = append(calls, call)
	}
	if mode, _ := r.toolChoice(); mode == "named" {
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
