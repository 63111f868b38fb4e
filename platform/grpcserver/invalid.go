package grpcserver

import (
	"errors"
	"strconv"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// invalid turns a failed validation of a message into an error that says of each field, named as JSON writes it, what is
// wrong and what is expected.
func invalid(message proto.Message, err error) error {
	failed, ok := errors.AsType[*protovalidate.ValidationError](err)
	if !ok {
		return err
	}
	e := errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "")
	texts := make([]string, 0, len(failed.Violations))
	for _, violation := range failed.Violations {
		field, problem := jsonPath(violation.Proto.GetField()), problemOf(message, violation)
		_ = e.Field(field, problem)
		texts = append(texts, strings.TrimSpace(field+" "+problem))
	}
	e.Message = strings.Join(texts, "; ") + "."
	return e
}

// withoutNUL refuses the character NUL in the strings of a request itself, such as ids, names and filters: PostgreSQL stores no text that
// has it. The texts of messages, which nothing stores, may have it, and so may lists of texts, such as stop sequences; lists of ids may not.
func withoutNUL(m protoreflect.Message) error {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		if name := nulIn(m, fields.Get(i)); name != "" {
			const problem = "must not contain the character NUL"
			return errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "%s %s.", name, problem).Field(name, problem)
		}
	}
	return nil
}

// nulIn names the string of a field that has the character NUL, such as `eventIds[0]`; "" when none has it.
func nulIn(m protoreflect.Message, field protoreflect.FieldDescriptor) string {
	switch {
	case field.Kind() != protoreflect.StringKind || field.IsMap():
		return ""
	case !field.IsList():
		if strings.Contains(m.Get(field).String(), "\x00") {
			return field.JSONName()
		}
		return ""
	case !strings.HasSuffix(string(field.Name()), "_ids"):
		return ""
	}
	ids := m.Get(field).List()
	for i := range ids.Len() {
		if strings.Contains(ids.Get(i).String(), "\x00") {
			return field.JSONName() + "[" + strconv.Itoa(i) + "]"
		}
	}
	return ""
}

// problemOf words one violation, such as `is 501, but must be from 0 to 500`.
func problemOf(message proto.Message, v *protovalidate.Violation) string {
	if v.FieldDescriptor == nil {
		return chooseOne(message, v.Proto.GetField())
	}
	want := expected(v.FieldDescriptor, rulesOf(v))
	if want == "" {
		want = "must be valid" + example(v.FieldDescriptor)
	}
	if wrong := got(v.FieldDescriptor, v.FieldValue); wrong != "" {
		return wrong + ", but " + want
	}
	return want
}

// rulesOf returns the rules of the field, or of its items when one of these is wrong.
func rulesOf(v *protovalidate.Violation) *validate.FieldRules {
	rules, _ := proto.GetExtension(v.FieldDescriptor.Options(), validate.E_Field).(*validate.FieldRules)
	for _, element := range v.Proto.GetRule().GetElements() {
		switch element.GetFieldName() {
		case "items":
			rules = rules.GetRepeated().GetItems()
		case "keys":
			rules = rules.GetMap().GetKeys()
		case "values":
			rules = rules.GetMap().GetValues()
		}
	}
	return rules
}

// chooseOne lists the fields of which one must be set.
func chooseOne(message proto.Message, path *validate.FieldPath) string {
	elements := path.GetElements()
	if len(elements) == 0 {
		return "is invalid"
	}
	at := message.ProtoReflect().Descriptor()
	for _, element := range elements[:len(elements)-1] {
		field := at.Fields().ByName(protoreflect.Name(element.GetFieldName()))
		if field == nil || field.Message() == nil {
			return "is missing"
		}
		at = field.Message()
	}
	union := at.Oneofs().ByName(protoreflect.Name(elements[len(elements)-1].GetFieldName()))
	if union == nil {
		return "is missing"
	}
	var names []string
	for i := range union.Fields().Len() {
		names = append(names, union.Fields().Get(i).JSONName())
	}
	return "is missing, but one of " + strings.Join(names, ", ") + " must be set"
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
