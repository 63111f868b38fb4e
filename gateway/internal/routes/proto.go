package routes

import (
	"fmt"
	"net/http"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	accessv1 "github.com/trivet-dev/trivet/gen/go/trivet/access/v1"
)

// Handlers serve the RPCs that have an HTTP annotation.
type Handlers struct {
	// Unary serves every RPC with one response.
	Unary http.Handler
	// Streams serves each server-streaming RPC, by its full name. grpc-gateway's own streams are not server-sent events.
	Streams map[protoreflect.FullName]http.Handler
}

// FromProto returns the routes that the HTTP annotations of files declare. It fails on an annotated RPC that has no
// access rule, is for internal callers only, or streams without a handler of its own.
func FromProto(handlers Handlers, files ...protoreflect.FileDescriptor) ([]Route, error) {
	var all []Route
	for _, file := range files {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				found, err := fromMethod(handlers, methods.Get(j))
				if err != nil {
					return nil, err
				}
				all = append(all, found...)
			}
		}
	}
	return all, nil
}

func fromMethod(handlers Handlers, m protoreflect.MethodDescriptor) ([]Route, error) {
	binding, _ := proto.GetExtension(m.Options(), annotations.E_Http).(*annotations.HttpRule)
	if binding == nil {
		return nil, nil
	}
	rule, _ := proto.GetExtension(m.Options(), accessv1.E_Rule).(*accessv1.Rule)
	if c := rule.GetCaller(); c == accessv1.Caller_CALLER_UNSPECIFIED || c == accessv1.Caller_CALLER_INTERNAL {
		return nil, fmt.Errorf("%s has an HTTP path and the access rule %s", m.FullName(), c)
	}
	handler := handlers.Unary
	if m.IsStreamingServer() || m.IsStreamingClient() {
		if handler = handlers.Streams[m.FullName()]; handler == nil {
			return nil, fmt.Errorf("%s has an HTTP path and streams, but the edge has no handler for it", m.FullName())
		}
	}
	var out []Route
	for _, b := range append([]*annotations.HttpRule{binding}, binding.GetAdditionalBindings()...) {
		method, pattern := methodOf(b)
		if method == "" {
			return nil, fmt.Errorf("%s: the edge does not know its HTTP method", m.FullName())
		}
		out = append(out, Route{
			Method: method, Pattern: pattern, Public: rule.GetCaller() == accessv1.Caller_CALLER_PUBLIC,
			Query: parametersOf(m.Input(), b), Handler: handler,
		})
	}
	return out, nil
}

func methodOf(b *annotations.HttpRule) (method, pattern string) {
	switch p := b.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		return http.MethodGet, p.Get
	case *annotations.HttpRule_Post:
		return http.MethodPost, p.Post
	case *annotations.HttpRule_Put:
		return http.MethodPut, p.Put
	case *annotations.HttpRule_Patch:
		return http.MethodPatch, p.Patch
	case *annotations.HttpRule_Delete:
		return http.MethodDelete, p.Delete
	}
	return "", ""
}
