// Package money writes nano-dollars for people.
package money

import (
	"strconv"
	"strings"
)

// PerDollar is the number of nano-dollars in a dollar.
const PerDollar = 1_000_000_000

// Format writes an amount of nano-dollars exactly, with at least two decimals: 1500000000 is "$1.50", -1 is "-$0.000000001".
func Format(nanos int64) string {
	sign, size := "", uint64(nanos)
	if nanos < 0 {
		sign, size = "-", -size
	}
	fraction := strconv.FormatUint(size%PerDollar+PerDollar, 10)[1:] // nine digits
	fraction = fraction[:2] + strings.TrimRight(fraction[2:], "0")
	return sign + "$" + strconv.FormatUint(size/PerDollar, 10) + "." + fraction
}
