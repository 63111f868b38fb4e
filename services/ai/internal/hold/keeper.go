// Package hold keeps the holds of running calls: each is opened once, renewed while its call runs, and settled exactly
// once, whatever happens to the call.
package hold

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/tracing"
	"github.com/trivet-dev/trivet/platform/wait"
	"github.com/trivet-dev/trivet/platform/warm"
)

const (
	// reserveTimeout bounds the wait for a hold.
	reserveTimeout = 5 * time.Second
	// settleWait is how long a call waits for its settlement before it continues in the background.
	settleWait = 2 * time.Second
	// attemptTimeout bounds one attempt in the background.
	attemptTimeout = 5 * time.Second
	// checkpointEvery is how often a running call's usage is written down.
	checkpointEvery = 2 * time.Second
	// maxPending bounds the settlements in the background. One that finds no room is left to billing's sweeper, which
	// settles the hold at its last checkpoint.
	maxPending = 16_384
)

// Ledger is the part of BillingService that holds need.
type Ledger interface {
	Reserve(context.Context, *billingv1.ReserveRequest, ...grpc.CallOption) (*billingv1.ReserveResponse, error)
	Checkpoint(context.Context, *billingv1.CheckpointRequest, ...grpc.CallOption) (*billingv1.CheckpointResponse, error)
	Settle(context.Context, *billingv1.SettleRequest, ...grpc.CallOption) (*billingv1.SettleResponse, error)
	RecordRequests(context.Context, *billingv1.RecordRequestsRequest, ...grpc.CallOption) (*billingv1.RecordRequestsResponse, error)
}

// Keeper owns the holds of this process and the work that outlives their calls. Run must run.
type Keeper struct {
	ledger Ledger
	log    *slog.Logger
	now    func() time.Time

	pending  chan settlement
	inHand   atomic.Int64   // settlements that a worker tries
	settling sync.WaitGroup // calls of billing that settle; their callers may have stopped waiting
	tasks    warm.Pool      // has the goroutines of calls and settlements

	refused chan *billingv1.RefusedRequest
	dropped atomic.Int64
	unsent  *billingv1.RecordRequestsRequest // what Run leaves to Drain

	mu   sync.Mutex
	open map[*Hold]struct{}
}

// NewKeeper returns a keeper of holds in that ledger.
func NewKeeper(ledger Ledger, log *slog.Logger, now func() time.Time) *Keeper {
	return &Keeper{
		ledger: ledger, log: log, now: now, pending: make(chan settlement, maxPending), refused: make(chan *billingv1.RefusedRequest, maxRefused),
		open: map[*Hold]struct{}{},
	}
}

// Open reserves. Its error is an *errs.Error, such as INSUFFICIENT_BALANCE; nothing is held then. Every Hold must be
// settled: defer Close right away. The reservation does not end with ctx, because it would then be unknown whether the
// hold exists; it has a timeout of its own.
func (k *Keeper) Open(ctx context.Context, req *billingv1.ReserveRequest) (*Hold, error) {
	traced, span := tracing.Start(ctx, "reserve", tracing.Internal)
	res, unknown, err := k.reserve(traced, req)
	describeReserve(span, req, res, err)
	if err != nil {
		if unknown {
			k.release(ctx, req)
		}
		return nil, BillingError(err)
	}
	h := &Hold{keeper: k, ctx: context.WithoutCancel(ctx), id: res.GetHoldId(), input: int64(req.GetInputTokens()), output: int64(res.GetOutputTokens()), touched: k.now()}
	k.mu.Lock()
	k.open[h] = struct{}{}
	k.mu.Unlock()
	if req.GetPricing() != nil && !res.GetPriced() {
		return nil, k.tooOld(ctx, h)
	}
	return h, nil
}

// tooOld releases the hold of a billing that ignores pricing: it would settle the call by its tokens alone.
func (k *Keeper) tooOld(ctx context.Context, h *Hold) error {
	k.log.ErrorContext(ctx, "billing is older than ai and cannot price this call; update billing first", slog.String("hold_id", h.id))
	h.Settle(Final{Outcome: billingv1.Outcome_OUTCOME_REPLACED})
	return errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, "Billing cannot price this call yet. Please try again later.").After(time.Second)
}

// unknownOutcome reports whether a call of billing may have taken effect although it failed.
func unknownOutcome(err error) bool {
	switch errs.From(err).Reason {
	case errorsv1.ErrorReason_ERROR_REASON_DEADLINE_EXCEEDED, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE,
		errorsv1.ErrorReason_ERROR_REASON_CANCELLED, errorsv1.ErrorReason_ERROR_REASON_INTERNAL:
		return true
	default:
		return false
	}
}

// reserve retries once when billing is unavailable; the request's id makes that safe. With an error, unknown tells whether billing may have made the hold
// or may still make it: a refusal of the second attempt is not the result of the first.
func (k *Keeper) reserve(ctx context.Context, req *billingv1.ReserveRequest) (res *billingv1.ReserveResponse, unknown bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reserveTimeout)
	defer cancel()
	res, err = k.ledger.Reserve(ctx, req)
	if !unavailable(err) {
		return res, err != nil && unknownOutcome(err), err
	}
	if wait.For(ctx, firstDelay) != nil {
		return nil, true, err
	}
	res, err = k.ledger.Reserve(ctx, req)
	return res, err != nil, err
}

// BillingError is the *errs.Error for a call of billing that failed. Trivet sets the deadline of such calls, so one that
// passes means that billing is unavailable.
func BillingError(err error) *errs.Error {
	e := errs.From(err)
	if e.Reason == errorsv1.ErrorReason_ERROR_REASON_DEADLINE_EXCEEDED {
		return errs.New(errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, "Billing did not answer in time. Please try again later.").
			After(time.Second).Cause(err)
	}
	return e
}

// Running returns how many holds are open, and Pending how many settlements wait in the background.
func (k *Keeper) Running() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.open)
}

// Pending returns how many settlements wait in the background, those that a worker tries again included.
func (k *Keeper) Pending() int { return len(k.pending) + int(k.inHand.Load()) }

// Go runs a part of a call in a goroutine of its own, which serves another call afterwards while Run runs. The caller waits for it.
func (k *Keeper) Go(part func()) { k.tasks.Go(part) }

func (k *Keeper) forget(h *Hold) {
	k.mu.Lock()
	delete(k.open, h)
	k.mu.Unlock()
}
