package rest

import (
	"encoding/json"

	"google.golang.org/protobuf/proto"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
)

// keepSchemas gives the tools of a parsed request their JSON Schemas as the caller wrote them. A google.protobuf.Struct
// loses the order of members, in which a model writes its arguments, and changes integers above 2^53.
func keepSchemas(data []byte, parsed proto.Message) {
	request, ok := parsed.(interface{ GetTools() []*aiv1.Tool })
	if !ok || len(request.GetTools()) == 0 {
		return
	}
	var written struct {
		Tools []struct {
			Parameters json.RawMessage `json:"parameters"`
		} `json:"tools"`
	}
	if json.Unmarshal(data, &written) != nil || len(written.Tools) != len(request.GetTools()) {
		return // what protojson has parsed but encoding/json cannot keeps its Struct
	}
	for i, tool := range request.GetTools() {
		if tool.GetParameters() != nil && tool.GetParametersJson() == "" {
			tool.ParametersJson, tool.Parameters = string(written.Tools[i].Parameters), nil
		}
	}
}
