package money_test

import (
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/trivet-dev/trivet/services/billing/internal/money"
)

func TestFormat(t *testing.T) {
	for nanos, want := range map[int64]string{
		0: "$0.00", 1: "$0.000000001", -1: "-$0.000000001", 1_500_000_000: "$1.50", -1_500_000_000: "-$1.50", 999_999_999: "$0.999999999",
		1_000_000_000: "$1.00", 10_000_000: "$0.01", 100_000_000: "$0.10", 120_000_000: "$0.12", 123_000_000: "$0.123", 5: "$0.000000005",
		math.MaxInt64: "$9223372036.854775807", math.MinInt64: "-$9223372036.854775808",
	} {
		require.Equal(t, want, money.Format(nanos))
	}
}

// What is written is the amount, exactly.
func TestFormatIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nanos := rapid.Int64().Draw(t, "nanos")
		dollars, ok := new(big.Rat).SetString(strings.Replace(money.Format(nanos), "$", "", 1))
		require.True(t, ok)
		require.Zero(t, dollars.Cmp(big.NewRat(nanos, money.PerDollar)))
	})
}
