// Package rpc implements trivet.billing.v1.BillingService: it translates requests, calls the domain, and translates results.
package rpc

import (
	"cmp"
	"context"
	"time"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	statusv1 "github.com/trivet-dev/trivet/gen/go/trivet/status/v1"
	"github.com/trivet-dev/trivet/platform/health"
	"github.com/trivet-dev/trivet/platform/inbox/inboxpb"
	"github.com/trivet-dev/trivet/platform/webhook"
	"github.com/trivet-dev/trivet/services/billing/internal/checkout"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/offers"
	"github.com/trivet-dev/trivet/services/billing/internal/overage"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
	"github.com/trivet-dev/trivet/services/billing/internal/reconcile"
)

// Options holds the dependencies of a Server.
type Options struct {
	Ledger *ledger.Ledger
	Plans  *plans.Catalog
	Eraser Eraser
	// Exporter reads the data of a person.
	Exporter Exporter
	Now      func() time.Time
	// Service and Stripe report the health of billing and of Stripe.
	Service *health.Service
	Stripe  func() *statusv1.Health
	// Integrations report the health of the other integrations that are on, by name.
	Integrations map[string]func() *statusv1.Health
	// Webhooks receives Stripe's webhooks, and Events shows them to operators.
	Webhooks *webhook.Receiver
	Events   inboxpb.Inbox
	// Reconciler and Applier are nil without a Stripe key.
	Reconciler *reconcile.Reconciler
	Applier    *offers.Applier
	// Entitlements answers from memory.
	Entitlements Entitlements
	// Checkout opens Stripe's pages; nil without a Stripe key.
	Checkout *checkout.Service
	// Origins says where Stripe may send people back to.
	Origins       checkout.Origins
	Subscriptions Subscriptions
	// Overage reads charges of overage.
	Overage Overages
	// Members keeps how many members organizations have.
	Members MemberCounts
	// TopUps is nil without a Stripe key.
	TopUps TopUps
	// Notices reads notices.
	Notices Notices
	// PayURLTime bounds the wait for Stripe's addresses of invoices: the list of notices is shown without them. Default a second.
	PayURLTime time.Duration
	// Customers forgets customers; nil without a Stripe key.
	Customers Forgetter
}

// Forgetter deletes what Stripe has of an account.
type Forgetter interface {
	Forget(ctx context.Context, accountID string) error
}

// Overages reads how the overage of accounts is charged.
type Overages interface {
	// OverageSums reads what the charges of an account come to, in nano-dollars, by state.
	OverageSums(ctx context.Context, accountID string) (map[overage.State]int64, error)
	// OveragePeriods reads at most limit periods of an account that have overage, newest first.
	OveragePeriods(ctx context.Context, accountID string, limit int) ([]overage.Period, error)
	// Charges lists at most limit charges of an account with ids below one, newest first. "" begins with the newest.
	Charges(ctx context.Context, accountID, before string, limit int) ([]overage.Charge, error)
}

// Entitlements knows the plans of accounts.
type Entitlements interface {
	// Plan returns the version of the plan that an account is on.
	Plan(ctx context.Context, accountID string) (plans.Plan, error)
}

// Server implements the RPCs. RPCs that are not built yet return Unimplemented.
type Server struct {
	billingv1.UnimplementedBillingServiceServer
	ledger   *ledger.Ledger
	plans    *plans.Catalog
	eraser   Eraser
	exporter Exporter
	now      func() time.Time

	service *health.Service
	stripe  func() *statusv1.Health
	// integrations are the other ones that are on.
	integrations map[string]func() *statusv1.Health
	webhooks     *webhook.Receiver
	events       inboxpb.Inbox
	reconciler   *reconcile.Reconciler

	applier      *offers.Applier
	entitlements Entitlements

	checkout      *checkout.Service
	origins       checkout.Origins
	subscriptions Subscriptions
	overage       Overages
	notices       Notices
	payURLTime    time.Duration
	customers     Forgetter
	topUps        TopUps
	members       MemberCounts
}

// New makes a server.
func New(o Options) *Server {
	return &Server{
		ledger: o.Ledger, plans: o.Plans, eraser: o.Eraser, exporter: o.Exporter, now: o.Now, service: o.Service, stripe: o.Stripe, integrations: o.Integrations, webhooks: o.Webhooks, events: o.Events,
		reconciler: o.Reconciler, applier: o.Applier, entitlements: o.Entitlements,
		checkout: o.Checkout, origins: o.Origins, subscriptions: o.Subscriptions, overage: o.Overage, notices: o.Notices, payURLTime: cmp.Or(o.PayURLTime, time.Second), customers: o.Customers, topUps: o.TopUps, members: o.Members,
	}
}

// GetStatus returns the health of billing, of Stripe, and of the other integrations that are on.
func (s *Server) GetStatus(ctx context.Context, _ *billingv1.GetStatusRequest) (*billingv1.GetStatusResponse, error) {
	own, err := s.service.Condition(ctx)
	if err != nil {
		return nil, err
	}
	others := map[string]*statusv1.Health{}
	for name, condition := range s.integrations {
		others[name] = condition()
	}
	return &billingv1.GetStatusResponse{Service: own, Provider: s.stripe(), Integrations: others}, nil
}
