package rpc

import (
	"context"
	"math"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"google.golang.org/protobuf/types/known/timestamppb"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/saturate"
	"github.com/trivet-dev/trivet/platform/tracing"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
)

// Reserve holds the worst-case cost of a call.
func (s *Server) Reserve(ctx context.Context, r *billingv1.ReserveRequest) (*billingv1.ReserveResponse, error) {
	limit, err := keyLimit(r)
	if err != nil {
		return nil, err
	}
	hold, err := s.ledger.Reserve(ctx, ledger.Reservation{
		KeyLimit:  limit,
		RequestID: r.GetRequestId(), AccountID: r.GetAccountId(), UserID: r.GetUserId(), APIKeyID: r.GetApiKeyId(), Model: r.GetModel(),
		InputTokens: int64(r.GetInputTokens()), ExpectedInputTokens: int64(r.GetExpectedInputTokens()),
		MinOutputTokens: int64(r.GetMinOutputTokens()), MaxOutputTokens: int64(r.GetMaxOutputTokens()),
		Choices: int64(r.GetChoices()), Once: ledger.Once{Key: r.GetIdempotencyKey(), RequestDigest: r.GetRequestDigest()},
		Pricing: fromPricing(r.GetPricing()), Verified: r.GetUserVerified(),
	})
	if err != nil {
		return nil, Public(err)
	}
	return &billingv1.ReserveResponse{
		HoldId: hold.ID, HeldNanoUsd: hold.Amount, OutputTokens: saturate.Int32(hold.OutputTokens), ExpireTime: timestamppb.New(hold.LeaseTime),
		Priced: r.GetPricing() != nil,
	}, nil
}

// The bounds of the window of an API key's spend limit.
const (
	minKeyPeriod = time.Minute
	maxKeyPeriod = 366 * 24 * time.Hour
)

func keyLimit(r *billingv1.ReserveRequest) (ledger.KeyLimit, error) {
	limit := ledger.KeyLimit{Amount: r.GetApiKeySpendLimitNanoUsd()}
	if p := r.GetApiKeySpendPeriod(); p != nil {
		limit.Period = p.AsDuration()
		if p.CheckValid() != nil || limit.Period < minKeyPeriod || limit.Period > maxKeyPeriod || limit.Period%time.Second != 0 {
			return ledger.KeyLimit{}, invalid("apiKeySpendPeriod", "must be whole seconds, from one minute to 366 days")
		}
	}
	return limit, nil
}

// Checkpoint records what a running call has used.
func (s *Server) Checkpoint(ctx context.Context, r *billingv1.CheckpointRequest) (*billingv1.CheckpointResponse, error) {
	lease, err := s.ledger.Checkpoint(ctx, r.GetHoldId(), fromUsage(r.GetUsage()), r.GetCostNanoUsd())
	if err != nil {
		return nil, Public(err)
	}
	return &billingv1.CheckpointResponse{ExpireTime: timestamppb.New(lease)}, nil
}

// Settle charges what a call used.
func (s *Server) Settle(ctx context.Context, r *billingv1.SettleRequest) (*billingv1.SettleResponse, error) {
	outcome, err := fromOutcome(r.GetOutcome())
	if err != nil {
		return nil, err
	}
	end, err := s.ledger.Settle(ctx, ledger.Settlement{
		HoldID: r.GetHoldId(), Usage: fromUsage(r.GetUsage()), Outcome: outcome, Estimated: r.GetEstimated(),
		ProviderRequestID: r.GetProviderRequestId(), Priced: r.CostNanoUsd != nil, PricedCost: r.GetCostNanoUsd(),
		CallLog: ledger.CallLog{
			Target: r.GetTarget(), ServedModel: r.GetServedModel(), ErrorCode: r.GetErrorCode(), HTTPRequestID: r.GetHttpRequestId(),
			Latency: micros(r.GetLatencyMicros()), FirstByte: micros(r.GetFirstByteMicros()), Details: writeDetails(r.GetDetails()),
		},
	})
	if err != nil {
		return nil, Public(err)
	}
	if span := tracing.Current(ctx); span.On() { // also of a settlement that ai no longer waits for
		span.Set(attribute.Int64("trivet.cost_nano_usd", end.Cost), attribute.String("trivet.hold_id", r.GetHoldId()))
	}
	return &billingv1.SettleResponse{CostNanoUsd: end.Cost, BalanceNanoUsd: end.BalanceAfter}, nil
}

// maxMicros is what a time.Duration can hold.
const maxMicros = math.MaxInt64 / int64(time.Microsecond)

func micros(n int64) time.Duration { return time.Duration(min(n, maxMicros)) * time.Microsecond }

func fromOutcome(o billingv1.Outcome) (ledger.Outcome, error) {
	switch o {
	case billingv1.Outcome_OUTCOME_COMPLETED:
		return ledger.OutcomeCompleted, nil
	case billingv1.Outcome_OUTCOME_CALLER_LEFT:
		return ledger.OutcomeCallerLeft, nil
	case billingv1.Outcome_OUTCOME_UPSTREAM_FAILED:
		return ledger.OutcomeUpstreamFailed, nil
	case billingv1.Outcome_OUTCOME_ABANDONED:
		return ledger.OutcomeAbandoned, nil
	case billingv1.Outcome_OUTCOME_REPLACED:
		return ledger.OutcomeReplaced, nil
	case billingv1.Outcome_OUTCOME_UNSPECIFIED, billingv1.Outcome_OUTCOME_REFUSED: // Settle refuses these
	}
	return "", invalid("outcome", "is required: it says how the call ended")
}
