package rest

import (
	"regexp"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// expected says what a field must have, by the word that protojson's errors use for its type.
func expected(kind string) string {
	switch kind {
	case "int32", "int64", "uint32", "uint64":
		return "must be a whole number in the range of " + kind
	case "float", "double":
		return "must be a number"
	case "bool":
		return "must be true or false"
	case "bytes":
		return "must be bytes in base64"
	case "enum":
		return "must be one of the names that /openapi.json lists for it"
	}
	return "must be a text"
}

// protojson names no field when one of these is wrong, only the line and the column.
var (
	wellKnown = regexp.MustCompile(`^\(line ([0-9]+):([0-9]+)\): (?:invalid )?google\.protobuf\.(Timestamp|Duration|FieldMask)\b`)
	secondOne = regexp.MustCompile(`^\(line [0-9:]+\): error parsing "([^"]{1,128})", oneof [\w.]+ is already set`)
)

// known explains an error about a type that JSON writes as text, or about a second field of which only one may be set; nil for others.
func known(text string) error {
	if found := secondOne.FindStringSubmatch(text); found != nil {
		return invalidField(found[1], "is set, but a field that excludes it is set too")
	}
	found := wellKnown.FindStringSubmatch(text)
	if found == nil {
		return nil
	}
	want := map[string]string{
		"Timestamp": "a time such as \"2030-01-31T12:00:00Z\"", "Duration": "a duration in seconds such as \"600s\"",
		"FieldMask": "names of fields such as \"name,requestsPerMinute\"",
	}[found[3]]
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "The value at line %s, column %s of the request body must be %s.", found[1], found[2], want)
}
