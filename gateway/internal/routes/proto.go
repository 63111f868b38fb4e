package routes

import (
	"fmt"
	"net/http"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	accessv1 "github.com/trivet-dev/trivet/gen/go/trivet/access/v1"
)

// FromProto returns the routes that the files' HTTP annotations declare, all served by handler. It fails on an RPC that
// is open to HTTP but has no access rule, or one for internal callers.
func FromProto(handler http.Handler, files ...protoreflect.FileDescriptor) ([]Route, error) {
	var all []Route
	for _, file := range files {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				found, err := fromMethod(handler, methods.Get(j))
				if err != nil {
					return nil, err
				}
				all = append(all, found...)
			}
		}
	}
	return all, nil
}

func fromMethod(handler http.Handler, m protoreflect.MethodDescriptor) ([]Route, error) {
	binding, _ := proto.GetExtension(m.Options(), annotations.E_Http).(*annotations.HttpRule)
	if binding == nil {
		return nil, nil
	}
	rule, _ := proto.GetExtension(m.Options(), accessv1.E_Rule).(*accessv1.Rule)
	if c := rule.GetCaller(); c == accessv1.Caller_CALLER_UNSPECIFIED || c == accessv1.Caller_CALLER_INTERNAL {
		return nil, fmt.Errorf("%s has an HTTP address and the access rule %s", m.FullName(), c)
	}
	var out []Route
	for _, b := range append([]*annotations.HttpRule{binding}, binding.GetAdditionalBindings()...) {
		method, pattern := methodOf(b)
		if method == "" {
			return nil, fmt.Errorf("%s: its HTTP method is not known to the edge", m.FullName())
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
