// Package saturate converts integers to smaller types. A value that does not fit becomes the nearest value that does.
package saturate

import "math"

// Int32 returns n as an int32.
func Int32(n int64) int32 {
	return int32(max(math.MinInt32, min(n, math.MaxInt32)))
}
