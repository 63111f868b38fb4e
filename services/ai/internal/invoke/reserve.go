package invoke

import (
	"context"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/callid"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/saturate"
	"github.com/trivet-dev/trivet/services/ai/internal/hold"
	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

const (
	// minOutput is the fewest output tokens that make a chat worth having.
	minOutput = 64
	// marginParts and marginTokens are the safety that is added to a counted input, one token in so many and a few: for
	// what cutting a text into blocks may save, and what the provider writes around messages, tools and calls.
	marginParts, marginTokens = 32, 48
	// worthwhile is the gain of output tokens, one in so many of those wanted, for which the input is counted.
	worthwhile = 20
	// exactText is how much of a request's text the tokenizer sees before the call, in bytes, some 50 ms of one
	// processor; the rest counts by bytes.
	exactText = 256 << 10
)

// reservation is a call's hold and what was learned on the way to it.
type reservation struct {
	hold *hold.Hold
	// input is the counted input; 0 when it was not counted exactly.
	input int64
	// guess is the input that a refused call counts for in the limits.
	guess int64
}

// reserving is a reservation on its way.
type reserving struct {
	invoker *Invoker
	req     *wire.Request
	model   models.Model
	ask     *billingv1.ReserveRequest
	reservation
	counted int64 // 0 when not counted
	fixed   bool  // a count of the request does not bound the input
}

// reserve holds the worst case. Bytes bound the input at no cost, too high by a factor of about four. Only an account
// that cannot afford that, or not the whole output with it, has the input counted by the tokenizer and is asked again.
func (i *Invoker) reserve(ctx context.Context, claims *passport.Claims, req *wire.Request, m models.Model, by once, p *priced) (reservation, error) {
	r := &reserving{invoker: i, req: req, model: m, ask: &billingv1.ReserveRequest{
		RequestId: callid.New(claims.AccountID, i.deps.Now()), AccountId: claims.AccountID, UserId: claims.UserID, ApiKeyId: claims.APIKeyID, Model: m.ID,
		ApiKeySpendLimitNanoUsd: claims.SpendLimitNanoUSD, ApiKeySpendPeriod: period(claims.SpendPeriodSeconds),
		InputTokens: saturate.Int32(req.InputBound(m)), MaxOutputTokens: saturate.Int32(wanted(req, m)), Choices: int32(req.Choices),
		IdempotencyKey: by.key, RequestDigest: by.digest, UserVerified: claims.Verified,
	}}
	if p != nil {
		p.reserve(r.ask)
	}
	if req.Media != nil {
		r.guess = p.guess(req, m)
		var err error
		r.hold, err = i.deps.Keeper.Open(ctx, r.ask)
		return r.reservation, err
	}
	r.fixed = len(req.Hosted) > 0 // what the tools find is input, too
	r.guess = min(req.InputBound(m), req.GuessInput(m))
	r.ask.ExpectedInputTokens = min(r.ask.GetInputTokens(), saturate.Int32(r.guess))
	err := r.run(ctx)
	return r.reservation, err
}

func (r *reserving) run(ctx context.Context) (err error) {
	ask := r.ask
	if !r.fixed && (r.req.Endpoint == wire.Chat || r.req.Endpoint == wire.Responses) && r.req.MaxOutput == 0 && int64(ask.GetInputTokens())+int64(ask.GetMaxOutputTokens()) > r.model.ContextTokens {
		// A default that does not fit beside a long conversation would be refused upstream, and the caller asked for none.
		r.useCount(ctx)
		if left := r.model.ContextTokens - int64(ask.GetInputTokens()); left >= minOutput {
			ask.MaxOutputTokens = min(ask.GetMaxOutputTokens(), saturate.Int32(left))
		}
	}
	ask.MinOutputTokens = min(ask.GetMaxOutputTokens(), minOutput)
	if unbounded(r.req, r.model) { // what the balance affords cannot be asked for
		ask.MinOutputTokens = ask.GetMaxOutputTokens()
	}
	r.hold, err = r.invoker.deps.Keeper.Open(ctx, ask)
	if r.fixed || r.counted > 0 || !countable(ask, r.hold, err) {
		return err
	}
	before := ask.GetInputTokens()
	r.useCount(ctx)
	if !gains(ask, r.model, r.hold, int64(before-ask.GetInputTokens())) {
		return err
	}
	if r.hold != nil {
		if done := r.hold.Settle(hold.Final{Outcome: billingv1.Outcome_OUTCOME_REPLACED}); !done.Settled && ask.GetIdempotencyKey() != "" {
			// Billing would take the second hold for a repetition of the first.
			return errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, "Billing did not answer in time. Please try again later.").After(time.Second)
		}
	}
	ask.RequestId = callid.New(ask.GetAccountId(), r.invoker.deps.Now())
	r.hold, err = r.invoker.deps.Keeper.Open(ctx, ask)
	return err
}

// useCount counts the input within the budget of a request and lowers the bound to the count, if that is lower.
func (r *reserving) useCount(ctx context.Context) {
	budget := r.invoker.deps.Counter.Budget(ctx, r.model.Vocabulary, exactText)
	defer budget.Close()
	r.counted = r.req.CountInput(r.model, budget)
	if budget.Exact() {
		r.input, r.guess = r.counted, r.counted
	}
	r.ask.InputTokens = min(r.ask.GetInputTokens(), saturate.Int32(withMargin(r.counted)))
	r.ask.ExpectedInputTokens = min(r.ask.GetInputTokens(), saturate.Int32(r.guess))
}

// consumed is what a refused call counts for in the limits of its account: the work of reading it.
func (r reservation) consumed(err error) int64 {
	switch errs.ReasonOf(err) {
	case errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, errorsv1.ErrorReason_ERROR_REASON_INTERNAL,
		errorsv1.ErrorReason_ERROR_REASON_DEADLINE_EXCEEDED, errorsv1.ErrorReason_ERROR_REASON_CONFIGURATION_ERROR:
		return 0
	default:
		return r.guess
	}
}

// countable reports whether a closer count of the input could change the reservation.
func countable(ask *billingv1.ReserveRequest, h *hold.Hold, err error) bool {
	if err == nil {
		return h.OutputTokens() < int64(ask.GetMaxOutputTokens())
	}
	e := errs.From(err)
	return e.Reason == errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE && !balanceExhausted(e)
}

// balanceExhausted reports whether billing said that nothing is left at all, of the balance or of the limit that refuses: no count could help then.
func balanceExhausted(e *errs.Error) bool {
	if left, err := strconv.ParseInt(e.Metadata["available_nano_usd"], 10, 64); err == nil {
		return left <= 0
	}
	balance, err1 := strconv.ParseInt(e.Metadata["balance_nano_usd"], 10, 64)
	held, err2 := strconv.ParseInt(e.Metadata["held_nano_usd"], 10, 64)
	return err1 == nil && err2 == nil && balance <= held
}

// gains reports whether the input tokens that a closer count saved make room for noticeably more output.
func gains(ask *billingv1.ReserveRequest, m models.Model, h *hold.Hold, saved int64) bool {
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
