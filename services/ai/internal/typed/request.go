package typed

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"

	goopenai "github.com/sashabaranov/go-openai"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
)

// prompt is what a model reads.
type prompt interface {
	GetModel() string
	GetMessages() []*aiv1.Message
	GetTools() []*aiv1.Tool
	GetResponseFormat() *aiv1.ResponseFormat
}

// conversation is what ChatRequest and ChatStreamRequest have in common: everything.
type conversation interface {
	prompt
	GetMaxTokens() int32
	GetTemperature() float64
	GetTopP() float64
	GetStop() []string
	GetToolChoice() string
	GetReasoningEffort() string
}

// request translates a conversation, and checks what go-openai knows of the model.
func request(c conversation) (goopenai.ChatCompletionRequest, error) {
	r, err := promptRequest(c)
	if err != nil {
		return r, err
	}
	r.MaxCompletionTokens, r.Temperature, r.TopP = int(c.GetMaxTokens()), float32(c.GetTemperature()), float32(c.GetTopP())
	r.Stop, r.ReasoningEffort = c.GetStop(), c.GetReasoningEffort()
	switch choice := c.GetToolChoice(); choice {
	case "":
	case "auto", "none", "required":
		r.ToolChoice = choice
	default:
		r.ToolChoice = goopenai.ToolChoice{Type: goopenai.ToolTypeFunction, Function: goopenai.ToolFunction{Name: choice}}
	}
	return r, nil
}

// seedOf keeps a seed of 0 apart from none.
func seedOf(seed *int32) *int {
	if seed == nil {
		return nil
	}
	n := int(*seed)
	return &n
}

// promptRequest translates what the model reads.
func promptRequest(p prompt) (r goopenai.ChatCompletionRequest, err error) {
	r.Model = p.GetModel()
	if r.Messages, err = toMessages(p.GetMessages()); err != nil {
		return r, err
	}
	left := maxSchemaValues
	if r.Tools, err = toTools(p.GetTools(), &left); err != nil {
		return r, err
	}
	r.ResponseFormat, err = toFormat(p.GetResponseFormat(), &left)
	return r, err
}

// maxSchemaValues bounds the values in all schemas of a request: writing them costs some 5 µs each, before
// the call is admitted.
const maxSchemaValues = 20_000

func toTools(in []*aiv1.Tool, left *int) ([]goopenai.Tool, error) {
	out := make([]goopenai.Tool, 0, len(in))
	for i, t := range in {
		parameters, err := schemaOf(t.GetParameters(), t.GetParametersJson(), fmt.Sprintf("tools[%d].parameters", i), left)
		if err != nil {
			return nil, err
		}
		out = append(out, goopenai.Tool{Type: goopenai.ToolTypeFunction, Function: &goopenai.FunctionDefinition{
			Name: t.GetName(), Description: t.GetDescription(), Parameters: parameters,
		}})
	}
	return out, nil
}

// toFormat asks for an answer of a JSON Schema, or for any JSON object without one.
func toFormat(in *aiv1.ResponseFormat, left *int) (*goopenai.ChatCompletionResponseFormat, error) {
	if in == nil {
		return nil, nil //nolint:nilnil // the answer is text
	}
	if in.GetSchema() == nil && in.GetSchemaJson() == "" {
		if in.GetStrict() {
			return nil, invalid("responseFormat.strict", "is set without a schema; set responseFormat.schema")
		}
		return &goopenai.ChatCompletionResponseFormat{Type: goopenai.ChatCompletionResponseFormatTypeJSONObject}, nil
	}
	schema, err := schemaOf(in.GetSchema(), in.GetSchemaJson(), "responseFormat.schema", left)
	if err != nil {
		return nil, err
	}
	return &goopenai.ChatCompletionResponseFormat{
		Type: goopenai.ChatCompletionResponseFormatTypeJSONSchema,
		JSONSchema: &goopenai.ChatCompletionResponseFormatJSONSchema{
			Name: cmp.Or(in.GetName(), "answer"), Description: in.GetDescription(), Schema: schema, Strict: in.GetStrict(),
		},
	}, nil
}

// schemaOf returns a JSON Schema that a request has as a Struct or as text. left is how many values the schemas may
// still have.
func schemaOf(object *structpb.Struct, text, field string, left *int) (json.RawMessage, error) {
	switch {
	case text != "" && object != nil:
		return nil, invalid(field, "is set together with "+field[strings.LastIndexByte(field, '.')+1:]+"Json; set one of the two")
	case text != "":
		return textSchema(text, field, left)
	case object == nil:
		return json.RawMessage(`{"type":"object","properties":{}}`), nil
	}
	if *left -= schemaValues(object, *left); *left < 0 {
		return nil, tooManyValues(field)
	}
	schema, err := protojson.Marshal(object)
	if err != nil {
		return nil, invalid(field, "cannot be written as JSON").Cause(err)
	}
	return schema, nil
}

// textSchema returns a schema as the caller wrote it, less the white space.
func textSchema(text, field string, left *int) (json.RawMessage, error) {
	c := jsonscan.New([]byte(text))
	if c.Kind() != jsonscan.Object {
		return nil, invalid(field, "is not a JSON object")
	}
	*left -= textValues(&c)
	if c.End() != nil {
		return nil, invalid(field, "is not a JSON object")
	}
	if *left < 0 {
		return nil, tooManyValues(field)
	}
	return json.RawMessage(text), nil
}

// textValues passes a value and counts what it holds.
func textValues(c *jsonscan.Cursor) (count int) {
	switch c.Kind() {
	case jsonscan.Object:
		for range c.Members() {
			count += 1 + textValues(c)
		}
	case jsonscan.Array:
		for range c.Elements() {
			count += 1 + textValues(c)
		}
	default:
		c.Skip()
	}
	return count
}

func tooManyValues(field string) *errs.Error {
	return invalid(field, fmt.Sprintf("is too large: all schemas of a request may have at most %d values", maxSchemaValues))
}

// invalid names a field and what is wrong with it.
func invalid(field, problem string) *errs.Error {
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "The field %q %s.", field, problem).Field(field, problem)
}

// schemaValues counts the values of a schema. It stops soon after there are more than most.
func schemaValues(schema *structpb.Struct, most int) int {
	count := 0
	for _, v := range schema.GetFields() {
		if count += listValues(v, most-count); count > most {
			break
		}
	}
	return count
}

func listValues(v *structpb.Value, most int) int {
	count := 1
	if object := v.GetStructValue(); object != nil {
		return count + schemaValues(object, most-count)
	}
	for _, e := range v.GetListValue().GetValues() {
		if count += listValues(e, most-count); count > most {
			break
		}
	}
	return count
}
