// Package ledger keeps the accounts: credit that is granted, held for calls under way, charged, and expires. It knows no
// transport and no provider.
//
// Every movement is one Entry with two sides, so that it can't be out of balance. What holds of the sums is what Audit checks.
// A call is Reserve, then Checkpoint as often as needed, then Settle; Sweep settles what nobody settled.
package ledger

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
)

// DefaultLease is how long a hold lives after its last checkpoint.
const DefaultLease = 5 * time.Minute

// recentHolds bounds the open holds kept in memory, of some 500 bytes each.
const recentHolds = 16_384

// Bounds of money, in nano-dollars: they keep every sum within int64.
const (
	// MaxAmount is the most that one grant, hold or charge may be: $1,000,000.
	MaxAmount = 1_000_000_000_000_000
	// MaxBalance is the most credit that grants by an operator may add up to.
	MaxBalance = 100 * MaxAmount
)

// Prices is the price list.
type Prices interface {
	// Get returns a model, or an error for callers that lists the known ones.
	Get(id string) (models.Model, error)
}

// Plans is the list of plans.
type Plans interface {
	// Get returns a plan by id, in its newest version, or by the reference of a version.
	Get(ref string) (plans.Plan, bool)
	// ByPrice returns what a price of Stripe's sells.
	ByPrice(id string) (plans.Sale, bool)
	// Default returns the plan of a new account.
	Default() plans.Plan
}

// Options are what a Ledger works with. All are needed, except Lease and Metrics.
type Options struct {
	Store  Store
	Prices Prices
	Plans  Plans
	Now    func() time.Time
	Logger *slog.Logger
	// Lease is how long a hold lives after its last checkpoint; 0 means DefaultLease.
	Lease time.Duration
	// Metrics counts what is done; nil means that nobody does.
	Metrics *Metrics
	// FreeCredit says who gets the credit of a plan that is not paid for; "" means FreePerAccount.
	FreeCredit FreeCredit
	// Reload reads again which plans were applied; nil when they do not change. It is called for a price or a plan that Plans does not know:
	// another replica may have applied it a moment ago.
	Reload func(ctx context.Context) error
}

// Ledger keeps the accounts. It is safe for concurrent use, and any number of replicas may share a database.
type Ledger struct {
	store  Store
	prices Prices
	plans  Plans
	now    func() time.Time
	log    *slog.Logger
	lease  time.Duration
	count  *Metrics
	reload func(ctx context.Context) error
	free   FreeCredit
	ids    ids
	// former tells which holds may have been made by a version before this one.
	former former
	// recent has the open holds that this process made, so that Settle need not read them: what it uses of them does not
	// change, and closing compares the rest.
	recent *lru.Cache[string, *Hold]
	told   told
	// missing are the plans that accounts name and nobody knows.
	missing missing
	// swept is the last hold of the last batch that was swept; its zero value means that the next begins with the first.
	swept atomic.Pointer[Hold]
	// reservings and settlings have the memory of calls that have ended.
	reservings, settlings sync.Pool
}

// New makes a ledger.
func New(o Options) *Ledger {
	if o.Lease <= 0 {
		o.Lease = DefaultLease
	}
	recent, err := lru.New[string, *Hold](recentHolds)
	if err != nil {
		panic(err) // the size is a constant above 0
	}
	l := &Ledger{
		store: o.Store, prices: o.Prices, plans: o.Plans, log: o.Logger, lease: o.Lease, count: o.Metrics, recent: recent, reload: o.Reload, free: o.FreeCredit,
		told: newTold(), missing: newMissing(),
		reservings: sync.Pool{New: func() any { return &reserving{} }}, settlings: sync.Pool{New: func() any { return &settling{} }},
		// The database keeps microseconds; what is compared with it must too.
		now: func() time.Time { return o.Now().UTC().Truncate(time.Microsecond) },
	}
	l.former.started = l.now()
	l.swept.Store(&Hold{})
	return l
}
