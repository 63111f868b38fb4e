package openai

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// chatRequest holds the fields of a chat completion that change the answer; the others are ignored.
type chatRequest struct {
	Model               string          `json:"model"`
	Messages            []message       `json:"messages"`
	Stream              bool            `json:"stream"`
	StreamOptions       *streamOptions  `json:"stream_options"`
	N                   *int            `json:"n"`
	MaxTokens           *int            `json:"max_tokens"`
	MaxCompletionTokens *int            `json:"max_completion_tokens"`
	Temperature         *float64        `json:"temperature"`
	TopP                *float64        `json:"top_p"`
	Seed                *int64          `json:"seed"`
	Stop                stopSequences   `json:"stop"`
	Tools               []tool          `json:"tools"`
	ToolChoice          json.RawMessage `json:"tool_choice"`
	ParallelToolCalls   *bool           `json:"parallel_tool_calls"`
	ResponseFormat      *responseFormat `json:"response_format"`
	ReasoningEffort     string          `json:"reasoning_effort"`

	model      model
	directives directives
}

type streamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

type responseFormat struct {
	Type       string `json:"type"`
	JSONSchema struct {
		Name   string          `json:"name"`
		Schema json.RawMessage `json:"schema"`
	} `json:"json_schema"`
}

// message is one message of a prompt, its content flattened to text and a number of images.
type message struct {
	Role       string
	Name       string
	ToolCallID string
	ToolCalls  []toolCall
	text       string
	images     int
	hasContent bool
}

func (m *message) UnmarshalJSON(b []byte) error {
	var wire struct {
		Role       string          `json:"role"`
		Name       string          `json:"name"`
		ToolCallID string          `json:"tool_call_id"`
		ToolCalls  []toolCall      `json:"tool_calls"`
		Content    json.RawMessage `json:"content"`
	}
	if err := json.Unmarshal(b, &wire); err != nil {
		return err
	}
	*m = message{Role: wire.Role, Name: wire.Name, ToolCallID: wire.ToolCallID, ToolCalls: wire.ToolCalls}
	return m.flatten(wire.Content)
}

func (m *message) flatten(content json.RawMessage) error {
	if len(content) == 0 || string(content) == "null" {
		return nil
	}
	m.hasContent = true
	if content[0] == '"' {
		return json.Unmarshal(content, &m.text)
	}
	var parts []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	if err := json.Unmarshal(content, &parts); err != nil {
		return err
	}
	var texts []string
	for _, p := range parts {
		switch p.Type {
		case "text":
			texts = append(texts, p.Text)
		case "image_url":
			m.images++
		}
	}
	m.text = strings.Join(texts, " ")
	return nil
}

// stopSequences accepts one string or a list.
type stopSequences []string

// UnmarshalJSON reads null, a string or a list of strings.
func (s *stopSequences) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		var one string
		if err := json.Unmarshal(b, &one); err != nil {
			return err
		}
		*s = stopSequences{one}
		return nil
	}
	var many []string
	if err := json.Unmarshal(b, &many); err != nil {
		return err
	}
	*s = many
	return nil
}

// decode reads a JSON body; what it refuses, it refuses as the real API does.
func decode(r *http.Request, into any) *apiError {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return &apiError{Message: "The request body could not be read.", Type: typeInvalid}
	}
	err = json.Unmarshal(body, into)
	var wrongType *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrongType):
		return &apiError{
			Message: fmt.Sprintf("Invalid type for '%s': expected %s, but got %s instead.", wrongType.Field, wrongType.Type, wrongType.Value),
			Type:    typeInvalid, Param: wrongType.Field, Code: "invalid_type",
		}
	default:
		return &apiError{
			Message: "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library correctly. " +
				"The OpenAI API expects a JSON payload, but what was sent was not valid JSON. If you have trouble figuring out how to fix this, " +
				"please contact us through our help center at help.openai.com.)",
			Type: typeInvalid,
		}
	}
}

// maxOutput is the caller's bound of the output in tokens, or the model's.
func (r *chatRequest) maxOutput() int {
	limit := r.model.maxOutput
	for _, p := range []*int{r.MaxTokens, r.MaxCompletionTokens} {
		if p != nil {
			limit = min(limit, *p)
		}
	}
	return limit
}

// choices is n, or 1.
func (r *chatRequest) choices() int {
	if r.N == nil {
		return 1
	}
	return *r.N
}

// lastText is the text of the last user message, or else of the last message with text.
func (r *chatRequest) lastText() string {
	for i := len(r.Messages) - 1; i >= 0; i-- {
		if r.Messages[i].Role == "user" {
			return r.Messages[i].text
		}
	}
	for i := len(r.Messages) - 1; i >= 0; i-- {
		if r.Messages[i].text != "" {
			return r.Messages[i].text
		}
	}
	return ""
}
