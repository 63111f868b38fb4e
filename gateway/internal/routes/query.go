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

// Parameters are the names that a query may have.
type Parameters map[string]struct{}

// parametersOf lists the fields of an RPC's request that its address may carry, in both spellings: none when the body
// has all of them.
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

// Check refuses what the address must not have: a parameter that is not known, which would be ignored in silence, and
// text that is no UTF-8. The error is INVALID_ARGUMENT and names the parameter.
func (p Parameters) Check(address *url.URL) error {
	if !utf8.ValidString(address.Path) {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "The path is not UTF-8.")
	}
	if p == nil || address.RawQuery == "" {
		return nil
	}
	query, err := url.ParseQuery(address.RawQuery)
	if err != nil {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "The query can't be read.")
	}
	for name, values := range query {
		field, _, _ := strings.Cut(name, ".")
		if _, known := p[field]; !known || !utf8.ValidString(name) {
			return refused(name, "is not a parameter of this address")
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
