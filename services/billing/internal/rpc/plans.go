package rpc

import (
	"context"
	"errors"
	"slices"
	"time"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/job"
	"github.com/trivet-dev/trivet/platform/paging"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/saturate"
	"github.com/trivet-dev/trivet/services/billing/internal/offers"
	"github.com/trivet-dev/trivet/services/billing/internal/outcome"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
)

// ListPlans lists the plans and packs on sale.
func (s *Server) ListPlans(_ context.Context, r *billingv1.ListPlansRequest) (*billingv1.ListPlansResponse, error) {
	page, next, err := paging.Window(paging.List{Name: "plans"}, s.plans.OnSale(), paging.LongSize(r.GetPageSize()), r.GetPageToken(),
		func(p plans.Plan) paging.Cursor { return paging.Cursor{ID: p.ID} })
	if err != nil {
		return nil, err
	}
	out := &billingv1.ListPlansResponse{NextPageToken: next}
	for _, p := range page {
		out.Plans = append(out.Plans, toPlan(p))
	}
	if r.GetPageToken() == "" {
		for _, p := range s.plans.Packs() {
			out.Packs = append(out.Packs, toPack(p))
		}
	}
	return out, nil
}

// ListPlanVersions lists all versions that were applied.
func (s *Server) ListPlanVersions(_ context.Context, r *billingv1.ListPlanVersionsRequest) (*billingv1.ListPlanVersionsResponse, error) {
	page, next, err := paging.Window(paging.List{Name: "planVersions"}, s.plans.Offers(), paging.LongSize(r.GetPageSize()), r.GetPageToken(),
		func(o plans.Offer) paging.Cursor { return paging.Cursor{ID: offerID(o)} })
	if err != nil {
		return nil, err
	}
	out := &billingv1.ListPlanVersionsResponse{NextPageToken: next}
	for _, o := range page {
		out.PlanVersions = append(out.PlanVersions, toVersion(o))
	}
	return out, nil
}

func offerID(o plans.Offer) string {
	if o.Plan != nil {
		return "plan:" + o.Plan.Ref()
	}
	return "pack:" + plans.Ref(o.Pack.ID, o.Pack.Version)
}

func toVersion(o plans.Offer) *billingv1.PlanVersion {
	v := &billingv1.PlanVersion{Id: offerID(o), Current: o.Current}
	if o.Plan != nil {
		v.Plan = toPlan(*o.Plan)
	}
	if o.Pack != nil {
		v.Pack = toPack(*o.Pack)
	}
	for _, price := range o.Prices {
		v.StripePriceIds = append(v.StripePriceIds, price)
	}
	slices.Sort(v.GetStripePriceIds())
	return v
}

func toPack(p plans.Pack) *billingv1.Pack {
	return &billingv1.Pack{
		Id: p.ID, Name: p.Name, PriceNanoUsd: p.Price, CreditNanoUsd: p.Credit, ExpireMonths: saturate.Int32(p.ExpireMonths), Version: saturate.Int32(p.Version),
	}
}

// ListEntitlements returns what the caller's plan allows.
func (s *Server) ListEntitlements(ctx context.Context, r *billingv1.ListEntitlementsRequest) (*billingv1.ListEntitlementsResponse, error) {
	plan, err := s.callersPlan(ctx)
	if err != nil {
		return nil, err
	}
	page, next, err := paging.Window(paging.List{Name: "entitlements"}, plan.Features, paging.LongSize(r.GetPageSize()), r.GetPageToken(),
		func(feature string) paging.Cursor { return paging.Cursor{ID: feature} })
	if err != nil {
		return nil, err
	}
	return &billingv1.ListEntitlementsResponse{PlanId: plan.ID, Features: page, Models: plan.Models, Limits: toLimits(plan.Limits), NextPageToken: next}, nil
}

