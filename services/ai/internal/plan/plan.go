// Package plan knows what the accounts' plans allow.
package plan

import (
	"context"
	"fmt"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"
	"google.golang.org/grpc"

	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/services/ai/internal/hold"
)

const (
	// life is how long an answer is used: a change of plan takes effect within it. It costs one question per account and second.
	life = time.Second
	// askTimeout bounds the wait for billing.
	askTimeout = 5 * time.Second
)

// Source is the part of BillingService that plans need.
type Source interface {
	GetEntitlements(context.Context, *billingv1.GetEntitlementsRequest, ...grpc.CallOption) (*billingv1.GetEntitlementsResponse, error)
}

// Cache remembers what accounts are entitled to. It is safe for concurrent use.
type Cache struct {
	source Source
	now    func() time.Time
	known  *lru.Cache[string, entry]
	flight singleflight.Group
}

type entry struct {
	entitlements *billingv1.GetEntitlementsResponse
	until        time.Time
}

// NewCache returns a cache of at most size accounts; size must be above 0.
func NewCache(source Source, size int, now func() time.Time) (*Cache, error) {
	known, err := lru.New[string, entry](size)
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	return &Cache{source: source, now: now, known: known}, nil
}

// Get returns what the account's plan allows; it must not be changed. When many callers miss at once, billing is asked
// once. The error is an *errs.Error.
func (c *Cache) Get(ctx context.Context, account string) (*billingv1.GetEntitlementsResponse, error) {
	if e, ok := c.known.Get(account); ok && c.now().Before(e.until) {
		return e.entitlements, nil
	}
	answers := c.flight.DoChan(account, func() (any, error) { return c.ask(context.WithoutCancel(ctx), account) })
	select {
	case <-ctx.Done():
		return nil, errs.From(ctx.Err())
	case a := <-answers:
		if a.Err != nil {
			return nil, errs.From(a.Err)
		}
		got, _ := a.Val.(*billingv1.GetEntitlementsResponse)
		return got, nil
	}
}

func (c *Cache) ask(ctx context.Context, account string) (*billingv1.GetEntitlementsResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	got, err := c.source.GetEntitlements(ctx, &billingv1.GetEntitlementsRequest{AccountId: account})
	if err != nil {
		return nil, hold.BillingError(err)
	}
	c.known.Add(account, entry{got, c.now().Add(life)})
	return got, nil
}
