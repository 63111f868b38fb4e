package typed

import (
	"encoding/json"
	"fmt"

	goopenai "github.com/sashabaranov/go-openai"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
)

// conversation is what ChatRequest and ChatStreamRequest have in common: everything.
type conversation interface {
	GetModel() string
	GetMessages() []*aiv1.Message
	GetMaxTokens() int32
	GetTemperature() float64
	GetTopP() float64
	GetStop() []string
	GetTools() []*aiv1.Tool
	GetToolChoice() string
	GetReasoningEffort() string
}

// request translates a conversation, and checks what go-openai knows of the model.
func request(c conversation) (goopenai.ChatCompletionRequest, error) {
	tools, err := toTools(c.GetTools())
	if err != nil {
		return goopenai.ChatCompletionRequest{}, err
	}
	r := goopenai.ChatCompletionRequest{
		Model: c.GetModel(), Messages: toMessages(c.GetMessages()), MaxCompletionTokens: int(c.GetMaxTokens()),
		Temperature: float32(c.GetTemperature()), TopP: float32(c.GetTopP()), Stop: c.GetStop(), Tools: tools, ReasoningEffort: c.GetReasoningEffort(),
	}
	switch choice := c.GetToolChoice(); choice {
	case "":
	case "auto", "none", "required":
		r.ToolChoice = choice
	default:
		r.ToolChoice = goopenai.ToolChoice{Type: goopenai.ToolTypeFunction, Function: goopenai.ToolFunction{Name: choice}}
	}
	return r, nil
}

func toMessages(in []*aiv1.Message) []goopenai.ChatCompletionMessage {
	out := make([]goopenai.ChatCompletionMessage, len(in))
	for i, m := range in {
		out[i] = goopenai.ChatCompletionMessage{Role: m.GetRole(), Content: m.GetContent(), Name: m.GetName(), ToolCallID: m.GetToolCallId()}
		for _, call := range m.GetToolCalls() {
			arguments := call.GetArguments()
			if arguments == "" {
				arguments = "{}" // go-openai omits an empty string, and the provider requires one
			}
			out[i].ToolCalls = append(out[i].ToolCalls, goopenai.ToolCall{
				ID: call.GetId(), Type: goopenai.ToolTypeFunction, Function: goopenai.FunctionCall{Name: call.GetName(), Arguments: arguments},
			})
		}
	}
	return out
}

// maxSchemaValues bounds the values in the schemas of all tools of a request: writing them costs some 5 µs each, before
// the call is admitted.
const maxSchemaValues = 20_000

func toTools(in []*aiv1.Tool) ([]goopenai.Tool, error) {
	out := make([]goopenai.Tool, 0, len(in))
	left := maxSchemaValues
	for i, t := range in {
		parameters, err := schemaOf(t, fmt.Sprintf("tools[%d].parameters", i), &left)
		if err != nil {
			return nil, err
		}
		out = append(out, goopenai.Tool{Type: goopenai.ToolTypeFunction, Function: &goopenai.FunctionDefinition{
			Name: t.GetName(), Description: t.GetDescription(), Parameters: parameters,
		}})
	}
	return out, nil
}

// schemaOf returns the JSON Schema of a tool's arguments. left is how many values the schemas may still have.
func schemaOf(t *aiv1.Tool, field string, left *int) (json.RawMessage, error) {
	switch {
	case t.GetParametersJson() != "" && t.GetParameters() != nil:
		return nil, badSchema(field, "is set together with parametersJson; set one of the two")
	case t.GetParametersJson() != "":
		return textSchema(t.GetParametersJson(), field, left)
	case t.GetParameters() == nil:
		return json.RawMessage(`{"type":"object","properties":{}}`), nil
	}
	if *left -= schemaValues(t.GetParameters(), *left); *left < 0 {
		return nil, tooManyValues(field)
	}
	schema, err := protojson.Marshal(t.GetParameters())
	if err != nil {
		return nil, badSchema(field, "cannot be written as JSON").Cause(err)
	}
	return schema, nil
}

// textSchema returns a schema as the caller wrote it, less the white space.
func textSchema(text, field string, left *int) (json.RawMessage, error) {
	c := jsonscan.New([]byte(text))
	if c.Kind() != jsonscan.Object {
		return nil, badSchema(field, "is not a JSON object")
	}
	*left -= textValues(&c)
	if c.End() != nil {
		return nil, badSchema(field, "is not a JSON object")
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
	return badSchema(field, fmt.Sprintf("is too large: the schemas of all tools may have at most %d values", maxSchemaValues))
}

func badSchema(field, problem string) *errs.Error {
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
