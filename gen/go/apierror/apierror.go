// Package apierror reads the errors that Trivet's RPCs return. It is written by hand and stands beside the generated clients.
//
//	answer, err := client.Chat(ctx, request)
//	if apierror.Reason(err) == errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE {
//		// ask the person to buy credit
//	}
//
// Importing it also registers google.rpc.ErrorInfo, RetryInfo and BadRequest, without which status.Details cannot decode them.
package apierror

import (
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
)

// Domain is the domain of the google.rpc.ErrorInfo in each of Trivet's errors.
const Domain = "trivet.dev"

const prefix = "ERROR_REASON_"

// Reason returns why a call failed. It is ERROR_REASON_UNSPECIFIED when err is nil, when err does not come from Trivet (for
// example because the connection failed), and when the server is newer than this package and knows more reasons.
func Reason(err error) errorsv1.ErrorReason {
	return errorsv1.ErrorReason(errorsv1.ErrorReason_value[prefix+info(err).GetReason()])
}

// Metadata returns further facts about the failure, such as {"model": "gpt-99"}; nil when there are none.
func Metadata(err error) map[string]string {
	return info(err).GetMetadata()
}

// RetryAfter returns how long to wait before the next attempt; 0 when the server did not say.
func RetryAfter(err error) time.Duration {
	for _, detail := range status.Convert(err).Details() {
		if retry, ok := detail.(*errdetails.RetryInfo); ok {
			return retry.GetRetryDelay().AsDuration()
		}
	}
	return 0
}

// Field is one field of the request that is wrong.
type Field struct {
	// Name is the field's path, such as "messages[0].role".
	Name string
	// Problem says what is wrong with it, for people.
	Problem string
}

// Fields returns the fields of the request that are wrong; nil when the server named none.
func Fields(err error) []Field {
	var fields []Field
	for _, detail := range status.Convert(err).Details() {
		if bad, ok := detail.(*errdetails.BadRequest); ok {
			for _, v := range bad.GetFieldViolations() {
				fields = append(fields, Field{Name: v.GetField(), Problem: v.GetDescription()})
			}
		}
	}
	return fields
}

func info(err error) *errdetails.ErrorInfo {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == Domain {
			return info
		}
	}
	return nil
}
