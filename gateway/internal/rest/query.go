package rest

import (
	"errors"
	"regexp"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// grpc-gateway has no typed errors about path and query values, so these patterns read its texts. The name of the field comes before the caller's value.
var (
	inAddress     = regexp.MustCompile(`(?:field|list|parameter:?) "?([a-z][a-z0-9_]*)"?`)
	givenTwice    = regexp.MustCompile(`^(?:too many values for|duplicate) field `)
	excludedQuery = regexp.MustCompile(`^field already set for oneof `)
	ofKind        = regexp.MustCompile(`^(?:parsing (?:field|list) "[a-z0-9_]+"|type mismatch, parameter: [a-z0-9_.]+, error): (.*)$`)
)

// asArgument gives such an error a reason and a readable text. Errors from services stay as they are.
func asArgument(err error) error {
	st, ok := status.FromError(err)
	if _, own := errors.AsType[*errs.Error](err); own || !ok || st.Code() != codes.InvalidArgument || len(st.Details()) > 0 {
		return err
	}
	return wrongValue(st.Message(), err)
}

// wrongValue names the parameter of the path or the query that grpc-gateway's text is about, and says what it must be.
func wrongValue(text string, cause error) error {
	if excludedQuery.MatchString(text) {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "The query sets two parameters that exclude each other.").Cause(cause)
	}
	found := inAddress.FindStringSubmatch(text)
	if found == nil {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "The path or the query contains an invalid value.").Cause(cause)
	}
	return invalidField(lowerCamel(found[1]), problemOf(text))
}

func problemOf(text string) string {
	if givenTwice.MatchString(text) {
		return "is given twice"
	}
	found := ofKind.FindStringSubmatch(text)
	if found == nil {
		return "has an invalid value"
	}
	switch begin, _, _ := strings.Cut(found[1], " "); begin {
	case "strconv.ParseBool:":
		return expected("bool")
	case "strconv.ParseInt:", "strconv.ParseUint:":
		if strings.HasSuffix(text, ": value out of range") {
			return "is too large or too small"
		}
		return "must be a whole number"
	case "strconv.ParseFloat:":
		return expected("double")
	case "parsing": // a time
		return expected("Timestamp")
	case "time:":
		return expected("Duration")
	}
	switch {
	case strings.HasSuffix(text, " is not a valid value"):
		return expected("enum")
	case strings.HasSuffix(text, " before 0001-01-01"): // grpc-gateway also says it of a time after the year 9999
		return expected("Timestamp")
	}
	return "has an invalid value"
}

// lowerCamel returns the JSON name of a field.
func lowerCamel(name string) string {
	parts := strings.Split(name, "_")
	for i, part := range parts[1:] {
		if part != "" {
			parts[i+1] = strings.ToUpper(part[:1]) + part[1:]
		}
	}
	return strings.Join(parts, "")
}
