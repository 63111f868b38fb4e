package settings

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ByteSize is a number of bytes, written as 512, 64KiB, 20MiB or 1GiB (KB, MB and GB are powers of 1000).
type ByteSize int64

var units = []struct {
	suffix string
	bytes  int64
}{
	{"KiB", 1 << 10},
	{"MiB", 1 << 20},
	{"GiB", 1 << 30},
	{"KB", 1e3},
	{"MB", 1e6},
	{"GB", 1e9},
	{"B", 1},
}

// ParseByteSize reads a size; it is never negative.
func ParseByteSize(s string) (ByteSize, error) {
	number, scale := strings.TrimSpace(s), int64(1)
	for _, u := range units {
		if cut, ok := strings.CutSuffix(number, u.suffix); ok {
			number, scale = strings.TrimSpace(cut), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/scale {
		return 0, fmt.Errorf("%q is not a size such as 512, 64KiB or 20MiB", s)
	}
	return ByteSize(n * scale), nil
}

// String returns the size in the largest binary unit that divides it.
func (b ByteSize) String() string {
	for _, u := range []int{2, 1, 0} {
		if scale := units[u].bytes; b >= ByteSize(scale) && int64(b)%scale == 0 {
			return strconv.FormatInt(int64(b)/scale, 10) + units[u].suffix
		}
	}
	return strconv.FormatInt(int64(b), 10)
}
