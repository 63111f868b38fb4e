package rpc

import (
	"errors"
	"time"

	"google.golang.org/grpc"

	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/inbox/inboxpb"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
	"github.com/trivet-dev/trivet/services/auth/internal/reconcile"
)

// Reconcile compares the store with Clerk and streams the progress. It ends when the caller leaves; the next call resumes it.
func (s *Server) Reconcile(req *authv1.ReconcileRequest, stream grpc.ServerStreamingServer[authv1.ReconcileResponse]) error {
	if s.options.Reconciler == nil {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR,
			"Cannot reconcile with Clerk: CLERK_SECRET_KEY is not set.")
	}
	since, err := inboxpb.Since(req.GetSince())
	if err != nil {
		return err
	}
	err = s.options.Reconciler.Run(stream.Context(), since, func(p reconcile.Progress) error {
		return stream.Send(&authv1.ReconcileResponse{
			Kind: p.Kind, Same: p.Same, Repaired: p.Repaired, Created: p.Created, Removed: p.Removed, Done: p.Done,
		})
	})
	return reconcileError(err)
}

func reconcileError(err error) error {
	retry, transient := errors.AsType[*directory.RetryError](err)
	switch {
	case errors.Is(err, reconcile.ErrBusy):
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFLICT,
			"A reconciliation is already running, in this replica or another. Wait until it has finished.").Cause(err)
	case errors.Is(err, reconcile.ErrStranger):
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR,
			"None of the stored users and organizations exist in this Clerk instance, so nothing was changed. Does CLERK_SECRET_KEY belong "+
				"to another instance? If all of them were deleted in Clerk, redeliver the user.deleted webhooks, or run "+
				"`trivet users erase ID` for each.").Cause(err)
	case errors.Is(err, directory.ErrKeyRefused):
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR,
			"Clerk rejects CLERK_SECRET_KEY. Set it to a secret key of this instance, from Clerk's dashboard.").Cause(err)
	case transient:
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR,
			"Clerk is unavailable. Run the reconciliation again later; it resumes from its checkpoint.").After(max(retry.After, time.Second)).Cause(err)
	}
	return public(err, "object")
}
