package wire

import (
	"bytes"
	"strconv"

	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
)

// field is a top-level member that Trivet reads; a bit each.
type field uint32

const (
	fieldModel field = 1 << iota
	fieldMessages
	fieldInput
	fieldStream
	fieldStreamOptions
	fieldMaxTokens
	fieldMaxCompletionTokens
	fieldChoices
	fieldTools
	fieldFunctions
	fieldResponseFormat
	fieldServiceTier
	fieldPrompt
	fieldStore

	fieldEnd

	// fieldMaxOutputTokens is of the Responses API, see responseFields.
	fieldMaxOutputTokens
)

func (f field) name() string {
	switch f {
	case fieldModel:
		return "model"
	case fieldMessages:
		return "messages"
	case fieldInput:
		return "input"
	case fieldStream:
		return "stream"
	case fieldStreamOptions:
		return "stream_options"
	case fieldMaxTokens:
		return "max_tokens"
	case fieldMaxCompletionTokens:
		return "max_completion_tokens"
	case fieldChoices:
		return "n"
	case fieldTools:
		return "tools"
	case fieldFunctions:
		return "functions"
	case fieldResponseFormat:
		return "response_format"
	case fieldServiceTier:
		return "service_tier"
	case fieldPrompt:
		return "prompt"
	case fieldStore:
		return "store"
	case fieldMaxOutputTokens:
		return "max_output_tokens"
	default:
		return ""
	}
}

// fieldOf returns the field of that name; 0 for one that Trivet does not read. A name that differs only in case is
// refused: a provider whose parser folds case would read it, and Trivet would have read another.
func fieldOf(key []byte) (field, error) {
	plain := isPlain(key)
	for f := fieldModel; f < fieldEnd; f <<= 1 {
		switch name := f.name(); {
		case string(key) == name:
			return f, nil
		case !plain && bytes.EqualFold(key, []byte(name)):
			return 0, invalid(name, "is written as "+strconv.Quote(string(key))+"; write it in lower case")
		}
	}
	return 0, nil
}

// take reads the value of f.
func (r *Request) take(c *jsonscan.Cursor, f field) error {
	at := span{start: c.Pos()}
	err := r.takeValue(c, f)
	at.end = c.Offset()
	switch f {
	case fieldMessages:
		r.messages = at
	case fieldInput, fieldPrompt:
		r.input = at
	case fieldTools:
		r.tools = at
	case fieldFunctions:
		r.functions = at
	case fieldResponseFormat:
		r.responseFormat = at
	case fieldStreamOptions:
		r.streamOptions = at
	case fieldModel:
		r.model = at
	case fieldStore:
		r.store = at
	case fieldMaxTokens:
		r.maxTokens = at
	case fieldMaxCompletionTokens:
		r.maxCompletionTokens = at
	default: // not needed again
	}
	return err
}

func (r *Request) takeValue(c *jsonscan.Cursor, f field) error {
	switch f {
	case fieldModel:
		return r.takeModel(c)
	case fieldMessages:
		return r.takeMessages(c)
	case fieldInput:
		return r.takeInput(c)
	case fieldStream:
		return takeBool(c, "stream", &r.Stream)
	case fieldStreamOptions:
		return r.takeStreamOptions(c)
	case fieldMaxTokens, fieldMaxCompletionTokens:
		return r.takeMax(c, f)
	case fieldChoices:
		return takeCount(c, "n", MaxChoices, &r.Choices)
	case fieldServiceTier:
		return r.takeServiceTier(c)
	case fieldPrompt:
		return r.takePrompt(c)
	case fieldTools:
		return takeChatTools(c)
	default:
		c.Skip()
		return nil
	}
}

func (r *Request) takeModel(c *jsonscan.Cursor) error {
	if c.Kind() != jsonscan.String {
		c.Skip()
		return invalid("model", "must be a string: the name of a model")
	}
	raw, escaped := c.String()
	if escaped {
		raw = jsonscan.Unescape(nil, raw)
	}
	if len(raw) == 0 {
		return invalid("model", "is empty")
	}
	r.Model = string(raw)
	return nil
}

func (r *Request) takeMax(c *jsonscan.Cursor, f field) error {
	if c.Kind() == jsonscan.Null {
		c.Skip()
		return nil
	}
	if r.maxName != 0 {
		c.Skip()
		return invalid("max_tokens", "must not be set together with \"max_completion_tokens\"")
	}
	r.maxName = f
	return takeCount(c, f.name(), 0, &r.MaxOutput)
}

// takeCount reads a whole number of at least 1, and at most most unless that is 0. Null leaves into alone.
func takeCount(c *jsonscan.Cursor, name string, most int64, into *int64) error {
	switch c.Kind() {
	case jsonscan.Null:
		c.Skip()
		return nil
	case jsonscan.Number:
	default:
		c.Skip()
		return invalid(name, "must be a whole number")
	}
	n, whole := c.Int()
	switch {
	case !whole:
		return invalid(name, "must be a whole number without a decimal point or an exponent, and below 2^63")
	case n < 1:
		return invalid(name, "must be at least 1")
	case most > 0 && n > most:
		return invalid(name, "must be at most "+strconv.FormatInt(most, 10))
	}
	*into = n
	return nil
}

func takeBool(c *jsonscan.Cursor, name string, into *bool) error {
	switch c.Kind() {
	case jsonscan.Null:
		c.Skip()
	case jsonscan.Bool:
		*into = c.Bool()
	default:
		c.Skip()
		return invalid(name, "must be true or false")
	}
	return nil
}

func (r *Request) takeStreamOptions(c *jsonscan.Cursor) error {
	switch c.Kind() {
	case jsonscan.Null:
		c.Skip()
		return nil
	case jsonscan.Object:
	default:
		c.Skip()
		return invalid("stream_options", "must be an object")
	}
	var problem error
	for key := range c.Members() {
		if !bytes.EqualFold(key, []byte("include_usage")) {
			c.Skip()
			continue
		}
		start := c.Pos()
		if err := takeBool(c, "stream_options.include_usage", &r.AskedUsage); err != nil {
			problem = err
		}
		if r.includeUsage.end > 0 || string(key) != "include_usage" {
			problem = invalid("stream_options.include_usage", "must appear once, in lower case")
		}
		r.includeUsage = span{start, c.Offset()}
	}
	return problem
}

// takeServiceTier takes a tier; whether it has a price is known with the model. "auto" and "default" are the standard one.
func (r *Request) takeServiceTier(c *jsonscan.Cursor) error {
	switch c.Kind() {
	case jsonscan.Null:
		c.Skip()
		return nil
	case jsonscan.String:
	default:
		c.Skip()
		return invalid("service_tier", "must be a string")
	}
	if r.Tier = string(text(c)); r.Tier == "auto" || r.Tier == "default" {
		r.Tier = ""
	} else if r.Tier == "" {
		return invalid("service_tier", "is empty")
	}
	return nil
}
