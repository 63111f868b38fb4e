package grpcserver

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// patterns say in words what a pattern of the contract allows, with an example. Nobody reads a regular expression.
var patterns = map[string]string{
	`^[a-zA-Z0-9_-]{0,64}$`:           `must have up to 64 letters, digits, "_" or "-", such as "weather_report"`,
	`^cs_[A-Za-z0-9_]{1,250}$`:        `must begin with "cs_" and have up to 253 letters, digits or "_", such as "cs_test_a1b2"`,
	`^[A-Za-z0-9_-]{0,128}$`:          `must have up to 128 letters, digits, "_" or "-", such as "resp_1abc"`,
	`^[a-zA-Z0-9_-]{1,64}$`:           `must have 1 to 64 letters, digits, "_" or "-", such as "get_weather"`,
	`^([0-9]{4}-[0-9]{2}-[0-9]{2})?$`: `must be a day such as "2026-11-28", or empty`,
}

// examples are values of fields that must not be empty, by the field's name in the contract.
var examples = map[string]string{ //nolint:gosec // examples, no credentials
	"model": "gpt-5-mini", "name": "backend", "credential": "tvt_live_…", "body": "{}", "user_id": "user_2abc", "account_id": "org_2abc",
	"organization_id": "org_2abc", "api_key_id": "key_2abc", "event_id": "evt_1abc", "event_ids": "evt_1abc", "request_id": "req_1abc",
	"hold_id": "hold_1abc", "feature": "api_keys", "preview_id": "preview_2ABC",
	"from": "pro@3", "to": "pro@4",
	"batch_id": "batch_1abc", "plan_id": "pro", "pack_id": "pack_10", "grant_id": "grant_1abc", "version": "1", "reason": "goodwill", "source": "goodwill",
	"success_url": "https://app.example.com/paid", "cancel_url": "https://app.example.com/plans", "return_url": "https://app.example.com/account",
	"id": "call_1abc", "content": "Hello", "role": "user", "input": "Hello", "scopes": "ai.invoke", "inputs": "Hello", "text": "Hello", "yaml": "plans: []",
}

// expected says what the contract wants of a value, without naming its rules. It returns "" for a rule that it does not know;
// a test finds those.
func expected(field protoreflect.FieldDescriptor, rules *validate.FieldRules) string {
	switch kind := rules.GetType().(type) {
	case *validate.FieldRules_String_:
		return ofString(field, kind.String_)
	case *validate.FieldRules_Bytes:
		return within(kind.Bytes.GetMinLen(), kind.Bytes.GetMaxLen(), "bytes")
	case *validate.FieldRules_Repeated:
		return ofList(field, kind.Repeated)
	case *validate.FieldRules_Enum:
		return ofEnum(field, kind.Enum)
	}
	if number := rules.ProtoReflect().WhichOneof(rules.ProtoReflect().Descriptor().Oneofs().ByName("type")); number != nil {
		return ofNumber(rules.ProtoReflect().Get(number).Message())
	}
	if rules.GetRequired() {
		return "must be set" + example(field)
	}
	return ""
}

func ofString(field protoreflect.FieldDescriptor, r *validate.StringRules) string {
	switch {
	case r.GetPattern() != "":
		return patterns[r.GetPattern()]
	case len(r.GetIn()) > 0:
		return "must be " + oneOf(r.GetIn())
	case r.GetPrefix() != "":
		return strings.Replace(within(r.GetMinLen(), r.GetMaxBytes(), "bytes"), "must", fmt.Sprintf("must start with %q and", r.GetPrefix()), 1) + example(field)
	case r.GetMaxBytes() > 0:
		return within(r.GetMinLen(), r.GetMaxBytes(), "bytes") + example(field)
	case r.GetMaxLen() > 0 || r.GetMinLen() > 0:
		return within(r.GetMinLen(), r.GetMaxLen(), "characters") + example(field)
	}
	return ""
}

// ofList quotes an example only where the items are plain values.
func ofList(field protoreflect.FieldDescriptor, r *validate.RepeatedRules) string {
	text := within(r.GetMinItems(), r.GetMaxItems(), "items")
	if r.GetUnique() {
		text += ", each only once"
	}
	if field != nil && field.Message() == nil {
		text += example(field)
	}
	return text
}

