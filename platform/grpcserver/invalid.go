package grpcserver

import (
	"errors"
	"strconv"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// invalid turns a failed validation into an error that names each field as JSON writes it.
func invalid(err error) error {
	failed, ok := errors.AsType[*protovalidate.ValidationError](err)
	if !ok {
		return err
	}
	e := errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "")
	texts := make([]string, 0, len(failed.Violations))
	for _, violation := range failed.Violations {
		field, problem := jsonPath(violation.Proto.GetField()), violation.Proto.GetMessage()
		if problem == "" {
			problem = "is invalid (" + violation.Proto.GetRuleId() + ")"
		}
		_ = e.Field(field, problem)
		if field == "" {
			texts = append(texts, problem)
			continue
		}
		texts = append(texts, field+": "+problem)
	}
	e.Message = strings.Join(texts, "; ") + "."
	return e
}

func jsonPath(path *validate.FieldPath) string {
	var b strings.Builder
	for _, element := range path.GetElements() {
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(lowerCamel(element.GetFieldName()))
		switch at := element.GetSubscript().(type) {
		case *validate.FieldPathElement_Index:
			b.WriteString("[" + strconv.FormatUint(at.Index, 10) + "]")
		case *validate.FieldPathElement_StringKey:
			b.WriteString("[" + strconv.Quote(at.StringKey) + "]")
		}
	}
	return b.String()
}

func lowerCamel(name string) string {
	parts := strings.Split(name, "_")
	for i, part := range parts[1:] {
		if part != "" {
			parts[i+1] = strings.ToUpper(part[:1]) + part[1:]
		}
	}
	return strings.Join(parts, "")
}
