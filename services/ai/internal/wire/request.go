// Package wire reads and edits OpenAI's wire format: the few fields of a request that bound its cost, and the few of an
// answer that report what it used. Everything else passes unchanged.
package wire

import (
	"errors"
	"strconv"
	"unicode/utf8"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
)

// Endpoint is a path of OpenAI's API.
type Endpoint = aiv1.Endpoint

// The endpoints.
const (
	Chat        = aiv1.Endpoint_ENDPOINT_CHAT_COMPLETIONS
	Embeddings  = aiv1.Endpoint_ENDPOINT_EMBEDDINGS
	Completions = aiv1.Endpoint_ENDPOINT_COMPLETIONS
	Moderations = aiv1.Endpoint_ENDPOINT_MODERATIONS
	Responses   = aiv1.Endpoint_ENDPOINT_RESPONSES
	// ResponsesCompact and ResponsesInputTokens take the request of a response, too.
	ResponsesCompact     = aiv1.Endpoint_ENDPOINT_RESPONSES_COMPACT
	ResponsesInputTokens = aiv1.Endpoint_ENDPOINT_RESPONSES_INPUT_TOKENS
)

// DefaultModeration is the model of a moderation that names none, as OpenAI defines it.
const DefaultModeration = "omni-moderation-latest"

// MaxChoices is the most answers that one request may ask for.
const MaxChoices = 128

// Request is what Trivet needs to know of a request's body.
type Request struct {
	// Endpoint is where the request goes.
	Endpoint aiv1.Endpoint
	// Model is the model's name as the caller wrote it.
	Model string
	// Stream asks for an answer as server-sent events.
	Stream bool
	// AskedUsage is true when the caller wants the chunk with the usage.
	AskedUsage bool
	// Choices is how many answers are made at once, 1 to MaxChoices.
	Choices int64
	// MaxOutput is the caller's bound of the output tokens per choice; 0 for a request without a bound.
	MaxOutput int64
	// References are the stored objects that a request of the Responses API names.
	References References
	// Background asks the provider to make the response after the call has ended.
	Background bool
	// Context is how many tokens the input has besides the body, at most: those of the response that it continues.
	Context int64
	// Tier is the service_tier; "" for the standard one.
	Tier string
	// Hosted are the types of the tools that the provider runs, and HostedAt where the first of them stands.
	Hosted   []string
	HostedAt string
	// MaxToolCalls is the caller's bound of the calls of such tools; 0 for a request without a bound.
	MaxToolCalls int64
	// Media is set for images and sound only.
	Media *Media

	body     []byte
	suspects []string // names of fields that some model refuses
	seen     field
	first    int // offset of the first member

	// Where the values stand; includeUsage lies within streamOptions.
	maxTokens, maxCompletionTokens span
	streamOptions, includeUsage    span
	messages, input                span // input is also the prompt of a completion
	model                          span
	tools, functions               span
	responseFormat, store          span

	maxName field // the one of the two that holds MaxOutput; 0 when both are absent or null
	parts   parts
	prompts int64 // of a completion
}

// Body is the body as the caller sent it.
func (r *Request) Body() []byte { return r.body }

// span is a part of the body; empty when the field is absent.
type span struct{ start, end int }

func (s span) len() int64 { return int64(s.end - s.start) }

// Parse reads a body. Which of the suspect fields it has is for Refuse, once the model is known. The error is an
// *errs.Error: MALFORMED_BODY, or INVALID_ARGUMENT with the field's name. The Request refers to body, which must not
// change.
func Parse(endpoint aiv1.Endpoint, body []byte, suspect RefusedFields) (*Request, error) {
	if !utf8.Valid(body) {
		return nil, malformed("The body is not UTF-8 text. Send a JSON object.")
	}
	c := jsonscan.New(body)
	switch c.Kind() {
	case jsonscan.Object:
	case jsonscan.Invalid:
		return nil, notJSON(len(body), nil)
	default:
		if c.Skip(); c.End() != nil {
			return nil, notJSON(len(body), c.Err())
		}
		return nil, malformed("The body is JSON but not an object. Send an object such as {\"model\": …}.")
	}
	r := &Request{Endpoint: endpoint, Choices: 1, body: body}
	read := r.read
	if IsResponse(endpoint) {
		read = r.readResponse
	}
	problem := read(&c, suspect)
	if err := c.End(); err != nil {
		return nil, notJSON(len(body), err)
	}
	if problem == nil && !IsResponse(endpoint) {
		problem = r.complete()
	}
	if problem != nil {
		return nil, problem
	}
	return r, nil
}

// read walks all members and returns the first invalid field. It does not stop there, because a body that is not JSON is
// the error to report then.
func (r *Request) read(c *jsonscan.Cursor, suspect RefusedFields) (problem error) {
	r.first = c.Pos() + 1 // after the brace
	for key := range c.Members() {
		f, err := fieldOf(key)
		if err == nil {
			r.suspect(suspect, key, *c)
		}
		if err == nil && f&r.seen != 0 {
			err = invalid(f.name(), "appears more than once")
		}
		switch {
		case err == nil && r.wants(f):
			r.seen |= f
			err = r.take(c, f)
		case err == nil && f == 0:
			err = takeOther(c, key)
		default:
			c.Skip()
		}
		if problem == nil && err != nil {
			problem = err
		}
	}
	return problem
}

// MaxOutputName is the field that holds MaxOutput; "" when the caller set none.
func (r *Request) MaxOutputName() string { return r.maxName.name() }

// wants leaves the fields of other endpoints to the provider.
func (r *Request) wants(f field) bool {
	switch r.Endpoint {
	case Embeddings, Moderations:
		return f&(fieldModel|fieldInput) != 0
	case Completions:
		return f&(fieldModel|fieldPrompt|fieldStream|fieldStreamOptions|fieldMaxTokens|fieldChoices|fieldServiceTier) != 0
	default:
		return f&^(fieldInput|fieldPrompt) != 0
	}
}

// complete checks what a request must have, and what must not stand together.
func (r *Request) complete() error {
	if r.Endpoint == Moderations && r.seen&fieldModel == 0 {
		r.Model, r.seen = DefaultModeration, r.seen|fieldModel
	}
	need := r.subject()
	switch {
	case r.seen&fieldModel == 0:
		return invalid("model", "is missing")
	case r.seen&need == 0:
		return invalid(need.name(), "is missing")
	case r.Endpoint == Completions:
		return r.multiplyChoices()
	default:
		return nil
	}
}

// subject is the field that the endpoint works on.
func (r *Request) subject() field {
	switch r.Endpoint {
	case Embeddings, Moderations:
		return fieldInput
	case Completions:
		return fieldPrompt
	default:
		return fieldMessages
	}
}

// multiplyChoices counts the answers of all prompts.
func (r *Request) multiplyChoices() error {
	if r.prompts > MaxChoices/r.Choices {
		return invalid("prompt", "asks for too many answers: prompts times \"n\" must be at most "+strconv.Itoa(MaxChoices))
	}
	r.Choices *= r.prompts
	return nil
}

func notJSON(length int, err error) *errs.Error {
	switch {
	case errors.Is(err, jsonscan.ErrDepth):
		return malformed("The body nests deeper than 256 levels.")
	case length == 0:
		return malformed("The body is empty. Send a JSON object.")
	default:
		return malformed("The body is not valid JSON.")
	}
}

func malformed(text string) *errs.Error {
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY, "%s", text)
}

func invalid(name, problem string) *errs.Error {
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "The field %q %s.", name, problem).Field(name, problem)
}
