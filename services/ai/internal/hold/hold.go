package hold

import (
	"context"
	"sync"
	"time"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	usagev1 "github.com/trivet-dev/trivet/gen/go/trivet/usage/v1"
	"github.com/trivet-dev/trivet/services/ai/internal/tokens"
)

// Final is how a call ended.
type Final struct {
	// Usage is what it used; zero closes the hold without a charge.
	Usage tokens.Usage
	// Outcome is how it ended.
	Outcome billingv1.Outcome
	// Estimated is true when Trivet counted, not the provider.
	Estimated bool
	// ProviderID is the provider's id of the call; may be empty.
	ProviderID string
	// Target served the call, and ServedModel is the model that its provider says it used; both may be empty.
	Target, ServedModel string
	// Latency is the time of the whole call, FirstByte the time to the first byte of its answer; 0 when there was none.
	Latency, FirstByte time.Duration
	// ErrorCode is the reason of the error that the caller got; empty when there was none.
	ErrorCode string
	// Priced is true when Cost, in nano-dollars, is the cost; without it, billing prices the usage.
	Priced bool
	Cost   int64
	// Details is what the call used besides plain text tokens; nil for nothing.
	Details *usagev1.UsageDetails
}

// Receipt is the result of a settlement.
type Receipt struct {
	// Usage is what was settled.
	Usage tokens.Usage
	// Cost is the charge, in nano-dollars; only when Settled.
	Cost int64
	// Settled is false when billing did not answer in time: the settlement is then retried in the background.
	Settled bool
}

// Hold is one hold of the ledger. It is open until the first Settle or Close, and never again after it.
type Hold struct {
	keeper *Keeper
	ctx    context.Context // the call's values without its end: a settlement outlives its call
	id     string
	input  int64
	output int64

	once    sync.Once
	receipt Receipt

	// guarded by keeper.mu
	usage   func() tokens.Usage
	cost    func() int64 // nil for a call that billing prices
	touched time.Time    // of the last checkpoint
	saved   tokens.Usage
	// savedCost is the cost of the last checkpoint, and written tells that there was one.
	savedCost int64
	written   bool
}

// ID is the hold's id.
func (h *Hold) ID() string { return h.id }

// InputTokens is how many input tokens the hold is for.
func (h *Hold) InputTokens() int64 { return h.input }

// OutputTokens is how many output tokens per choice the hold affords.
func (h *Hold) OutputTokens() int64 { return h.output }

// Watch sets the function that returns the usage so far, for checkpoints. It is called from another goroutine until the
// hold is settled, and must not block.
func (h *Hold) Watch(usage func() tokens.Usage) {
	h.keeper.mu.Lock()
	defer h.keeper.mu.Unlock()
	h.usage = usage
}

// WatchCost sets the function that returns the cost so far, for a call that was reserved with pricing. It is as usage is
// for Watch; call it before Watch.
func (h *Hold) WatchCost(cost func() int64) {
	h.keeper.mu.Lock()
	defer h.keeper.mu.Unlock()
	h.cost = cost
}

// Settle closes the hold at what the call used. It waits for billing at most two seconds, also when the call's context
// has ended. Only the first Settle has an effect; later ones return the same receipt.
func (h *Hold) Settle(final Final) Receipt {
	return h.Close(func() Final { return final })
}

// Close is Settle for a defer: it calls final only when the hold is still open.
func (h *Hold) Close(final func() Final) Receipt {
	h.once.Do(func() {
		h.keeper.forget(h)
		h.receipt = h.keeper.settle(h, final())
	})
	return h.receipt
}
