package docgen

import (
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// route returns the method and path of an RPC at the edge, or "" without a path.
func route(method protoreflect.MethodDescriptor) string {
	rule, ok := proto.GetExtension(method.Options(), annotations.E_Http).(*annotations.HttpRule)
	if !ok {
		return ""
	}
	switch pattern := rule.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		return "`GET " + pattern.Get + "`"
	case *annotations.HttpRule_Post:
		return "`POST " + pattern.Post + "`"
	case *annotations.HttpRule_Patch:
		return "`PATCH " + pattern.Patch + "`"
	case *annotations.HttpRule_Delete:
		return "`DELETE " + pattern.Delete + "`"
	default:
		return ""
	}
}
