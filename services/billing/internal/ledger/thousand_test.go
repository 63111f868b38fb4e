package ledger_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/plans"
	"github.com/trivet-dev/trivet/services/billing/internal/rpc"
)

// 1,000 calls at once, when less than two of them can be paid: one has a hold, whatever the others are refused by. On SQLite the three replicas are in one
// process.
// BerriAI/litellm#26672 and BerriAI/litellm#40095 let concurrent calls pass a budget.
func TestAThousandAtOnceWhenOneIsAffordable(t *testing.T) {
	const price = int64(plans.Cent)
	limited := func(subject ledger.Subject) func(s *subscriber) {
		return func(s *subscriber) {
			s.give("budget", 1000*price)
			s.limit(s.Ledger, subject, ledger.PeriodDay, 2*price-1)
		}
	}
	for name, c := range map[string]struct {
		prepare func(s *subscriber)
		// by refuses the others, and left is what it leaves.
		by   string
		left int64
	}{
		"credit":         {func(s *subscriber) { s.give("budget", 2*price-1-s.account().Balance) }, "balance", price - 1},
		"member's limit": {limited(ledger.MemberSubject("ann")), "member", price - 1},
		"key's limit":    {limited(ledger.KeySubject("key_1")), "api_key", price - 1},
		"last cent of the overage cap": {func(s *subscriber) {
			s.allow(3 * price)
			s.invoice(0, "paid")
			s.sub(0, "active")
			s.requirePlan("pro@1", 2000)
			s.settle(s.hold("first", 2000+2*price), 2000+2*price)
		}, "balance", 0},
	} {
		for _, replicas := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s, %d replicas", name, replicas), func(t *testing.T) {
				subscribed(t, func(t *testing.T, s *subscriber) {
					c.prepare(s)
					books := []*ledger.Ledger{s.Ledger}
					for len(books) < replicas {
						books = append(books, s.replica())
					}
					before := s.account()
					held := s.allAtOnce(books, 1000, price, c.by)
					require.Len(t, held, 1)
					after := s.account()
					require.Equal(t, price, after.Held)
					require.Equal(t, before.Spendable(s.clock.Now())-price, after.Spendable(s.clock.Now()))
					_, err := s.by(s.Ledger, "more", "ann", "key_1", c.left+1)
					_ = requireReason(t, errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, err)
					s.settle(held[0], price)
					if c.left > 0 {
						_, err = s.by(s.Ledger, "rest", "ann", "key_1", c.left)
						require.NoError(t, err, "what is left is there, to the nano-dollar")
					}
				})
			})
		}
	}
}

// allAtOnce has a member ask by an API key, at all ledgers in turn. It returns the holds, and requires that the limit refuses the other calls.
func (s *subscriber) allAtOnce(books []*ledger.Ledger, calls int, price int64, limit string) (held []ledger.Hold) {
	s.t.Helper()
	var group sync.WaitGroup
	var mu sync.Mutex
	for i := range calls {
		group.Go(func() {
			h, err := s.patiently(books[i%len(books)], fmt.Sprint("r", i), price)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				held = append(held, h)
			case reasonOf(err) != errorsv1.ErrorReason_ERROR_REASON_INSUFFICIENT_BALANCE, detailOf(err, "limit") != limit:
				s.t.Error(err)
			}
		})
	}
	group.Wait()
	return held
}

// patiently reserves again while a row stays locked, as it does on a slow machine. The request's id makes that safe.
func (s *subscriber) patiently(book *ledger.Ledger, request string, price int64) (h ledger.Hold, err error) {
	for range 20 {
		if h, err = s.by(book, request, "ann", "key_1", price); reasonOf(err) != errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE || s.t.Context().Err() != nil {
			break
		}
	}
	return h, err
}

func detailOf(err error, name string) string { return errs.From(rpc.Public(err)).Metadata[name] }
