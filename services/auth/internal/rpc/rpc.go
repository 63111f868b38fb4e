// Package rpc is auth's gRPC face: it translates, calls the domain and translates back.
package rpc

import (
	"errors"
	"time"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/services/auth/internal/authn"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
)

// Server answers AuthService.
type Server struct {
	authv1.UnimplementedAuthServiceServer

	Authenticator *authn.Authenticator
	Passports     *passport.Issuer
	Directory     directory.Store
	Now           func() time.Time
}

// shown turns the domain's errors into those that callers may see; what names is for people, such as "user".
func shown(err error, what string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, directory.ErrNotFound):
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, "There is no such %s.", what)
	case database.IsUnavailable(err):
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE,
			"Service temporarily unavailable. Please try again later.").After(time.Second).Cause(err)
	}
	return err
}
