// Package errs holds the one error type that services return: it has a reason
// for programs, a text for people, and a cause that only the log sees.
package errs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
)

// Domain is the domain of every google.rpc.ErrorInfo that Trivet sends.
const Domain = "trivet.dev"

// Metadata of an UPSTREAM_ERROR that a provider sent in the middle of an answer: what its own error says.
const (
	UpstreamType  = "upstream_type"
	UpstreamCode  = "upstream_code"
	UpstreamParam = "upstream_param"
)

const reasonPrefix = "ERROR_REASON_"

// Field is one field of a request that is wrong.
type Field struct {
	// Name is the field's path as the caller wrote it, such as "messages[0].role".
	Name string
	// Problem says what is wrong with it, for people.
	Problem string
}

// Error is a failure that may be shown to the caller.
type Error struct {
	// Reason is the failure for programs.
	Reason errorsv1.ErrorReason
	// Message is the failure for people: what happened and what to do.
	Message string
	// Fields are the request's wrong fields.
	Fields []Field
	// RetryAfter is how long to wait before trying again; 0 means not told.
	RetryAfter time.Duration
	// Metadata is further facts for programs, such as "model". Never a secret.
	Metadata map[string]string

	cause error
}

// New makes an error with a reason and a text for people.
func New(reason errorsv1.ErrorReason, format string, args ...any) *Error {
	return &Error{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// Field adds a wrong field and returns e.
func (e *Error) Field(name, problem string) *Error {
	e.Fields = append(e.Fields, Field{Name: name, Problem: problem})
	return e
}

// After sets the delay before a retry makes sense and returns e.
func (e *Error) After(d time.Duration) *Error {
	e.RetryAfter = d
	return e
}

// With adds a fact for programs and returns e.
func (e *Error) With(key, value string) *Error {
	if e.Metadata == nil {
		e.Metadata = make(map[string]string, 1)
	}
	e.Metadata[key] = value
	return e
}

// Cause sets what lies behind the error, for the log only, and returns e.
func (e *Error) Cause(err error) *Error {
	e.cause = err
	return e
}

// Each of these begins a message whose rest is a provider's own text. The caller gets all of it. Logs get the beginning, because the rest may
// repeat the request.
const (
	Quoting        = "The provider ended its answer with an error: "
	QuotingRefusal = "The provider refused the request: "
	QuotingFailure = "The provider failed: "
	QuotingLimit   = "The provider limits the rate of calls: "
	QuotingTimeout = "The provider did not answer in time: "
)

// loggable is what logs may show of a message; all is false when its rest is a provider's text.
func loggable(message string) (text string, all bool) {
	for _, quoting := range [...]string{Quoting, QuotingRefusal, QuotingFailure, QuotingLimit, QuotingTimeout} {
		if strings.HasPrefix(message, quoting) {
			return quoting + "its text is not logged", false
		}
	}
	return message, true
}

// Error returns the text with the cause, for logs.
func (e *Error) Error() string {
	message, all := loggable(e.Message)
	text := Code(e.Reason) + ": " + message
	if e.cause != nil && all { // the cause of a quoting error may be the same error as it came over the network
		text += ": " + e.cause.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// GRPCStatus returns what goes over the wire: everything but the cause.
func (e *Error) GRPCStatus() *status.Status {
	st := status.New(MappingOf(e.Reason).GRPC, e.Message)
	details := []protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: Code(e.Reason), Domain: Domain, Metadata: e.Metadata}}
	if e.RetryAfter > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(e.RetryAfter)})
	}
	if len(e.Fields) > 0 {
		bad := &errdetails.BadRequest{}
		for _, f := range e.Fields {
			bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{Field: f.Name, Description: f.Problem})
		}
		details = append(details, bad)
	}
	withDetails, err := st.WithDetails(details...)
	if err != nil {
		return st
	}
	return withDetails
}

// Code returns the reason's public name, such as "RATE_LIMIT_EXCEEDED".
func Code(reason errorsv1.ErrorReason) string {
	return strings.TrimPrefix(reason.String(), reasonPrefix)
}

