package billing_test

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	usagev1 "github.com/trivet-dev/trivet/gen/go/trivet/usage/v1"
	"github.com/trivet-dev/trivet/platform/connect"
	"github.com/trivet-dev/trivet/platform/peer"
)

// side says what an RPC does while Stripe is down.
type side bool

const (
	// works answers from what Trivet has.
	works side = false
	// waits says 503, and when to try again.
	waits side = true
)

// duringOutage is one RPC. call makes it once, with all that it needs.
type duringOutage struct {
	side side
	call func(h *fixture, made *madeBefore) error
}

// madeBefore is what exists when Stripe goes down.
type madeBefore struct{ session, preview, hold, request, address string }

// called drops the answer of an RPC.
func called[Req, Res any](ctx context.Context, f func(context.Context, *Req, ...grpc.CallOption) (*Res, error), r *Req) error {
	_, err := f(ctx, r)
	return err
}

// drained reads a stream to its end.
func drained[Res any](stream grpc.ServerStreamingClient[Res], err error) error {
	for err == nil {
		_, err = stream.Recv()
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// outageTable has each RPC of billing. A new RPC must be added.
func outageTable() map[string]duringOutage {
	gateway := func(h *fixture) billingv1.BillingServiceClient { return h.from("gateway") }
	ai := func(h *fixture) billingv1.BillingServiceClient { return h.from("ai") }
	auth := func(h *fixture) billingv1.BillingServiceClient { return h.from("auth") }
	return map[string]duringOutage{
		"Reserve": {works, func(h *fixture, _ *madeBefore) error {
			return called(h.t.Context(), ai(h).Reserve, reserve("req_during", "org_1", "user_member"))
		}},
		"Checkpoint": {works, func(h *fixture, m *madeBefore) error {
			return called(h.t.Context(), ai(h).Checkpoint, &billingv1.CheckpointRequest{HoldId: m.hold, Usage: &usagev1.CallUsage{InputTokens: 800, OutputTokens: 500}})
		}},
		"Settle": {works, func(h *fixture, _ *madeBefore) error {
			hold, err := ai(h).Reserve(h.t.Context(), reserve("req_during_2", "org_1", "user_member"))
			if err != nil {
				return err
			}
			return called(h.t.Context(), ai(h).Settle, &billingv1.SettleRequest{
				HoldId: hold.GetHoldId(), Usage: &usagev1.CallUsage{InputTokens: 800, OutputTokens: 500}, Outcome: billingv1.Outcome_OUTCOME_COMPLETED,
			})
		}},
		"Batch": {works, batchOnce},
		"GetEntitlements": {works, func(h *fixture, _ *madeBefore) error {
			return called(h.t.Context(), ai(h).GetEntitlements, &billingv1.GetEntitlementsRequest{AccountId: "org_1"})
		}},
		"GetAccount": {works, func(h *fixture, _ *madeBefore) error {
			return called(h.as(admin), gateway(h).GetAccount, &billingv1.GetAccountRequest{})
		}},
		"GetUsage": {works, func(h *fixture, _ *madeBefore) error {
			return called(h.as(admin), gateway(h).GetUsage, &billingv1.GetUsageRequest{})
		}},
		"ExportUsage": {works, func(h *fixture, _ *madeBefore) error {
			return drained(gateway(h).ExportUsage(h.as(admin), &billingv1.ExportUsageRequest{}))
		}},
		"ListRequests": {works, func(h *fixture, _ *madeBefore) error {
			return called(h.as(admin), gateway(h).ListRequests, &billingv1.ListRequestsRequest{})
		}},
		"GetRequest": {works, func(h *fixture, m *madeBefore) error {
			return called(h.as(admin), gateway(h).GetRequest, &billingv1.GetRequestRequest{Id: m.request})
		}},
		"RecordRequests": {works, func(h *fixture, _ *madeBefore) error {
			return called(h.t.Context(), ai(h).RecordRequests, &billingv1.RecordRequestsRequest{BatchId: "batch_during", Requests: []*billingv1.RefusedRequest{{
				Id: "call_1", AccountId: "org_1", EndTime: timestamppb.New(h.Now()),
			}}})
		}},
		"ListEntries": {works, func(h *fixture, _ *madeBefore) error {
			return called(h.as(admin), gateway(h).ListEntries, &billingv1.ListEntriesRequest{})
		}},
		"GetOverage": {works, func(h *fixture, _ *madeBefore) error {
			return called(h.as(admin), gateway(h).GetOverage, &billingv1.GetOverageRequest{})
		}},
		"ListSpendLimits": {works, func(h *fixture, _ *madeBefore) error {
			return called(h.as(admin), gateway(h).ListSpendLimits, &billingv1.ListSpendLimitsRequest{})
		}},
		"SetSpendLimit": {works, func(h *fixture, _ *madeBefore) error {
			return called(h.as(admin), gateway(h).SetSpendLimit, monthlyLimit())
		}},
		"DeleteSpendLimit": {works, func(h *fixture, _ *madeBefore) error {
			made, err := gateway(h).SetSpendLimit(h.as(admin), monthlyLimit())
			if err != nil {
				return err
			}
			return called(h.as(admin), gateway(h).DeleteSpendLimit, &billingv1.DeleteSpendLimitRequest{Id: made.GetSpendLimit().GetId()})
		}},
		"ListPlans": {works, func(h *fixture, _ *madeBefore) error {
			return called(h.t.Context(), gateway(h).ListPlans, &billingv1.ListPlansRequest{})
		}},
		"ListEntitlements": {works, func(h *fixture, _ *madeBefore) error {
			return called(h.as(admin), gateway(h).ListEntitlements, &billingv1.ListEntitlementsRequest{})
		}},
		"CheckEntitlement": {works, func(h *fixture, _ *madeBefore) error {
			return called(h.as(admin), gateway(h).CheckEntitlement, &billingv1.CheckEntitlementRequest{Feature: "api_keys"})
		}},
		"CreateGrant": {works, func(h *fixture, _ *madeBefore) error {
			return called(h.as(operator), gateway(h).CreateGrant, &billingv1.CreateGrantRequest{AccountId: "org_1", Source: "during", AmountNanoUsd: 1})
		}},
		"GetSubscription": {works, func(h *fixture, _ *madeBefore) error {
			return called(h.as(admin), gateway(h).GetSubscription, &billingv1.GetSubscriptionRequest{})
		}},
		"GetTopUp": {works, func(h *fixture, _ *madeBefore) error {
			return called(h.as(admin), gateway(h).GetTopUp, &billingv1.GetTopUpRequest{})
		}},
		"SetTopUp": {works, func(h *fixture, _ *madeBefore) error {
			return called(h.as(admin), gateway(h).SetTopUp, &billingv1.SetTopUpRequest{Enabled: true, PackId: "credit_20", MonthlyCapNanoUsd: 40_000_000_000})
		}},
		"ListNotices": {works, func(h *fixture, _ *madeBefore) error {
			return called(h.as(admin), gateway(h).ListNotices, &billingv1.ListNoticesRequest{})
		}},
		"ListPlanVersions": {works, func(h *fixture, _ *madeBefore) error {
			return called(h.as(operator), gateway(h).ListPlanVersions, &billingv1.ListPlanVersionsRequest{})
		}},
		"SetMemberCount": {works, func(h *fixture, _ *madeBefore) error {
			return called(h.t.Context(), auth(h).SetMemberCount, &billingv1.SetMemberCountRequest{OrganizationId: "org_1", Members: 2, Sequence: 1})
		}},
		"ExportUser": {works, func(h *fixture, _ *madeBefore) error {
			return called(h.t.Context(), auth(h).ExportUser, &billingv1.ExportUserRequest{UserId: "user_alice"})
		}},
		"GetStatus": {works, func(h *fixture, _ *madeBefore) error {
			return called(h.t.Context(), gateway(h).GetStatus, &billingv1.GetStatusRequest{})
		}},
		"ReceiveWebhook": {works, func(h *fixture, _ *madeBefore) error {
			_, err := h.deliver(webhookSecret, hint("evt_during", "customer.updated", "customer", "cus_1"))
			return err
		}},
		"ListEvents": {works, func(h *fixture, _ *madeBefore) error {
			return called(h.as(operator), gateway(h).ListEvents, &billingv1.ListEventsRequest{})
		}},
		"GetEvent": {works, func(h *fixture, _ *madeBefore) error {
			return called(h.as(operator), gateway(h).GetEvent, &billingv1.GetEventRequest{EventId: "evt_before"})
		}},
		"RedriveEvents": {works, func(h *fixture, _ *madeBefore) error {
			return called(h.as(operator), gateway(h).RedriveEvents, &billingv1.RedriveEventsRequest{AllDead: true})
		}},

		"CreateCheckoutSession": {waits, func(h *fixture, _ *madeBefore) error {
			return called(h.as(admin), gateway(h).CreateCheckoutSession, purchase("", "credit_20"))
		}},
		"GetCheckoutSession": {waits, func(h *fixture, m *madeBefore) error {
			return called(h.as(admin), gateway(h).GetCheckoutSession, &billingv1.GetCheckoutSessionRequest{CheckoutSessionId: m.session})
		}},
		"CreatePortalSession": {waits, func(h *fixture, _ *madeBefore) error {
			return called(h.as(admin), gateway(h).CreatePortalSession, &billingv1.CreatePortalSessionRequest{ReturnUrl: "https://app.example.com/billing"})
		}},
		"PreviewSubscriptionChange": {waits, func(h *fixture, _ *madeBefore) error {
			_, err := h.preview("team", 1, month)
			return err
		}},
		"ChangeSubscription": {waits, func(h *fixture, m *madeBefore) error {
			return called(h.as(admin), gateway(h).ChangeSubscription, &billingv1.ChangeSubscriptionRequest{PreviewId: m.preview})
		}},
		"CancelSubscription": {waits, func(h *fixture, _ *madeBefore) error {
			return called(h.as(admin), gateway(h).CancelSubscription, &billingv1.CancelSubscriptionRequest{})
		}},
		"ResumeSubscription": {waits, func(h *fixture, _ *madeBefore) error {
			return called(h.as(admin), gateway(h).ResumeSubscription, &billingv1.ResumeSubscriptionRequest{})
		}},
		"ListInvoices": {waits, func(h *fixture, _ *madeBefore) error {
			return called(h.as(admin), gateway(h).ListInvoices, &billingv1.ListInvoicesRequest{})
		}},
		"ApplyPlans": {waits, func(h *fixture, _ *madeBefore) error {
			return called(h.as(operator), gateway(h).ApplyPlans, &billingv1.ApplyPlansRequest{PlanFile: []byte(outageFile)})
		}},
		"MigratePlan": {waits, func(h *fixture, _ *madeBefore) error {
			return called(h.as(operator), gateway(h).MigratePlan, &billingv1.MigratePlanRequest{From: "pro@1", To: "pro@2"})
		}},
		"EraseUser": {waits, func(h *fixture, _ *madeBefore) error {
			return called(h.t.Context(), auth(h).EraseUser, &billingv1.EraseUserRequest{UserId: "user_alice"})
		}},
		"Reconcile": {waits, func(h *fixture, _ *madeBefore) error {
			_, err := h.reconcile(&billingv1.ReconcileRequest{})
			return err
		}},
	}
}

const outageFile = `
plans:
  - {id: free, name: Free, price: "0.00", included_credit: "5.00"}
  - {id: pro, name: Pro, price: "20.00", included_credit: "25.00", features: [api_keys], auto_top_up: {monthly_cap: "100.00"}}
  - {id: team, name: Team, price: "100.00", included_credit: "130.00", seats: {min: 1, max: 5}}
packs:
  - {id: credit_20, name: $20 of credit, price: "20.00", credit: "21.00"}
`

func monthlyLimit() *billingv1.SetSpendLimitRequest {
	return &billingv1.SetSpendLimitRequest{UserId: "user_member", Window: billingv1.SpendWindow_SPEND_WINDOW_MONTH, LimitNanoUsd: 9_000_000_000}
}

// batchOnce makes one call on a stream of calls, as another process does.
func batchOnce(h *fixture, m *madeBefore) error {
	request, err := proto.Marshal(&billingv1.GetEntitlementsRequest{AccountId: "org_1"})
	require.NoError(h.t, err)
	prover, err := peer.NewProver("ai", secret, time.Now)
	require.NoError(h.t, err)
	conn, err := connect.Dial(m.address, prover, nil)
	require.NoError(h.t, err)
	defer func() { require.NoError(h.t, conn.Close()) }()
	ctx, cancel := context.WithCancel(h.t.Context())
	defer cancel()
	stream, err := billingv1.NewBillingServiceClient(conn).Batch(ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(&billingv1.BatchRequest{Calls: []*billingv1.BatchedCall{{Id: 1, Method: "GetEntitlements", Request: request}}}); err != nil {
		return err
	}
	for {
		response, err := stream.Recv()
		if err != nil {
			return err
		}
		for _, a := range response.GetAnswers() {
			return status.Error(codes.Code(uint32(a.GetCode())), a.GetMessage()) // nil for 0
		}
	}
}
