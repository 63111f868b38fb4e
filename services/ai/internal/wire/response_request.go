package wire

import (
	"bytes"
	"slices"
	"strconv"

	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
)

// References are what a request of the Responses API names that the provider keeps.
type References struct {
	// Previous is the response that the request continues; "" for a new conversation.
	Previous string
	// Items are the ids of items that the provider would look up.
	Items []string
	// Stored tells that the provider keeps the response.
	Stored bool
}

// conversational reports whether the input is a conversation, which fills the context of the model.
func (r *Request) conversational() bool {
	switch r.Endpoint {
	case Chat, Responses, ResponsesCompact, ResponsesInputTokens:
		return true
	default:
		return false
	}
}

// IsResponse reports whether an endpoint takes a request of the Responses API.
func IsResponse(endpoint Endpoint) bool {
	return endpoint == Responses || endpoint == ResponsesCompact || endpoint == ResponsesInputTokens
}

// responseFields are the members of a request of the Responses API that Trivet reads.
var responseFields = [...]string{
	"model", "input", "stream", "max_output_tokens", "store", "background", "previous_response_id", "conversation", "prompt", "tools", "text", "service_tier", "max_tool_calls", "instructions",
}

// responseField returns the field of that name, as fieldOf does for the other endpoints.
func responseField(key []byte) (string, error) {
	for _, name := range responseFields {
		switch {
		case string(key) == name:
			return name, nil
		case bytes.EqualFold(key, []byte(name)):
			return "", invalid(name, "is written as "+strconv.Quote(string(key))+"; write it in lower case")
		}
	}
	return "", nil
}

// readResponse is read for the Responses API.
func (r *Request) readResponse(c *jsonscan.Cursor, suspect RefusedFields) (problem error) {
	r.first = c.Pos() + 1 // after the brace
	r.AskedUsage, r.References.Stored = true, true
	var seen []string
	for key := range c.Members() {
		name, err := responseField(key)
		if err == nil {
			r.suspect(suspect, key, *c)
		}
		switch {
		case err != nil:
			c.Skip()
		case name != "" && slices.Contains(seen, name):
			c.Skip()
			err = invalid(name, "appears more than once")
		case name == "" && isForeign(key) && c.Kind() != jsonscan.Null:
			c.Skip()
			err = foreign(string(key))
		default:
			seen = append(seen, name)
			err = r.takeResponse(c, name)
		}
		if problem == nil && err != nil {
			problem = err
		}
	}
	if problem == nil {
		problem = r.completeResponse(seen)
	}
	return problem
}

func (r *Request) completeResponse(seen []string) error {
	switch {
	case r.Model == "":
		return invalid("model", "is missing")
	case r.Endpoint == ResponsesCompact && r.MaxOutput > 0: // the provider would not keep to it
		return invalid("max_output_tokens", "is not supported here")
	case r.Endpoint != Responses && r.Stream:
		return invalid("stream", "is not supported here")
	case r.Endpoint != Responses && r.Background:
		return invalid("background", "is not supported here")
	case r.Background && !r.References.Stored:
		return invalid("background", "needs \"store\" to be true: the response is read at the provider later")
	case r.Endpoint == Responses && !slices.Contains(seen, "input") && r.References.Previous == "":
		return invalid("input", "is missing")
	default:
		return nil
	}
}

func (r *Request) takeResponse(c *jsonscan.Cursor, name string) error {
	switch name {
	case "model":
		r.model.start = c.Pos()
		defer func() { r.model.end = c.Offset() }()
		return r.takeModel(c)
	case "input":
		return r.takeItems(c)
	case "stream":
		return takeBool(c, name, &r.Stream)
	case "store":
		return takeBool(c, name, &r.References.Stored)
	case "background":
		return takeBool(c, name, &r.Background)
	case "max_output_tokens":
		at := span{start: c.Pos()}
		err := takeCount(c, name, 0, &r.MaxOutput)
		at.end = c.Offset()
		r.maxCompletionTokens, r.maxName = at, fieldMaxOutputTokens
		return err
	case "previous_response_id":
		return r.takeID(c, name)
	case "conversation", "prompt":
		return refuseObject(c, map[string]string{"conversation": "conversation", "prompt": "prompt.id"}[name])
	case "tools":
		return r.takeTools(c)
	case "text":
		at := span{start: c.Pos()}
		c.Skip()
		at.end = c.Offset()
		r.responseFormat = at
		return nil
	case "service_tier":
		return r.takeServiceTier(c)
	case "instructions":
		known := c.Kind() == jsonscan.String || c.Kind() == jsonscan.Null
		c.Skip()
		if !known { // a list of items could name stored ones
			return invalid(name, "must be a string")
		}
		return nil
	case "max_tool_calls":
		return takeCount(c, name, 0, &r.MaxToolCalls)
	default:
		c.Skip()
		return nil
	}
}

func (r *Request) takeID(c *jsonscan.Cursor, name string) error {
	if c.Kind() == jsonscan.Null {
		c.Skip()
		return nil
	}
	id := string(text(c))
	if !IsObjectID(id) {
		return invalid(name, "must be the id of a response")
	}
	r.References.Previous = id
	return nil
}

// refuseObject refuses an object at the provider whose owner is not known.
func refuseObject(c *jsonscan.Cursor, name string) error {
	if c.Kind() == jsonscan.Null {
		c.Skip()
		return nil
	}
	c.Skip()
	return foreign(name)
}

// maxObjectID bounds the id of a stored object, in bytes.
const maxObjectID = 128

// IsObjectID reports whether a text can be the id of a stored object.
func IsObjectID(id string) bool {
	if id == "" || len(id) > maxObjectID {
		return false
	}
	for _, b := range []byte(id) {
		if letter := b|0x20 >= 'a' && b|0x20 <= 'z'; !letter && (b < '0' || b > '9') && b != '_' && b != '-' {
			return false
		}
	}
	return true
}
