package models

import (
	"fmt"
	"strings"
)

const nanoDigits = 9

// maxPriceDollars bounds a price; it keeps every sum of tokens and prices far from overflow.
const maxPriceDollars = 1_000_000

// ParseDollars reads an amount of dollars, such as "0.075", into nano-dollars,
// exactly. It refuses signs, exponents, more than nine decimals, and anything
// that is not plain digits with at most one point.
func ParseDollars(text string) (int64, error) {
	whole, fraction, point := strings.Cut(text, ".")
	if whole == "" || (point && fraction == "") {
		return 0, fmt.Errorf("%q is not an amount of dollars: write digits such as \"0.15\"", text)
	}
	if len(fraction) > nanoDigits {
		return 0, fmt.Errorf("%q has more than nine decimals; a nano-dollar is the smallest amount", text)
	}
	if len(whole) > 9 {
		return 0, fmt.Errorf("%q is too large", text)
	}
	var nanos int64
	for _, c := range []byte(whole + fraction + strings.Repeat("0", nanoDigits-len(fraction))) {
		if c < '0' || c > '9' {
			return 0, fmt.Errorf("%q is not an amount of dollars: write digits such as \"0.15\"", text)
		}
		nanos = nanos*10 + int64(c-'0')
	}
	return nanos, nil
}
