package store

import (
	"math"
	"math/big"
)

// joined is a sum that a query gives in two parts, of billions and of what is left: each part fits into 64 bits where their sum may not.
func joined(high, low int64) int64 { return cut(wide(high, low)) }

// wide is such a sum as one number.
func wide(high, low int64) *big.Int {
	sum := new(big.Int).Mul(big.NewInt(high), big.NewInt(1_000_000_000))
	return sum.Add(sum, big.NewInt(low))
}

// cut is a sum as 64 bits; beyond them it is the largest number, or the smallest.
func cut(sum *big.Int) int64 {
	switch {
	case sum.IsInt64():
		return sum.Int64()
	case sum.Sign() < 0:
		return math.MinInt64
	default:
		return math.MaxInt64
	}
}