func ofEnum(field protoreflect.FieldDescriptor, r *validate.EnumRules) string {
	var names []string
	values := field.Enum().Values()
	for i := range values.Len() {
		v := values.Get(i)
		if !contains(r.GetNotIn(), int32(v.Number())) {
			names = append(names, string(v.Name()))
		}
	}
	return "must be " + oneOf(names)
}

func contains(all []int32, n int32) bool {
	for _, v := range all {
		if v == n {
			return true
		}
	}
	return false
}

// ofNumber serves every numeric type: their rules have the same names.
func ofNumber(r protoreflect.Message) string {
	bound := func(names ...protoreflect.Name) (text string, exclusive bool) {
		for _, name := range names {
			f := r.Descriptor().Fields().ByName(name)
			if f != nil && r.Has(f) {
				return number(r.Get(f)), !strings.HasSuffix(string(name), "e")
			}
		}
		return "", false
	}
	low, above := bound("gt", "gte")
	high, below := bound("lt", "lte")
	switch {
	case low != "" && high != "" && !above && !below:
		return "must be from " + low + " to " + high
	case low != "" && high != "":
		return "must be " + least(low, above) + " and " + most(high, below)
	case low != "":
		return "must be " + least(low, above)
	case high != "":
		return "must be " + most(high, below)
	}
	return ""
}

func least(low string, above bool) string {
	if above {
		return "above " + low
	}
	return low + " or more"
}

func most(high string, below bool) string {
	if below {
		return "below " + high
	}
	return high + " or less"
}

func number(v protoreflect.Value) string {
	if f, ok := v.Interface().(float64); ok {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return v.String()
}

func within(low, high uint64, what string) string {
	one := strings.TrimSuffix(what, "s")
	switch {
	case high == 0 && low <= 1:
		return "must not be empty"
	case high == 0:
		return fmt.Sprintf("must have %d %s or more", low, what)
	case low == 0:
		return fmt.Sprintf("must have %d %s or less", high, what)
	case low == high && high == 1:
		return "must have exactly 1 " + one
	case low == high:
		return fmt.Sprintf("must have exactly %d %s", high, what)
	}
	return fmt.Sprintf("must have %d to %d %s", low, high, what)
}

func oneOf(values []string) string {
	quoted := make([]string, 0, len(values))
	for _, v := range values {
		if v != "" {
			quoted = append(quoted, strconv.Quote(v))
		}
	}
	text := strings.Join(quoted, ", ")
	if at := strings.LastIndex(text, ", "); at > 0 {
		text = text[:at] + " or" + text[at+1:]
	}
	if len(quoted) < len(values) {
		text += ", or empty"
	}
	return text
}

func example(field protoreflect.FieldDescriptor) string {
	if field == nil {
		return ""
	}
	if value, ok := examples[string(field.Name())]; ok {
		return ", such as " + strconv.Quote(value)
	}
	return ""
}

// maxShown bounds what is quoted of a wrong value, in characters.
const maxShown = 40

// got says what is wrong with a value: that it is missing, or what it is. Secrets and long texts are not repeated.
func got(field protoreflect.FieldDescriptor, value protoreflect.Value) string {
	if !value.IsValid() || field == nil {
		return ""
	}
	switch v := value.Interface().(type) {
	case string:
		switch n := len([]rune(v)); {
		case v == "":
			return "is missing"
		case proto.GetExtension(field.Options(), validate.E_Field) == nil, redacted(field):
			return ""
		case n > maxShown:
			return fmt.Sprintf("has %d characters", n)
		default:
			return "is " + strconv.Quote(v)
		}
	case []byte:
		return fmt.Sprintf("has %d bytes", len(v))
	case protoreflect.List:
		if v.Len() == 0 {
			return "is missing"
		}
		return fmt.Sprintf("has %d items", v.Len())
	case protoreflect.EnumNumber:
		if v == 0 {
			return "is missing"
		}
		return "is " + strconv.Itoa(int(v))
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return "is not a number"
		}
		return "is " + strconv.FormatFloat(v, 'f', -1, 64)
	case int32, int64, uint32, uint64:
		return "is " + value.String()
	}
	return ""
}

func redacted(field protoreflect.FieldDescriptor) bool {
	options, ok := field.Options().(interface{ GetDebugRedact() bool })
	return ok && options.GetDebugRedact()
}
