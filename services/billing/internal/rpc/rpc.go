// Package rpc answers trivet.billing.v1.BillingService: it translates, calls the domain, and translates back.
package rpc

import (
	"context"
	"time"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	statusv1 "github.com/trivet-dev/trivet/gen/go/trivet/status/v1"
	"github.com/trivet-dev/trivet/platform/health"
	"github.com/trivet-dev/trivet/platform/inbox/inboxpb"
	"github.com/trivet-dev/trivet/platform/webhook"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
	"github.com/trivet-dev/trivet/services/billing/internal/reconcile"
)

// Options are what a Server works with.
type Options struct {
	Ledger *ledger.Ledger
	Plans  *plans.Catalog
	Eraser Eraser
	// Exporter finds what is stored about a person.
	Exporter Exporter
	Now      func() time.Time
	// Service and Stripe report how billing itself and Stripe are doing.
	Service *health.Service
	Stripe  func() *statusv1.Health
	// Webhooks takes Stripe's, and Events shows them to operators.
	Webhooks *webhook.Receiver
	Events   inboxpb.Inbox
	// Reconciler is nil without a key to Stripe.
	Reconciler *reconcile.Reconciler
}

// Server answers the RPCs. Those of later issues answer Unimplemented.
type Server struct {
	billingv1.UnimplementedBillingServiceServer
	ledger   *ledger.Ledger
	plans    *plans.Catalog
	eraser   Eraser
	exporter Exporter
	now      func() time.Time

	service    *health.Service
	stripe     func() *statusv1.Health
	webhooks   *webhook.Receiver
	events     inboxpb.Inbox
	reconciler *reconcile.Reconciler
}

// New makes a server.
func New(o Options) *Server {
	return &Server{
		ledger: o.Ledger, plans: o.Plans, eraser: o.Eraser, exporter: o.Exporter, now: o.Now, service: o.Service, stripe: o.Stripe, webhooks: o.Webhooks, events: o.Events,
		reconciler: o.Reconciler,
	}
}

// GetStatus says how well billing and Stripe work.
func (s *Server) GetStatus(ctx context.Context, _ *billingv1.GetStatusRequest) (*billingv1.GetStatusResponse, error) {
	own, err := s.service.Condition(ctx)
	if err != nil {
		return nil, err
	}
	return &billingv1.GetStatusResponse{Service: own, Provider: s.stripe()}, nil
}
