package wire

import (
	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
)

// texts calls visit with everything in the body that a provider may turn into tokens: every text but those known not
// to be part of the prompt. The slice is reused.
func (r *Request) texts(visit func(text []byte)) {
	v := &visitor{visit: visit}
	c := jsonscan.New(r.body)
	for key := range c.Members() {
		switch name := string(key); {
		case outsidePrompt(name):
			c.Skip()
		case IsResponse(r.Endpoint) && outsideResponse(name):
			c.Skip()
		case name == "input" && IsResponse(r.Endpoint):
			v.items(&c)
		case name == "messages" && r.Endpoint == Chat:
			for range c.Elements() {
				v.message(&c)
			}
		case name == "input" && r.subject() == fieldInput, name == "prompt" && r.Endpoint == Completions:
			v.input(&c)
		default: // a schema of a tool or an answer, or something unknown, written into the prompt much like this
			visit(c.Raw())
		}
	}
}

// outsidePrompt reports whether a member of the body is never part of the prompt.
func outsidePrompt(name string) bool {
	switch name {
	case "model", "stream", "stream_options", "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key",
		"prompt_cache_retention", "n", "max_tokens", "max_completion_tokens", "temperature", "top_p", "seed", "stop", "logit_bias",
		"logprobs", "top_logprobs", "frequency_penalty", "presence_penalty", "reasoning_effort", "verbosity", "modalities",
		"parallel_tool_calls", "encoding_format", "dimensions":
		return true
	default:
		return false
	}
}

// outsideResponse is outsidePrompt for what only the Responses API has.
func outsideResponse(name string) bool {
	switch name {
	case "max_output_tokens", "previous_response_id", "background", "include", "truncation", "reasoning", "max_tool_calls", "stream_options":
		return true
	default:
		return false
	}
}

type visitor struct {
	visit   func([]byte)
	scratch []byte
}

// message visits the texts of a message, except the payloads of images, audio and files, which are not text.
func (v *visitor) message(c *jsonscan.Cursor) {
	if c.Kind() != jsonscan.Object {
		v.value(c)
		return
	}
	for key := range c.Members() {
		switch {
		case string(key) == "content" && c.Kind() == jsonscan.Array:
			for range c.Elements() {
				v.part(c)
			}
		case string(key) == "content" && c.Kind() == jsonscan.Object: // a part alone
			v.part(c)
		default:
			v.member(c, key)
		}
	}
}

// part visits the texts of a content part.
func (v *visitor) part(c *jsonscan.Cursor) {
	if c.Kind() != jsonscan.Object {
		v.value(c)
		return
	}
	for key := range c.Members() {
		switch string(key) {
		case "image_url":
			v.beside(c, "url")
		case "input_audio":
			v.beside(c, "data")
		case "file":
			c.Skip()
		default:
			v.member(c, key)
		}
	}
}

// beside visits what stands beside a payload.
func (v *visitor) beside(c *jsonscan.Cursor, payload string) {
	for key := range c.Members() {
		if string(key) == payload {
			c.Skip()
		} else {
			v.member(c, key)
		}
	}
}

// member visits a member: its value, and its key when that is not one of the API's own words.
func (v *visitor) member(c *jsonscan.Cursor, key []byte) {
	switch string(key) {
	case "role", "type", "detail", "format":
		if raw := c.Raw(); !ownWord(raw) {
			v.visit(raw)
		}
		return
	case "content", "text", "name", "refusal", "tool_calls", "tool_call_id", "id", "function", "function_call", "arguments", "custom", "input":
	default:
		v.visit(key)
	}
	v.value(c)
}

// ownWord reports whether a value is one of the API's own words, which belong to the frame of a message.
func ownWord(raw []byte) bool {
	switch string(raw) {
	case `"system"`, `"developer"`, `"user"`, `"assistant"`, `"tool"`, `"function"`, `"text"`, `"refusal"`, `"custom"`,
		`"input_text"`, `"output_text"`, `"input_image"`, `"message"`, `"function_call"`, `"function_call_output"`, `"image_url"`, `"input_audio"`, `"file"`, `"auto"`, `"low"`, `"high"`, `"wav"`, `"mp3"`:
		return true
	default:
		return false
	}
}

// value visits all texts and numbers of a value.
func (v *visitor) value(c *jsonscan.Cursor) {
	switch c.Kind() {
	case jsonscan.String:
		v.text(c)
	case jsonscan.Array:
		for range c.Elements() {
			v.value(c)
		}
	case jsonscan.Object:
		for key := range c.Members() {
			v.member(c, key)
		}
	case jsonscan.Number:
		v.visit(c.Raw())
	default:
		c.Skip()
	}
}

// items visits the texts of the input of a response, except the payloads of images, audio and files.
func (v *visitor) items(c *jsonscan.Cursor) {
	switch c.Kind() {
	case jsonscan.String:
		v.text(c)
	case jsonscan.Array:
		for range c.Elements() {
			v.items(c)
		}
	case jsonscan.Object:
		for key := range c.Members() {
			switch string(key) {
			case "image_url", "file_data", "file_url", "input_audio":
				c.Skip()
			case "content", "output", "summary", "action":
				v.items(c)
			case "id", "call_id", "status":
				c.Skip()
			default:
				v.member(c, key)
			}
		}
	default:
		v.value(c)
	}
}

// input visits every text of an input or a prompt; its numbers are tokens and counted apart, see numbers.
func (v *visitor) input(c *jsonscan.Cursor) {
	switch c.Kind() {
	case jsonscan.String:
		v.text(c)
	case jsonscan.Array:
		for range c.Elements() {
			v.input(c)
		}
	case jsonscan.Object:
		v.value(c)
	default:
		c.Skip()
	}
}

func (v *visitor) text(c *jsonscan.Cursor) {
	raw, escaped := c.String()
	if escaped {
		v.scratch = jsonscan.Unescape(v.scratch[:0], raw)
		raw = v.scratch
	}
	v.visit(raw)
}

// numbers counts the numbers in an input or a prompt: each is a token.
func numbers(c *jsonscan.Cursor) (count int64) {
	switch c.Kind() {
	case jsonscan.Number:
		c.Skip()
		return 1
	case jsonscan.Array:
		for range c.Elements() {
			count += numbers(c)
		}
	default:
		c.Skip()
	}
	return count
}
