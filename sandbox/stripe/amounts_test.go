package stripe

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func text(s string) *string { return &s }

func upTo(n int64) *int64 { return &n }

func TestQuantityPrices(t *testing.T) {
	tiers := []Tier{
		{UnitAmountDecimal: text("10"), FlatAmountDecimal: text("100"), UpTo: upTo(10)},
		{UnitAmountDecimal: text("5"), UpTo: upTo(20)},
		{UnitAmountDecimal: text("1.5")},
	}
	graduated := Price{BillingScheme: "tiered", TiersMode: text("graduated"), Tiers: tiers}
	volume := Price{BillingScheme: "tiered", TiersMode: text("volume"), Tiers: tiers}
	packs := Price{UnitAmountDecimal: text("700"), TransformQuantity: &TransformQuantity{DivideBy: 1000, Round: "up"}}
	full := packs
	full.TransformQuantity = &TransformQuantity{DivideBy: 1000, Round: "down"}
	for _, test := range []struct {
		name     string
		price    Price
		quantity int64
		want     int64
	}{
		{"per unit", Price{UnitAmountDecimal: text("250")}, 3, 750},
		{"a fraction, half up", Price{UnitAmountDecimal: text("0.25")}, 2, 1},
		{"a fraction, down", Price{UnitAmountDecimal: text("0.25")}, 1, 0},
		{"no price", Price{}, 7, 0},
		{"too much", Price{UnitAmountDecimal: text("99999999999999")}, 1_000_000, maxAmount},
		{"graduated, none", graduated, 0, 100},
		{"graduated, first", graduated, 10, 200},
		{"graduated, second", graduated, 15, 225},
		{"graduated, last", graduated, 21, 252}, // 200 + 50 + 1.5
		{"volume, first", volume, 10, 200},
		{"volume, second", volume, 15, 75},
		{"volume, last", volume, 100, 150},
		{"packs, begun", packs, 1001, 1400},
		{"packs, full", full, 1999, 700},
	} {
		t.Run(test.name, func(t *testing.T) { require.Equal(t, test.want, test.price.amountOf(test.quantity)) })
	}
	require.Equal(t, int64(-2), cents(times(text("-1.5"), 1)), "halves go away from zero")
	require.Equal(t, int64(-maxAmount), cents(times(text("-9999999999999999"), 1_000_000)))
}

func TestPeriodsEndOnTheAnchorsDay(t *testing.T) {
	at := func(s string) int64 {
		parsed, err := time.Parse(time.DateOnly, s)
		require.NoError(t, err)
		return parsed.Unix()
	}
	for _, test := range []struct {
		interval            string
		count               int64
		anchor, after, want string
	}{
		{"day", 10, "2024-02-25", "2024-02-25", "2024-03-06"},
		{"week", 2, "2024-02-25", "2024-03-15", "2024-03-24"},
		{"month", 1, "2024-01-31", "2024-01-31", "2024-02-29"},
		{"month", 1, "2024-01-31", "2024-02-29", "2024-03-31"},
		{"month", 3, "2023-11-30", "2023-11-30", "2024-02-29"},
		{"year", 1, "2024-02-29", "2024-02-29", "2025-02-28"},
		{"year", 1, "2024-02-29", "2027-03-01", "2028-02-29"},
		{"month", 1, "2024-05-10", "2024-01-01", "2024-05-10"},
	} {
		r := Recurring{Interval: test.interval, IntervalCount: test.count}
		require.Equal(t, at(test.want), r.next(at(test.anchor), at(test.after)), "%v", test)
	}
}