// ReasonOf returns the reason of err; INTERNAL for an unknown error, UNSPECIFIED for nil.
func ReasonOf(err error) errorsv1.ErrorReason {
	if err == nil {
		return errorsv1.ErrorReason_ERROR_REASON_UNSPECIFIED
	}
	return From(err).Reason
}

// Unavailable is implemented by errors which say that something that Trivet needs, such as a database, cannot serve now.
type Unavailable interface {
	error
	// Unavailable returns after how long a caller may try again.
	Unavailable() time.Duration
}

// From turns any error into one that may be shown: an *Error of the chain, what
// a gRPC status carries, SERVICE_UNAVAILABLE for an Unavailable of the chain, or
// what a context ended with. Everything else becomes INTERNAL with a fixed text,
// so that no inner detail leaks. From(nil) is nil.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	if own, ok := errors.AsType[*Error](err); ok {
		return own
	}
	if st, ok := fromStatus(err); ok {
		return st
	}
	if down, ok := errors.AsType[Unavailable](err); ok {
		return unavailable(down.Unavailable()).Cause(err)
	}
	switch {
	case errors.Is(err, context.Canceled):
		return New(errorsv1.ErrorReason_ERROR_REASON_CANCELLED, "The request was cancelled.").Cause(err)
	case errors.Is(err, context.DeadlineExceeded):
		return New(errorsv1.ErrorReason_ERROR_REASON_DEADLINE_EXCEEDED, "The request timed out.").Cause(err)
	}
	return internal(err)
}

func internal(err error) *Error {
	return New(errorsv1.ErrorReason_ERROR_REASON_INTERNAL, "Something went wrong inside Trivet. The log has the cause under the request id.").Cause(err)
}

func unavailable(retryAfter time.Duration) *Error {
	return New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, "Service temporarily unavailable. Please try again later.").After(retryAfter)
}

func fromStatus(err error) (*Error, bool) {
	st, ok := status.FromError(err)
	if !ok {
		return nil, false
	}
	e := &Error{Message: st.Message(), cause: err}
	for _, detail := range st.Details() {
		e.take(detail)
	}
	if e.Reason == errorsv1.ErrorReason_ERROR_REASON_UNSPECIFIED {
		return fromCode(st, err), true
	}
	return e, true
}

func (e *Error) take(detail any) {
	switch d := detail.(type) {
	case *errdetails.ErrorInfo:
		if d.GetDomain() == Domain {
			e.Reason = errorsv1.ErrorReason(errorsv1.ErrorReason_value[reasonPrefix+d.GetReason()])
			e.Metadata = d.GetMetadata()
		}
	case *errdetails.RetryInfo:
		e.RetryAfter = d.GetRetryDelay().AsDuration()
	case *errdetails.BadRequest:
		for _, v := range d.GetFieldViolations() {
			e.Fields = append(e.Fields, Field{Name: v.GetField(), Problem: v.GetDescription()})
		}
	}
}

// fromCode gives a reason to a status that gRPC itself made, or that a library did.
func fromCode(st *status.Status, err error) *Error {
	switch st.Code() {
	case codes.Canceled:
		return New(errorsv1.ErrorReason_ERROR_REASON_CANCELLED, "The request was cancelled.").Cause(err)
	case codes.DeadlineExceeded:
		return New(errorsv1.ErrorReason_ERROR_REASON_DEADLINE_EXCEEDED, "The request timed out.").Cause(err)
	case codes.Unavailable:
		return unavailable(time.Second).Cause(err)
	case codes.Unimplemented:
		return New(errorsv1.ErrorReason_ERROR_REASON_NOT_IMPLEMENTED, "This call is part of the contract and not built yet.").Cause(err)
	case codes.InvalidArgument:
		return New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "%s", st.Message()).Cause(err)
	case codes.ResourceExhausted:
		// gRPC's own: a message above the size limit.
		return New(errorsv1.ErrorReason_ERROR_REASON_BODY_TOO_LARGE, "The message exceeds the maximum size.").Cause(err)
	default:
		return internal(err)
	}
}
