// Package timefield reads optional times of requests.
package timefield

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

const problem = "must be a time such as 2030-01-31T12:00:00Z, after the beginning of the year 1; leave the field out for no time"

// Of returns the time of the field name, and the zero time when the request has none. Go's zero time itself is refused: a program that
// forgets to set a time sends it, and it would count as no time, such as a key that never expires. Errors: INVALID_ARGUMENT.
func Of(name string, t *timestamppb.Timestamp) (time.Time, error) {
	if t == nil {
		return time.Time{}, nil
	}
	if at := t.AsTime(); t.CheckValid() == nil && !at.IsZero() {
		return at, nil
	}
	return time.Time{}, errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "%s %s.", name, problem).Field(name, problem)
}
