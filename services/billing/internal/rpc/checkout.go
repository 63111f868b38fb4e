package rpc

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/job"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/saturate"
	"github.com/trivet-dev/trivet/services/billing/internal/checkout"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
	"github.com/trivet-dev/trivet/services/billing/internal/subscriptions"
)

// Subscriptions reads what accounts have bought.
type Subscriptions interface {
	// Subscription returns ledger.ErrNotFound when the account never had one.
	Subscription(ctx context.Context, accountID string) (subscriptions.State, error)
}

// CreateCheckoutSession opens a page at Stripe for a purchase.
func (s *Server) CreateCheckoutSession(
	ctx context.Context, r *billingv1.CreateCheckoutSessionRequest,
) (*billingv1.CreateCheckoutSessionResponse, error) {
	claims, err := passport.Caller(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.returns("successUrl", r.GetSuccessUrl(), "cancelUrl", r.GetCancelUrl()); err != nil {
		return nil, err
	}
	if r.GetPackId() != "" && r.GetInterval() != billingv1.BillingInterval_BILLING_INTERVAL_UNSPECIFIED {
		return nil, invalid("interval", "must not be set for a pack, which is bought once")
	}
	if s.checkout == nil {
		return nil, stripeIsOff()
	}
	made, err := s.checkout.Create(ctx, checkout.Request{
		AccountID: claims.AccountID, UserID: s.ledger.MayShare(claims.UserID, claims.Verified), PlanID: r.GetPlanId(), PackID: r.GetPackId(), Interval: fromInterval(r.GetInterval()), Seats: int64(r.GetSeats()),
		SuccessURL: r.GetSuccessUrl(), CancelURL: r.GetCancelUrl(),
	})
	if err != nil {
		return nil, createError(r, err)
	}
	return &billingv1.CreateCheckoutSessionResponse{CheckoutSession: toCheckout(made, false)}, nil
}

// returns checks the addresses that Stripe sends people back to.
func (s *Server) returns(fields ...string) error {
	var wrong *errs.Error
	for i := 0; i+1 < len(fields); i += 2 {
		problem := s.origins.Problem(fields[i+1])
		switch {
		case problem == "":
		case wrong == nil:
			wrong = errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "%s %s.", fields[i], problem).Field(fields[i], problem)
		default:
			wrong.Message += fmt.Sprintf(" %s %s.", fields[i], problem)
			wrong = wrong.Field(fields[i], problem)
		}
	}
	if wrong == nil {
		return nil
	}
	return wrong
}

// GetCheckoutSession says how a purchase stands.
func (s *Server) GetCheckoutSession(ctx context.Context, r *billingv1.GetCheckoutSessionRequest) (*billingv1.GetCheckoutSessionResponse, error) {
	claims, err := passport.Caller(ctx)
	if err != nil {
		return nil, err
	}
	if s.checkout == nil {
		return nil, stripeIsOff()
	}
	session, applied, err := s.checkout.Get(ctx, claims.AccountID, r.GetCheckoutSessionId())
	if errors.Is(err, checkout.ErrNotFound) {
		return nil, errs.New(errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, "This account has no checkout session %q.", r.GetCheckoutSessionId()).
			Field("checkoutSessionId", "is unknown")
	}
	if err != nil {
		return nil, readError(ctx, err)
	}
	return &billingv1.GetCheckoutSessionResponse{CheckoutSession: toCheckout(session, applied)}, nil
}

// CreatePortalSession opens Stripe's portal.
func (s *Server) CreatePortalSession(ctx context.Context, r *billingv1.CreatePortalSessionRequest) (*billingv1.CreatePortalSessionResponse, error) {
	claims, err := passport.Caller(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.returns("returnUrl", r.GetReturnUrl()); err != nil {
		return nil, err
	}
	if s.checkout == nil {
		return nil, stripeIsOff()
	}
	url, err := s.checkout.Portal(ctx, claims.AccountID, r.GetReturnUrl())
	if errors.Is(err, checkout.ErrNoCustomer) {
		return nil, errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFLICT, "This account has bought nothing yet, so there is no portal for it. Open a checkout first.")
	}
	if err != nil {
		return nil, checkoutError(err)
	}
	return &billingv1.CreatePortalSessionResponse{PortalSession: &billingv1.PortalSession{Url: url}}, nil
}

// GetSubscription returns what the account has bought.
func (s *Server) GetSubscription(ctx context.Context, _ *billingv1.GetSubscriptionRequest) (*billingv1.GetSubscriptionResponse, error) {
	claims, err := passport.Caller(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := s.ledger.Account(ctx, claims.AccountID, s.ledger.MayShare(claims.UserID, claims.Verified)); err != nil { // brings it up to date
		return nil, Public(err)
	}
	st, err := s.subscriptions.Subscription(ctx, claims.AccountID)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil, errs.New(errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, "This account has no subscription.")
	}
	if err != nil {
		return nil, Public(err)
	}
	return &billingv1.GetSubscriptionResponse{Subscription: toSubscription(st)}, nil
}

