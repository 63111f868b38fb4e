package routes

import (
	"net/url"
	"strings"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/reflect/protoreflect"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// Parameters is the set of query parameters that a route accepts.
type Parameters map[string]struct{}

// parametersOf lists the request fields that the query may carry, in both spellings. The list is empty when the body
// carries all fields.
func parametersOf(request protoreflect.MessageDescriptor, binding *annotations.HttpRule) Parameters {
	known := Parameters{}
	if binding.GetBody() == "*" {
		return known
	}
	fields := request.Fields()
	for i := range fields.Len() {
		known[string(fields.Get(i).Name())] = struct{}{}
		known[fields.Get(i).JSONName()] = struct{}{}
	}
	return known
}

// Check refuses an unknown parameter, which would otherwise be ignored silently, and text that is not UTF-8. The error
// is INVALID_ARGUMENT and names the parameter.
func (p Parameters) Check(u *url.URL) error {
	if !utf8.ValidString(u.Path) {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "The path is not UTF-8.")
	}
	if p == nil || u.RawQuery == "" {
		return nil
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "The query string is malformed.")
	}
	for name, values := range query {
		field, _, _ := strings.Cut(name, ".")
		if _, known := p[field]; !known || !utf8.ValidString(name) {
			return refused(name, "is not a parameter of this method")
		}
		for _, value := range values {
			if !utf8.ValidString(value) {
				return refused(name, "is not UTF-8")
			}
		}
	}
	return nil
}

func refused(name, problem string) error {
	if len(name) > 64 {
		name = name[:64]
	}
	name = strings.ToValidUTF8(name, "?")
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "%s %s.", name, problem).Field(name, problem)
}
