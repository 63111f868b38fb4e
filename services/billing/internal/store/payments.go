package store

import (
	"context"
	"math/big"

	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
)

// paymentsPage is how many holds are read at once.
const paymentsPage = 10_000

// unpaid looks for closed holds whose cost is not what grants have paid of it, with its overage and what is owed; at most limit. Each row says all of it, so
// that the pages need not be of one moment.
func (s *Store) unpaid(ctx context.Context, limit int) (found []ledger.Violation, err error) {
	for after := ""; ; {
		page, err := s.read.ListPayments(ctx, db.ListPaymentsParams{After: after, Most: paymentsPage})
		if err != nil {
			return found, err
		}
		for _, h := range page {
			if v, sound := paidFor(h); !sound {
				found = append(found, v)
			}
			if len(found) >= limit {
				return found, nil
			}
		}
		if len(page) < paymentsPage {
			return found, nil
		}
		after = page[len(page)-1].ID
	}
}

// paidFor compares a hold's cost with what paid it. The sum may be beyond 64 bits. A text that cannot be read has paid nothing.
func paidFor(h db.ListPaymentsRow) (v ledger.Violation, sound bool) {
	burns, err := readBurns(h.PaidBy)
	sum := new(big.Int).Add(big.NewInt(h.Owed), big.NewInt(h.Overage))
	for _, b := range burns {
		sum.Add(sum, big.NewInt(b.Amount))
	}
	v = ledger.Violation{Rule: "a hold's cost is what grants have paid, its overage and what it owes", Subject: h.ID, Want: cut(sum), Got: h.Cost}
	return v, err == nil && sum.Cmp(big.NewInt(h.Cost)) == 0
}
