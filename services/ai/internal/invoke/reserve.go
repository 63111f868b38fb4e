package invoke

import (
	"context"
	"strconv"

	"google.golang.org/protobuf/types/known/durationpb"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/requestid"
	"github.com/trivet-dev/trivet/platform/saturate"
	"github.com/trivet-dev/trivet/services/ai/internal/hold"
	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

const (
	// minOutput is the fewest output tokens that make a chat worth having.
	minOutput = 64
	// marginParts is the safety added to a counted input: one in so many tokens, and a few.
	marginParts, marginTokens = 32, 16
	// worthwhile is the gain of output tokens, one in so many of those wanted, for which the input is counted.
	worthwhile = 20
)

// reserve holds the worst case. Bytes bound the input at no cost, too high by a factor of about four. Only an account
// that can't afford that, or not the whole output with it, has the input counted by the tokenizer and is asked again.
// It returns the input tokens as far as they are known: 0 when they were not counted.
func (i *Invoker) reserve(ctx context.Context, claims *passport.Claims, req *wire.Request, m models.Model) (*hold.Hold, int64, error) {
	ask := &billingv1.ReserveRequest{
		RequestId: requestid.New(), AccountId: claims.AccountID, UserId: claims.UserID, ApiKeyId: claims.APIKeyID, Model: m.ID,
		ApiKeySpendLimitNanoUsd: claims.SpendLimitNanoUSD, ApiKeySpendPeriod: period(claims.SpendPeriodSeconds),
		InputTokens: saturate.Int32(req.InputBound(m)), MaxOutputTokens: saturate.Int32(wanted(req, m)), Choices: int32(req.Choices),
	}
	ask.ExpectedInputTokens = min(ask.GetInputTokens(), saturate.Int32(req.GuessInput(m)))
	var counted int64
	if req.Endpoint == wire.Chat && req.MaxOutput == 0 && int64(ask.GetInputTokens())+int64(ask.GetMaxOutputTokens()) > m.ContextTokens {
		// A default that does not fit beside a long conversation would be refused upstream, and the caller asked for none.
		counted = req.CountInput(m, i.Counter)
		ask.InputTokens = min(ask.GetInputTokens(), saturate.Int32(withMargin(counted)))
		if left := m.ContextTokens - int64(ask.GetInputTokens()); left >= minOutput {
			ask.MaxOutputTokens = min(ask.GetMaxOutputTokens(), saturate.Int32(left))
		}
	}
	ask.MinOutputTokens = min(ask.GetMaxOutputTokens(), minOutput)
	h, err := i.Keeper.Open(ctx, ask)
	if counted > 0 || !countable(ask, h, err) {
		return h, counted, err
	}
	counted = req.CountInput(m, i.Counter)
	closer := withMargin(counted)
	if !gains(ask, m, h, closer) {
		return h, counted, err
	}
	if h != nil {
		h.Settle(hold.Final{Outcome: billingv1.Outcome_OUTCOME_COMPLETED})
	}
	ask.RequestId, ask.InputTokens, ask.ExpectedInputTokens = requestid.New(), saturate.Int32(closer), saturate.Int32(min(closer, counted))
	h, err = i.Keeper.Open(ctx, ask)
	return h, counted, err
}

// countable reports whether a closer count of the input could change what came of the reservation.
func countable(ask *billingv1.ReserveRequest, h *hold.Hold, err error) bool {
	if err == nil {
		return h.OutputTokens() < int64(ask.GetMaxOutputTokens())
	}
	e := errs.From(err)
	return e.Reason == errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE && !broke(e)
}

// broke reports whether billing said that there is nothing left at all: counting would be work for nobody.
func broke(e *errs.Error) bool {
	balance, err1 := strconv.ParseInt(e.Metadata["balance_nano_usd"], 10, 64)
	held, err2 := strconv.ParseInt(e.Metadata["held_nano_usd"], 10, 64)
	return err1 == nil && err2 == nil && balance <= held
}

// gains reports whether the closer count makes room for noticeably more output.
func gains(ask *billingv1.ReserveRequest, m models.Model, h *hold.Hold, closer int64) bool {
	saved := int64(ask.GetInputTokens()) - closer
	if saved <= 0 || h == nil {
		return saved > 0
	}
	cost, err := m.Cost(saved, 0, 0)
	if err != nil {
		return true
	}
	wanted := int64(ask.GetMaxOutputTokens())
	return m.AffordableOutput(0, cost, wanted) > wanted/worthwhile
}

func withMargin(counted int64) int64 { return counted + counted/marginParts + marginTokens }

// period is an API key's own period, or nil when the account's counts.
func period(seconds int64) *durationpb.Duration {
	if seconds <= 0 {
		return nil
	}
	return &durationpb.Duration{Seconds: seconds}
}
