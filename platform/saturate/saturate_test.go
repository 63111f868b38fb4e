package saturate_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/saturate"
)

func TestInt32(t *testing.T) {
	for n, want := range map[int64]int32{
		0: 0, 1: 1, -1: -1,
		math.MaxInt32: math.MaxInt32, math.MaxInt32 + 1: math.MaxInt32, math.MaxInt64: math.MaxInt32,
		math.MinInt32: math.MinInt32, math.MinInt32 - 1: math.MinInt32, math.MinInt64: math.MinInt32,
	} {
		require.Equal(t, want, saturate.Int32(n), n)
	}
}
