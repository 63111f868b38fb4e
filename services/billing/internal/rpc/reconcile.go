package rpc

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/grpc"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/inbox/inboxpb"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/reconcile"
)

// Reconcile compares the store with Stripe and reports its progress. It stops when its caller leaves, and the next run resumes.
func (s *Server) Reconcile(req *billingv1.ReconcileRequest, stream grpc.ServerStreamingServer[billingv1.ReconcileResponse]) error {
	if s.reconciler == nil {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR,
			"Cannot reconcile with Stripe: STRIPE_SECRET_KEY is not set.")
	}
	since, err := inboxpb.Since(req.GetSince())
	if err != nil {
		return err
	}
	ctx := stream.Context()
	if limit := req.GetTimeLimit(); limit != nil {
		if limit.CheckValid() != nil || limit.AsDuration() <= 0 {
			return invalid("timeLimit", "must be longer than 0s, such as 600s")
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit.AsDuration())
		defer cancel()
	}
	return reconcileError(s.reconciler.Run(ctx, since, func(p reconcile.Progress) error {
		return stream.Send(&billingv1.ReconcileResponse{
			Kind: plural(p.Kind), Same: p.Same, Repaired: p.Repaired, Created: p.Created, Removed: p.Removed, Done: p.Done,
		})
	}))
}

// plural returns the name of a kind in the plural, such as "checkout_sessions".
func plural(kind mirror.Kind) string { return strings.ReplaceAll(string(kind), ".", "_") + "s" }

func reconcileError(err error) error {
	switch {
	case errors.Is(err, reconcile.ErrBusy):
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFLICT,
			"A reconciliation is already running, in this replica or another. Wait until it has finished.").Cause(err)
	case errors.Is(err, reconcile.ErrStranger):
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR,
			"Stripe has none of the stored customers, so nothing was changed. Check that STRIPE_SECRET_KEY belongs to the right Stripe account.").Cause(err)
	case errors.Is(err, mirror.ErrRefused):
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR,
			"Stripe rejected STRIPE_SECRET_KEY. Copy the key from the Stripe dashboard. A restricted key needs read access to all compared objects.").Cause(err)
	case errors.Is(err, reconcile.ErrAway):
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE,
			"Stripe does not answer. Run the command again later; it resumes where it stopped.").After(stripeRetry).Cause(err)
	}
	return inboxpb.Error(err)
}
