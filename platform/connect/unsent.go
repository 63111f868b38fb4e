package connect

import (
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// unsentError is the error of a call whose request no replica got.
type unsentError struct{ error }

// GRPCStatus is that of the error.
func (e unsentError) GRPCStatus() *status.Status { return status.Convert(e.error) }

// Unwrap returns the error.
func (e unsentError) Unwrap() error { return e.error }

// ErrUnsent returns err as the error of a call whose request no replica got.
func ErrUnsent(err error) error { return unsentError{err} }

// Unsent reports whether a call failed although no replica got its request, for example because none could be reached. Of a call whose
// connection broke later this is unknown, and Unsent is false.
func Unsent(err error) bool {
	_, unsent := errors.AsType[unsentError](err)
	return unsent
}

// broken reports whether an error is that of a connection. An error that the service itself gave has details.
func broken(err error) bool {
	s := status.Convert(err)
	return s.Code() == codes.Unavailable && len(s.Details()) == 0
}
