package translate

import (
	"encoding/json"
	"slices"
	"strconv"
)

// fillTools translates the functions and the choice among them.
func fillTools(chat, request object) error {
	var tools []object
	if err := decode("tools", request["tools"], &tools); err != nil {
		return err
	}
	allowed, choice, err := choiceOf(request["tool_choice"])
	if err != nil {
		return err
	}
	var out []object
	for i, tool := range tools {
		if kind := textOf(tool["type"]); kind != "function" {
			return invalid("tools["+strconv.Itoa(i)+"].type", "is "+strconv.Quote(kind)+"; this model's provider takes only functions")
		}
		if allowed != nil && !slices.Contains(allowed, textOf(tool["name"])) {
			continue
		}
		function := object{}
		for name, value := range tool {
			if name != "type" && present(value) {
				function[name] = value
			}
		}
		out = append(out, object{"type": raw("function"), "function": raw(function)})
	}
	if len(out) == 0 {
		delete(chat, "parallel_tool_calls") // providers refuse it without tools
		return nil
	}
	chat["tools"] = raw(out)
	if choice != nil {
		chat["tool_choice"] = choice
	}
	return nil
}

// choiceOf translates the choice of a tool. allowed are the names of the only functions to offer; nil allows all.
func choiceOf(value json.RawMessage) (allowed []string, choice json.RawMessage, err error) {
	if !present(value) {
		return nil, nil, nil
	}
	if value[0] == '"' {
		return nil, value, nil
	}
	var named struct {
		Type  string   `json:"type"`
		Name  string   `json:"name"`
		Mode  string   `json:"mode"`
		Tools []object `json:"tools"`
	}
	if err := decode("tool_choice", value, &named); err != nil {
		return nil, nil, err
	}
	switch named.Type {
	case "function":
		return nil, raw(object{"type": raw("function"), "function": raw(map[string]string{"name": named.Name})}), nil
	case "allowed_tools":
		allowed = []string{}
		for _, tool := range named.Tools {
			allowed = append(allowed, textOf(tool["name"]))
		}
		return allowed, raw(named.Mode), nil
	default:
		return nil, nil, invalid("tool_choice.type", "must be function or allowed_tools for this model")
	}
}
