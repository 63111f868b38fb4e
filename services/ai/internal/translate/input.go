package translate

import (
	"encoding/json"
	"strconv"
)

// message is one message of a chat.
type message struct {
	Role       string          `json:"role"`
	Content    json.RawMessage `json:"content,omitempty"`
	Refusal    json.RawMessage `json:"refusal,omitempty"`
	ToolCalls  []call          `json:"tool_calls,omitempty"`
	ToolCallID string          `json:"tool_call_id,omitempty"`
}

// call is a call of a function.
type call struct {
	ID       json.RawMessage `json:"id"`
	Type     string          `json:"type"`
	Function object          `json:"function"`
}

// messagesOf makes the messages of a chat of the instructions and the input.
func messagesOf(request object) ([]message, error) {
	var out []message
	if text := request["instructions"]; present(text) {
		if textOf(text) == "" && string(text) != `""` {
			return nil, invalid("instructions", "must be a string")
		}
		out = append(out, message{Role: "system", Content: text})
	}
	input := request["input"]
	if present(input) && input[0] == '"' {
		return append(out, message{Role: "user", Content: input}), nil
	}
	var items []object
	if err := decode("input", input, &items); err != nil {
		return nil, err
	}
	for i, item := range items {
		var err error
		if out, err = addItem(out, item, "input["+strconv.Itoa(i)+"]"); err != nil {
			return nil, err
		}
	}
	if len(out) == 0 {
		return nil, invalid("input", "is empty")
	}
	return out, nil
}

// addItem adds one item of the input.
func addItem(out []message, item object, path string) ([]message, error) {
	switch kind := textOf(item["type"]); kind {
	case "", "message":
		m, err := messageOf(item, path)
		if err != nil {
			return nil, err
		}
		return append(out, m), nil
	case "function_call":
		return addCall(out, item), nil
	case "function_call_output":
		content, err := outputOf(item["output"], path)
		if err != nil {
			return nil, err
		}
		return append(out, message{Role: "tool", ToolCallID: textOf(item["call_id"]), Content: content}), nil
	case "reasoning": // a chat has no place for it
		return out, nil
	default:
		return nil, invalid(path+".type", "is "+strconv.Quote(kind)+", which this model's provider does not take")
	}
}

// addCall adds a call of a function to the assistant's turn.
func addCall(out []message, item object) []message {
	c := call{ID: item["call_id"], Type: "function", Function: object{"name": item["name"], "arguments": item["arguments"]}}
	if n := len(out); n > 0 && out[n-1].Role == "assistant" {
		out[n-1].ToolCalls = append(out[n-1].ToolCalls, c)
		return out
	}
	return append(out, message{Role: "assistant", ToolCalls: []call{c}})
}

func messageOf(item object, path string) (message, error) {
	m := message{Role: textOf(item["role"])}
	switch m.Role {
	case "user", "assistant", "system":
	case "developer": // other providers do not know the role
		m.Role = "system"
	default:
		return m, invalid(path+".role", "must be user, assistant, system or developer")
	}
	content := item["content"]
	if !present(content) || content[0] == '"' {
		m.Content = content
		return m, nil
	}
	var parts []object
	if err := decode(path+".content", content, &parts); err != nil {
		return m, err
	}
	var out []object
	for i, part := range parts {
		translated, err := partOf(part, path+".content["+strconv.Itoa(i)+"]")
		if err != nil {
			return m, err
		}
		out = append(out, translated)
	}
	m.Content = raw(out)
	if text, ok := onlyTexts(out); ok && m.Role != "user" { // few providers take parts in other roles
		m.Content = raw(text)
	}
	return m, nil
}

// partOf translates a content part.
func partOf(part object, path string) (object, error) {
	switch kind := textOf(part["type"]); kind {
	case "input_text", "output_text", "text":
		return object{"type": raw("text"), "text": part["text"]}, nil
	case "refusal":
		return object{"type": raw("text"), "text": part["refusal"]}, nil
	case "input_image":
		if !present(part["image_url"]) {
			return nil, invalid(path+".image_url", "is missing; this model's provider takes images only with their address or content")
		}
		image := object{"url": part["image_url"]}
		if present(part["detail"]) {
			image["detail"] = part["detail"]
		}
		return object{"type": raw("image_url"), "image_url": raw(image)}, nil
	case "input_file":
		if !present(part["file_data"]) {
			return nil, invalid(path+".file_data", "is missing; this model's provider takes files only with their content")
		}
		file := object{"file_data": part["file_data"]}
		if present(part["filename"]) {
			file["filename"] = part["filename"]
		}
		return object{"type": raw("file"), "file": raw(file)}, nil
	case "input_audio":
		return part, nil
	default:
		return nil, invalid(path+".type", "is "+strconv.Quote(kind)+", which this model's provider does not take")
	}
}

// onlyTexts joins parts that are all texts.
func onlyTexts(parts []object) (text string, ok bool) {
	for _, p := range parts {
		if textOf(p["type"]) != "text" {
			return "", false
		}
		text += textOf(p["text"])
	}
	return text, true
}

// outputOf translates the output of a function: a text, or parts that are texts.
func outputOf(output json.RawMessage, path string) (json.RawMessage, error) {
	if !present(output) || output[0] == '"' {
		return output, nil
	}
	var parts []object
	if err := decode(path+".output", output, &parts); err != nil {
		return nil, err
	}
	text := ""
	for i, part := range parts {
		if kind := textOf(part["type"]); kind != "input_text" && kind != "output_text" {
			return nil, invalid(path+".output["+strconv.Itoa(i)+"].type", "must be input_text; this model's provider takes only texts from functions")
		}
		text += textOf(part["text"])
	}
	return raw(text), nil
}
