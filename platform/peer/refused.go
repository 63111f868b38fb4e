package peer

import (
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// Why a service refuses the service that calls it.
const (
	// WrongSecret says that the two do not have the same secret.
	WrongSecret = "secret"
	// WrongTime says that their clocks differ.
	WrongTime = "clock"
	// WrongName says that no rule lets a service of this name in.
	WrongName = "name"
)

// refusedFact marks, in the metadata of an error, that the service which calls was refused, and says why. The person on whose behalf it
// calls was not.
const refusedFact = "peer_refused"

// RefuseProof is the answer to a service whose proof Verify refused with cause.
func RefuseProof(cause error) error {
	why := WrongSecret
	if errors.Is(cause, ErrTime) {
		why = WrongTime
	}
	return refuse("Only Trivet's own services may call this.").With(refusedFact, why).Cause(cause)
}

// RefuseName is the answer to a service that proved its name and may not make the call.
func RefuseName(name string) error {
	return refuse("The service %q may not call this.", name).With(refusedFact, WrongName)
}

// RefuseStranger is the answer to a caller that brings no proof.
func RefuseStranger() error { return refuse("Only Trivet's own services may call this.") }

func refuse(format string, args ...any) *errs.Error {
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, format, args...)
}

// Refusal returns why a service refused the one that called it, also when the error came over the network. It is "" for any other error.
func Refusal(err error) string {
	if status.Code(err) != codes.PermissionDenied {
		return ""
	}
	return errs.From(err).Metadata[refusedFact]
}
