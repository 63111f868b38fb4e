package allinone

import (
	"context"
	"errors"

	"google.golang.org/grpc"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/grpcserver"
)

// billingCalls is ai's client of billing. The RPCs that every model call needs are plain function calls; the others use the
// in-process connection.
type billingCalls struct {
	billingv1.BillingServiceClient

	reserve      grpcserver.Unary[billingv1.ReserveRequest, billingv1.ReserveResponse]
	checkpoint   grpcserver.Unary[billingv1.CheckpointRequest, billingv1.CheckpointResponse]
	settle       grpcserver.Unary[billingv1.SettleRequest, billingv1.SettleResponse]
	entitlements grpcserver.Unary[billingv1.GetEntitlementsRequest, billingv1.GetEntitlementsResponse]
}

// newBillingCalls makes the client. Billing must be registered already.
func newBillingCalls(server *grpcserver.Server, rest grpc.ClientConnInterface) (*billingCalls, error) {
	billing, err := grpcserver.Implementation[billingv1.BillingServiceServer](server, billingv1.BillingService_ServiceDesc.ServiceName)
	if err != nil {
		return nil, err
	}
	const caller = "ai"
	c := &billingCalls{BillingServiceClient: billingv1.NewBillingServiceClient(rest)}
	var wrong [4]error
	c.reserve, wrong[0] = grpcserver.Internal(server, caller, billingv1.BillingService_Reserve_FullMethodName, billing.Reserve)
	c.checkpoint, wrong[1] = grpcserver.Internal(server, caller, billingv1.BillingService_Checkpoint_FullMethodName, billing.Checkpoint)
	c.settle, wrong[2] = grpcserver.Internal(server, caller, billingv1.BillingService_Settle_FullMethodName, billing.Settle)
	c.entitlements, wrong[3] = grpcserver.Internal(server, caller, billingv1.BillingService_GetEntitlements_FullMethodName, billing.GetEntitlements)
	return c, errors.Join(wrong[:]...)
}

// relayCall returns the edge's client of AIService.Relay. ai must be registered already.
func relayCall(server *grpcserver.Server) (grpcserver.Stream[aiv1.RelayRequest, aiv1.RelayResponse], error) {
	ai, err := grpcserver.Implementation[aiv1.AIServiceServer](server, aiv1.AIService_ServiceDesc.ServiceName)
	if err != nil {
		return nil, err
	}
	return grpcserver.User(server, aiv1.AIService_Relay_FullMethodName, ai.Relay)
}

// Reserve implements billingv1.BillingServiceClient.
func (c *billingCalls) Reserve(ctx context.Context, in *billingv1.ReserveRequest, _ ...grpc.CallOption) (*billingv1.ReserveResponse, error) {
	return c.reserve(ctx, in)
}

// Checkpoint implements billingv1.BillingServiceClient.
func (c *billingCalls) Checkpoint(ctx context.Context, in *billingv1.CheckpointRequest, _ ...grpc.CallOption) (*billingv1.CheckpointResponse, error) {
	return c.checkpoint(ctx, in)
}

// Settle implements billingv1.BillingServiceClient.
func (c *billingCalls) Settle(ctx context.Context, in *billingv1.SettleRequest, _ ...grpc.CallOption) (*billingv1.SettleResponse, error) {
	return c.settle(ctx, in)
}

// GetEntitlements implements billingv1.BillingServiceClient.
func (c *billingCalls) GetEntitlements(
	ctx context.Context, in *billingv1.GetEntitlementsRequest, _ ...grpc.CallOption,
) (*billingv1.GetEntitlementsResponse, error) {
	return c.entitlements(ctx, in)
}