func createError(r *billingv1.CreateCheckoutSessionRequest, err error) error {
	field, what := "planId", "plan "+r.GetPlanId()
	if r.GetPackId() != "" {
		field, what = "packId", "pack "+r.GetPackId()
	}
	return offerError(field, what, err)
}

// offerError translates the refusals of what is sold. field names it in the request.
func offerError(field, what string, err error) error {
	if e, ok := errors.AsType[*checkout.SeatsError](err); ok {
		problem := e.Error()
		if e.Max == 0 {
			problem = "must not be set for a pack"
		}
		return invalid("seats", problem)
	}
	switch {
	case errors.Is(err, checkout.ErrUnknownOffer):
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, "There is no %s on sale. Ask ListPlans for those that are.", what).Field(field, "is not on sale")
	case errors.Is(err, checkout.ErrFree):
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "The %s is free: there is nothing to buy.", what).Field(field, "is free")
	case errors.Is(err, checkout.ErrNotYearly):
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "The %s is not sold by the year.", what).Field("interval", "is not offered for this plan")
	case errors.Is(err, checkout.ErrSubscribed):
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFLICT, "This account already has a subscription. Change it instead, or cancel it in the portal.").
			Field("planId", "cannot be bought while the account has a subscription")
	}
	return checkoutError(err)
}

func checkoutError(err error) error {
	switch {
	case errors.Is(err, checkout.ErrNotApplied):
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR,
			"Nothing is on sale: the plans were not applied to Stripe. The operator must run `trivet plans apply`.")
	case errors.Is(err, job.ErrBusy), errors.Is(err, job.ErrLost):
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, "Another purchase or change of this account is running. Please retry.").After(stripeRetry).Cause(err)
	}
	return stripeError(err)
}

// isReadError reports whether an error comes from a read of Stripe.
func isReadError(err error) bool {
	_, later := errors.AsType[*mirror.LaterError](err)
	_, silent := errors.AsType[*mirror.SilentError](err)
	return later || silent || errors.Is(err, mirror.ErrRefused)
}

// readError translates the error of a read of Stripe.
func readError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return publicRead(err)
}

func publicRead(err error) error {
	later, ok := errors.AsType[*mirror.LaterError](err)
	switch {
	case ok:
		return away(err, later.After)
	case errors.Is(err, mirror.ErrRefused):
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR, "Stripe rejected STRIPE_SECRET_KEY. Copy the key from the Stripe dashboard.").Cause(err)
	case errors.Is(err, ledger.ErrUnavailable):
		return Public(err)
	}
	return away(err, 0)
}

func toCheckout(s checkout.Session, applied bool) *billingv1.CheckoutSession {
	status, ok := billingv1.CheckoutStatus_value["CHECKOUT_STATUS_"+strings.ToUpper(s.Status)]
	if !ok {
		status = 0
	}
	return &billingv1.CheckoutSession{
		Id: s.ID, Url: s.URL, Status: billingv1.CheckoutStatus(status), ExpireTime: timestamppb.New(s.ExpireTime), Applied: applied,
	}
}

func fromInterval(i billingv1.BillingInterval) plans.Interval {
	if i == billingv1.BillingInterval_BILLING_INTERVAL_YEAR {
		return plans.Year
	}
	return plans.Month
}

func toInterval(i plans.Interval) billingv1.BillingInterval {
	if i == plans.Year {
		return billingv1.BillingInterval_BILLING_INTERVAL_YEAR
	}
	return billingv1.BillingInterval_BILLING_INTERVAL_MONTH
}

func toSubscription(st subscriptions.State) *billingv1.Subscription {
	out := &billingv1.Subscription{
		Id: st.SubscriptionID, PlanId: st.Plan.ID, PlanVersion: saturate.Int32(st.Plan.Version), Status: st.Status, Seats: saturate.Int32(st.Seats),
		Access:          billingv1.SubscriptionAccess(billingv1.SubscriptionAccess_value["SUBSCRIPTION_ACCESS_"+strings.ToUpper(string(st.Access))]),
		PeriodStartTime: timestamppb.New(st.PeriodStart), PeriodEndTime: timestamppb.New(st.PeriodEnd),
	}
	out.Interval = toInterval(st.Interval)
	if c := st.Scheduled; !c.Time.IsZero() {
		out.ScheduledChange = &billingv1.ScheduledChange{
			PlanId: c.Plan.ID, PlanVersion: saturate.Int32(c.Plan.Version), Interval: toInterval(c.Interval), Seats: saturate.Int32(c.Seats),
			EffectiveTime: timestamppb.New(c.Time),
		}
	}
	if !st.TrialEnd.IsZero() {
		out.TrialEndTime = timestamppb.New(st.TrialEnd)
	}
	if !st.CancelTime.IsZero() {
		out.CancelTime = timestamppb.New(st.CancelTime)
	}
	return out
}
