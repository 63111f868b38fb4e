package store

import (
	"math"
	"math/big"
)

// joined is a sum that a query gives in two parts, of billions and of what is left: each part fits into 64 bits where their sum may not.
// A sum beyond 64 bits is cut to the largest number.
func joined(high, low int64) int64 {
	sum := new(big.Int).Mul(big.NewInt(high), big.NewInt(1_000_000_000))
	sum.Add(sum, big.NewInt(low))
	switch {
	case sum.IsInt64():
		return sum.Int64()
	case sum.Sign() < 0:
		return math.MinInt64
	default:
		return math.MaxInt64
	}
}
