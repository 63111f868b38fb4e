package stripe

import (
	"math/big"
	"time"
)

// maxAmount bounds what a line may cost, in cents: no sum of lines overflows.
const maxAmount = 999_999_999_999

// amountOf is what a quantity costs, in whole cents, halves rounded up.
func (p Price) amountOf(quantity int64) int64 {
	if t := p.TransformQuantity; t != nil && t.DivideBy > 0 {
		rest := quantity % t.DivideBy
		quantity /= t.DivideBy
		if rest > 0 && t.Round == "up" {
			quantity++
		}
	}
	if p.BillingScheme == "tiered" {
		return cents(p.tiered(quantity))
	}
	return cents(times(p.UnitAmountDecimal, quantity))
}

// tiered walks the tiers: graduated prices each part of the quantity in its tier, volume all of it in the last.
func (p Price) tiered(quantity int64) *big.Rat {
	total, below := new(big.Rat), int64(0)
	for _, t := range p.Tiers {
		last := t.UpTo == nil || quantity <= *t.UpTo
		if orEmpty(p.TiersMode) == "volume" {
			if last {
				return total.Add(times(t.UnitAmountDecimal, quantity), times(t.FlatAmountDecimal, 1))
			}
			continue
		}
		within := quantity - below
		if !last {
			within = *t.UpTo - below
		}
		if within > 0 || (below == 0 && quantity == 0) {
			total.Add(total, times(t.UnitAmountDecimal, within))
			total.Add(total, times(t.FlatAmountDecimal, 1))
		}
		if last {
			break
		}
		below = *t.UpTo
	}
	return total
}

// times multiplies a decimal number of cents, which may have a fraction.
func times(decimal *string, quantity int64) *big.Rat {
	unit, ok := new(big.Rat).SetString(orEmpty(decimal))
	if !ok {
		return new(big.Rat)
	}
	return unit.Mul(unit, new(big.Rat).SetInt64(quantity))
}

// cents rounds to whole cents, halves away from zero, within maxAmount.
func cents(r *big.Rat) int64 {
	twice := new(big.Int).Mul(r.Num(), big.NewInt(2))
	half := new(big.Int).Set(r.Denom())
	if r.Sign() < 0 {
		half.Neg(half)
	}
	n := twice.Add(twice, half)
	n.Quo(n, new(big.Int).Mul(r.Denom(), big.NewInt(2)))
	if !n.IsInt64() {
		return maxAmount * int64(r.Sign())
	}
	return min(max(n.Int64(), -maxAmount), maxAmount)
}

// share is the part of an amount for part of a period.
func share(amount, part, whole int64) int64 {
	if whole <= 0 {
		return amount
	}
	return cents(new(big.Rat).Mul(new(big.Rat).SetInt64(amount), big.NewRat(part, whole)))
}

// boundary is the nth end of a period since anchor. Months end on the anchor's day, or on their last.
func (r Recurring) boundary(anchor, n int64) int64 {
	t, n := time.Unix(anchor, 0).UTC(), n*r.IntervalCount
	switch r.Interval {
	case "day":
		return t.AddDate(0, 0, int(n)).Unix()
	case "week":
		return t.AddDate(0, 0, int(7*n)).Unix()
	case "year":
		n *= 12
	}
	first := time.Date(t.Year(), t.Month()+time.Month(n), 1, t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(t.Day(), last)-1).Unix()
}

// next is the first end of a period after a time.
func (r Recurring) next(anchor, after int64) int64 {
	if anchor > after {
		return anchor
	}
	n := int64(1)
	for r.boundary(anchor, n) <= after {
		n++
	}
	return r.boundary(anchor, n)
}
