// Package translate lets a provider that has only chat completions serve the Responses API: it makes a chat of a request,
// and a response of the chat's answer, in one piece or as a stream of events. Nothing is stored.
package translate

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/models"
)

// Options says how the provider wants its requests.
type Options struct {
	// Bound is the field for the bound of the output, see models.Model.
	Bound string
	// AsksUsage tells that a stream may be asked for its usage.
	AsksUsage bool
	// KeepsChats tells that the chat must say that it is not to be kept, see models.Model.
	KeepsChats bool
	// EndsWithoutDone tells that the end of the body ends a stream in order once there is a finish reason.
	EndsWithoutDone bool
	// Now is the clock; it dates responses whose provider gives no date.
	Now func() time.Time
}

// Exchange is one request and its answer. It belongs to one goroutine.
type Exchange struct {
	// Body is the chat's request.
	Body []byte

	request         object
	now             func() time.Time
	endsWithoutDone bool
}

// object is a JSON object whose members are not read any further.
type object map[string]json.RawMessage

// New translates a request of the Responses API. The error is an *errs.Error with the field that a chat cannot express.
func New(body []byte, o Options) (*Exchange, error) {
	var request object
	if err := json.Unmarshal(body, &request); err != nil {
		return nil, errs.New(errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY, "The body is not a JSON object.").Cause(err)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	x := &Exchange{request: request, now: o.Now, endsWithoutDone: o.EndsWithoutDone}
	chat, err := chatOf(request, o)
	if err != nil {
		return nil, err
	}
	if x.Body, err = json.Marshal(chat); err != nil {
		return nil, errs.New(errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY, "The body is not valid JSON.").Cause(err)
	}
	return x, nil
}

// unsupported are members that chat completions cannot express.
var unsupported = []struct{ name, problem string }{
	{"previous_response_id", "cannot be used with this model, because its provider stores nothing. Send the whole conversation in \"input\""},
	{"conversation", "cannot be used with this model, because its provider stores nothing. Send the whole conversation in \"input\""},
	{"prompt", "cannot be used with this model, because its provider stores nothing. Send its text"},
	{"context_management", "cannot be used with this model, because its provider has chat completions only"},
	{"n", notOfResponses},
	{"messages", notOfResponses},
	{"max_tokens", notOfResponses},
	{"max_completion_tokens", notOfResponses},
	{"functions", notOfResponses},
	{"function_call", notOfResponses},
	{"modalities", notOfResponses},
	{"audio", notOfResponses},
	{"prediction", notOfResponses},
	{"web_search_options", notOfResponses},
	{"best_of", notOfResponses},
	{"top_logprobs", "cannot be used with this model, because its provider has chat completions only. Use POST /v1/chat/completions for them"},
}

// notOfResponses is what is wrong with a member of a chat: the request was measured without it, so the chat must not have it.
const notOfResponses = "is a field of chat completions and not of responses"

// own are members that are translated, or that mean nothing to a chat. All others go along as they are.
var own = []string{
	"input", "instructions", "max_output_tokens", "tools", "tool_choice", "text", "reasoning", "stream", "stream_options", "store", "background", "include",
	"previous_response_id", "conversation", "prompt", "truncation", "metadata", "max_tool_calls", "top_logprobs", "context_management",
	"n", "messages", "max_tokens", "max_completion_tokens", "functions", "function_call", "modalities", "audio", "prediction", "web_search_options", "best_of",
}

// chatOf makes the chat.
func chatOf(request object, o Options) (object, error) {
	for name := range request {
		if err := spelled(name); err != nil {
			return nil, err
		}
	}
	for _, u := range unsupported {
		if present(request[u.name]) {
			return nil, invalid(u.name, u.problem)
		}
	}
	if truncation := request["truncation"]; present(truncation) && textOf(truncation) != "disabled" {
		return nil, invalid("truncation", "must be \"disabled\" for this model, because its provider has chat completions only")
	}
	chat := object{}
	for name, value := range request {
		chat[name] = value
	}
	for _, name := range own {
		delete(chat, name)
	}
	if err := fill(chat, request, o); err != nil {
		return nil, err
	}
	return chat, nil
}

// spelled refuses a member that differs in case only from one that is translated: it would go along, and a provider whose parser folds
// case would read it.
func spelled(name string) error {
	for _, known := range own {
		if name != known && strings.EqualFold(name, known) {
			return invalid(known, "is written as "+strconv.Quote(name)+"; write it in lower case")
		}
	}
	return nil
}

func fill(chat, request object, o Options) error {
	messages, err := messagesOf(request)
	if err != nil {
		return err
	}
	chat["messages"] = raw(messages)
	if o.KeepsChats {
		chat["store"] = raw(false)
	}
	if limit := request["max_output_tokens"]; present(limit) {
		name := o.Bound
		if name == "" || name == models.BoundNone {
			name = models.BoundNew
		}
		chat[name] = limit
	}
	if string(request["stream"]) == "true" {
		chat["stream"] = raw(true)
		if o.AsksUsage {
			chat["stream_options"] = raw(map[string]bool{"include_usage": true})
		}
	}
	if err := fillTools(chat, request); err != nil {
		return err
	}
	return fillFormat(chat, request)
}

// fillFormat translates what the answer should look like.
func fillFormat(chat, request object) error {
	var text struct {
		Format    object          `json:"format"`
		Verbosity json.RawMessage `json:"verbosity"`
	}
	if err := decode("text", request["text"], &text); err != nil {
		return err
	}
	if present(text.Verbosity) {
		chat["verbosity"] = text.Verbosity
	}
	switch kind := textOf(text.Format["type"]); kind {
	case "", "text":
	case "json_schema":
		schema := object{}
		for name, value := range text.Format {
			if name != "type" && present(value) {
				schema[name] = value
			}
		}
		chat["response_format"] = raw(object{"type": raw(kind), "json_schema": raw(schema)})
	default:
		chat["response_format"] = raw(text.Format)
	}
	var reasoning object
	if err := decode("reasoning", request["reasoning"], &reasoning); err != nil {
		return err
	}
	if effort := reasoning["effort"]; present(effort) {
		chat["reasoning_effort"] = effort
	}
	return nil
}

// decode reads a member into a value; nothing for one that is absent or null.
func decode(name string, value json.RawMessage, into any) error {
	if !present(value) {
		return nil
	}
	if err := json.Unmarshal(value, into); err != nil {
		return invalid(name, "does not have the form that OpenAI defines")
	}
	return nil
}

func present(value json.RawMessage) bool { return len(value) > 0 && string(value) != "null" }

// raw writes a value that always marshals.
func raw(v any) json.RawMessage {
	body, err := json.Marshal(v)
	if err != nil {
		return json.RawMessage("null")
	}
	return body
}

// textOf returns a text; "" for any other value.
func textOf(value json.RawMessage) (text string) {
	if json.Unmarshal(value, &text) != nil {
		return ""
	}
	return text
}

func invalid(name, problem string) *errs.Error {
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "The field %q %s.", name, problem).Field(name, problem)
}
