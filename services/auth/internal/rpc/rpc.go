// Package rpc implements AuthService: it translates requests, calls the domain and translates the results.
package rpc

import (
	"errors"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	statusv1 "github.com/trivet-dev/trivet/gen/go/trivet/status/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/health"
	"github.com/trivet-dev/trivet/platform/inbox/inboxpb"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/webhook"
	"github.com/trivet-dev/trivet/services/auth/internal/apikey"
	"github.com/trivet-dev/trivet/services/auth/internal/authn"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
	"github.com/trivet-dev/trivet/services/auth/internal/erasure"
	"github.com/trivet-dev/trivet/services/auth/internal/reconcile"
	"github.com/trivet-dev/trivet/services/auth/internal/revocation"
)

// Options configure a Server.
type Options struct {
	Authenticator *authn.Authenticator
	Passports     *passport.Issuer
	Directory     directory.Store
	Keys          *apikey.Manager
	KeyStore      apikey.Store
	UserKeys      UserKeys
	Events        inboxpb.Inbox
	Revocations   *revocation.Feed
	Webhooks      *webhook.Receiver
	Eraser        *erasure.Eraser
	Erasures      erasure.Store
	Usage         UsageExporter // nil in a process without a connection to billing
	// Service and Clerk report how auth itself and Clerk are doing.
	Service *health.Service
	Clerk   func() *statusv1.Health
	// Reconciler is nil without a key to Clerk's Backend API.
	Reconciler *reconcile.Reconciler
}

// Server answers AuthService.
type Server struct {
	authv1.UnimplementedAuthServiceServer

	options Options
}

// New makes a Server.
func New(o Options) *Server { return &Server{options: o} }

// public turns the domain's errors into those that callers may see; what names the object for people, such as "user".
func public(err error, what string) error {
	if _, ready := errors.AsType[*errs.Error](err); err == nil || ready {
		return err
	}
	switch {
	case errors.Is(err, directory.ErrNotFound), errors.Is(err, apikey.ErrNotFound):
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, "No such %s.", what)
	case errors.Is(err, apikey.ErrTooMany):
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFLICT,
			"This account has as many live API keys as it may have. Delete one first, or ask the operator to raise AUTH_MAX_API_KEYS.")
	case errors.Is(err, apikey.ErrParentEnded):
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_TOKEN, "Invalid token").Cause(err)
	case errors.Is(err, apikey.ErrEnded):
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFLICT,
			"This API key is revoked or expired, so it cannot be changed or taken over. Create a new key.")
	}
	return err
}