// CheckEntitlement tells whether the caller's plan includes a feature.
func (s *Server) CheckEntitlement(ctx context.Context, r *billingv1.CheckEntitlementRequest) (*billingv1.CheckEntitlementResponse, error) {
	plan, err := s.callersPlan(ctx)
	if err != nil {
		return nil, err
	}
	return &billingv1.CheckEntitlementResponse{Included: slices.Contains(plan.Features, r.GetFeature()), PlanId: plan.ID}, nil
}

func (s *Server) callersPlan(ctx context.Context) (plans.Plan, error) {
	claims, err := passport.Caller(ctx)
	if err != nil {
		return plans.Plan{}, err
	}
	plan, err := s.entitlements.Plan(ctx, claims.AccountID)
	return plan, Public(err)
}

// ApplyPlans makes Stripe match a plan file.
func (s *Server) ApplyPlans(ctx context.Context, r *billingv1.ApplyPlansRequest) (*billingv1.ApplyPlansResponse, error) {
	if s.applier == nil {
		return nil, stripeIsOff()
	}
	file := r.GetPlanFile()
	if len(file) == 0 {
		return nil, invalid("planFile", "must not be empty")
	}
	changes, err := s.applier.Apply(ctx, file, r.GetDryRun())
	if err != nil {
		return nil, applyError(err)
	}
	return &billingv1.ApplyPlansResponse{Changes: toChanges(changes)}, nil
}

func toChanges(changes []offers.Change) (out []*billingv1.PlanChange) {
	for _, c := range changes {
		out = append(out, &billingv1.PlanChange{Kind: billingv1.PlanChangeKind(c.Kind), Id: c.ID, Field: c.Field, Before: c.Before, After: c.After})
	}
	return out
}

func stripeIsOff() error {
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR, "Stripe is off: STRIPE_SECRET_KEY is not set.")
}

func applyError(err error) error {
	if e, ok := errors.AsType[*offers.InvalidError](err); ok {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "The plan file has mistakes. Nothing was changed.\n%s", e.Error()).
			Field("planFile", "has mistakes")
	}
	if e, ok := errors.AsType[*offers.InUseError](err); ok {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT,
			"The plan file lacks the plan %s, which %d accounts are on. Nothing was changed. Keep the plan, with internal: true if it is no longer sold.",
			e.PlanID, e.Accounts).Field("planFile", "lacks a plan that accounts are on").With("plan", e.PlanID)
	}
	if e, ok := errors.AsType[*offers.ModeError](err); ok {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR,
			"The plans in this database were applied with a %s key, and STRIPE_SECRET_KEY is a %s key. Use a database for each mode.", e.Applied, e.Key)
	}
	if errors.Is(err, offers.ErrBusy) || errors.Is(err, job.ErrLost) {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFLICT,
			"Plans are being applied, by this replica or another. Wait until that has finished; if its process has died, retry after %d seconds.",
			int(offers.Lease.Seconds())).Cause(err)
	}
	return stripeError(err)
}

// stripeError translates the error of a call to Stripe.
func stripeError(err error) error {
	if isReadError(err) {
		return publicRead(err)
	}
	if e, ok := errors.AsType[*outcome.BusyError](err); ok {
		return away(err, e.After)
	}
	if e, ok := errors.AsType[*outcome.UnknownError](err); ok {
		return away(err, e.After)
	}
	e, ok := errors.AsType[*outcome.RefusedError](err)
	switch {
	case !ok:
		return Public(err)
	case e.Status == 401 || e.Status == 403:
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR,
			"Stripe rejected STRIPE_SECRET_KEY. Copy the key from the Stripe dashboard. A restricted key needs write access.").Cause(err)
	default:
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, "Stripe refused the request: %s", e.Message).Cause(err)
	}
}

// stripeRetry is the delay before a call that Stripe did not answer is retried.
const stripeRetry = 5 * time.Second

func away(err error, after time.Duration) error {
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, "Service temporarily unavailable. Please try again later.").
		After(max(after, stripeRetry)).Cause(err)
}
