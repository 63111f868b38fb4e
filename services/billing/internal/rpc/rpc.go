// Package rpc answers trivet.billing.v1.BillingService: it translates, calls the domain, and translates back.
package rpc

import (
	"context"
	"time"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	statusv1 "github.com/trivet-dev/trivet/gen/go/trivet/status/v1"
	"github.com/trivet-dev/trivet/platform/inbox/inboxpb"
	"github.com/trivet-dev/trivet/platform/statuspb"
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
	// Status tells how Stripe is doing: "operational", "degraded", "down" or "unknown".
	Status func() string
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
	status   func() string

	webhooks   *webhook.Receiver
	events     inboxpb.Inbox
	reconciler *reconcile.Reconciler
}

// New makes a server.
func New(o Options) *Server {
	return &Server{
		ledger: o.Ledger, plans: o.Plans, eraser: o.Eraser, exporter: o.Exporter, now: o.Now, status: o.Status, webhooks: o.Webhooks, events: o.Events,
		reconciler: o.Reconciler,
	}
}

// GetStatus says how well Stripe works.
func (s *Server) GetStatus(context.Context, *billingv1.GetStatusRequest) (*billingv1.GetStatusResponse, error) {
	return &billingv1.GetStatusResponse{Provider: &statusv1.Health{Status: statuspb.Parse(s.status())}}, nil
}
