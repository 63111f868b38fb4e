package store

import (
	"context"
	"math/big"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/services/billing/internal/ledger"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
)

// paymentsPage is how many holds are read at once.
const paymentsPage = 10_000

// unpaid looks for closed holds whose cost is not what grants have paid of it, with its overage and what it owes, and for grants that have not
// paid what is gone of them; at most limit. All is read at one moment.
func (s *Store) unpaid(ctx context.Context, limit int) (found []ledger.Violation, err error) {
	err = s.db.Snapshot(ctx, func(ctx context.Context, q database.Querier) error {
		paid := payments{}
		if found, err = paid.holds(ctx, db.New(q), limit); err != nil || len(found) >= limit {
			return err
		}
		grants, err := paid.grants(ctx, q, limit-len(found))
		found = append(found, grants...)
		return err
	})
	return found, err
}

// payments sums up by grant what holds say that it paid.
type payments map[string]*big.Int

func (p payments) add(grantID string, amount *big.Int) {
	if p[grantID] == nil {
		p[grantID] = new(big.Int)
	}
	p[grantID].Add(p[grantID], amount)
}

// holds adds what closed holds say, and returns those whose cost was not paid like that.
func (p payments) holds(ctx context.Context, q *db.Queries, limit int) (found []ledger.Violation, err error) {
	for after := ""; ; {
		page, err := q.ListPayments(ctx, db.ListPaymentsParams{After: after, Most: paymentsPage})
		if err != nil {
			return found, err
		}
		for _, h := range page {
			burns, err := readBurns(h.PaidBy)
			for _, b := range burns {
				p.add(b.GrantID, big.NewInt(b.Amount))
			}
			if v, sound := paidFor(h, burns); !sound || err != nil {
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

// spentGrants reads grants and what expired of them, or was taken back, less what came back, in billions and the rest.
const spentGrants = `SELECT g.id, g.amount, g.remaining, g.paid_before, CAST(COALESCE(e.high, 0) AS BIGINT), CAST(COALESCE(e.low, 0) AS BIGINT)
	FROM credit_grant AS g
	LEFT JOIN (
		SELECT reference, SUM(sign * (amount / 1000000000)) AS high, SUM(sign * (amount % 1000000000)) AS low FROM (
			SELECT reference, amount, CASE WHEN debit = 'expired:credit' THEN -1 ELSE 1 END AS sign FROM entry WHERE kind = 'expiry'
		) AS x GROUP BY reference
	) AS e ON e.reference = g.id
	WHERE g.paid_before IS NOT NULL ORDER BY g.id`

// grants returns the grants of which something else is gone than what expired and what they paid.
func (p payments) grants(ctx context.Context, q database.Querier, limit int) (found []ledger.Violation, err error) {
	rows, err := q.QueryContext(ctx, spentGrants)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err tells what Close would
	for rows.Next() && len(found) < limit {
		var id string
		var amount, remaining, before, high, low int64
		if err := rows.Scan(&id, &amount, &remaining, &before, &high, &low); err != nil {
			return found, err
		}
		gone := new(big.Int).Add(wide(high, low), big.NewInt(before))
		if paid := p[id]; paid != nil {
			gone.Add(gone, paid)
		}
		left := new(big.Int).Sub(big.NewInt(amount), gone)
		if left.Cmp(big.NewInt(remaining)) != 0 {
			found = append(found, ledger.Violation{
				Rule: "what remains of a grant is its amount less what it paid and what expired", Subject: id, Want: cut(left), Got: remaining,
			})
		}
	}
	return found, rows.Err()
}

// paidFor compares a hold's cost with what paid it. The sum may be beyond 64 bits.
func paidFor(h db.ListPaymentsRow, burns []ledger.Burn) (v ledger.Violation, sound bool) {
	sum := new(big.Int).Add(big.NewInt(h.Owed), big.NewInt(h.Overage))
	for _, b := range burns {
		sum.Add(sum, big.NewInt(b.Amount))
	}
	v = ledger.Violation{Rule: "a hold's cost is what grants have paid, its overage and what it owes", Subject: h.ID, Want: cut(sum), Got: h.Cost}
	return v, sum.Cmp(big.NewInt(h.Cost)) == 0
}
