package rest

import (
	"cmp"
	"encoding/json"

	"google.golang.org/protobuf/proto"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
)

// keepSchemas gives the tools and the answer's format of a parsed request their JSON Schemas as the caller wrote them. A
// google.protobuf.Struct loses the order of members, in which a model writes its arguments, and changes integers above
// 2^53.
func keepSchemas(data []byte, parsed proto.Message) {
	request, ok := parsed.(interface {
		GetTools() []*aiv1.Tool
		GetResponseFormat() *aiv1.ResponseFormat
	})
	if !ok || len(request.GetTools()) == 0 && request.GetResponseFormat() == nil {
		return
	}
	var written struct {
		Tools []struct {
			Parameters json.RawMessage `json:"parameters"`
		} `json:"tools"`
		Format struct {
			Schema json.RawMessage `json:"schema"`
		} `json:"responseFormat"`
		ProtoFormat struct {
			Schema json.RawMessage `json:"schema"`
		} `json:"response_format"`
	}
	if json.Unmarshal(data, &written) != nil || len(written.Tools) != len(request.GetTools()) {
		return // what protojson has parsed but encoding/json cannot keeps its Struct
	}
	for i, tool := range request.GetTools() {
		if tool.GetParameters() != nil && tool.GetParametersJson() == "" {
			tool.ParametersJson, tool.Parameters = string(written.Tools[i].Parameters), nil
		}
	}
	schema := cmp.Or(string(written.Format.Schema), string(written.ProtoFormat.Schema))
	if format := request.GetResponseFormat(); format.GetSchema() != nil && format.GetSchemaJson() == "" && schema != "" {
		format.SchemaJson, format.Schema = schema, nil
	}
}
