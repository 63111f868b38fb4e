package plans_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/plans"
)

func TestTheEmbeddedPlans(t *testing.T) {
	c, err := plans.Load("", "free", []string{"gpt-4o-mini"})
	require.NoError(t, err)
	require.Equal(t, "free", c.Default().ID)
	free, ok := c.Get("free")
	require.True(t, ok)
	require.Equal(t, plans.Plan{
		ID: "free", Name: "Free", IncludedCredit: 5_000_000_000, TaxBehavior: "exclusive", RenewalAdvance: 25, GraceDays: 7,
		Limits:   plans.Limits{RequestsPerMinute: 600, TokensPerMinute: 1_000_000, ConcurrentRequests: 64},
		Features: []string{"chat", "embeddings"},
	}, free)
	unlimited, ok := c.Get("unlimited")
	require.True(t, ok)
	require.Equal(t, plans.Limits{}, unlimited.Limits)
	require.EqualValues(t, 1_000_000_000_000_000, unlimited.IncludedCredit)
	require.True(t, unlimited.Internal)
	_, ok = c.Get("gold")
	require.False(t, ok)
	var ids []string
	for _, p := range c.OnSale() {
		ids = append(ids, p.ID)
	}
	require.Equal(t, []string{"free", "pro", "team", "usage-based"}, ids)
	require.Len(t, c.OnSale(), 4, "asking leaves the list as it is")
	usage, ok := c.Get("usage-based")
	require.True(t, ok)
	require.Equal(t, plans.Plan{
		ID: "usage-based", Name: "Usage-based", Price: 5_000_000_000, IncludedCredit: 5_000_000_000, Overage: &plans.Overage{Cap: 200_000_000_000},
		TaxBehavior: "exclusive", RenewalAdvance: 25, GraceDays: 7,
		Limits:   plans.Limits{RequestsPerMinute: 3000, TokensPerMinute: 5_000_000, ConcurrentRequests: 256},
		Features: []string{"chat", "embeddings", "api_keys"},
	}, usage)
}

// INTEGRATIONS.md shows the built-in plans that are on sale as they are.
func TestTheBuiltInPlansAreDocumented(t *testing.T) {
	guide, err := os.ReadFile("../../../../INTEGRATIONS.md")
	require.NoError(t, err)
	c, err := plans.Load("", "free", nil)
	require.NoError(t, err)
	dollars := func(nano int64) string { return fmt.Sprintf("$%d.%02d", nano/1_000_000_000, nano/plans.Cent%100) }
	for _, p := range c.OnSale() {
		yearly, overage, topUp := "–", "–", "–"
		if p.YearlyPrice > 0 {
			yearly = dollars(p.YearlyPrice)
		}
		if p.Overage != nil {
			overage = "at most " + dollars(p.Overage.Cap)
		}
		if p.TopUp != nil {
			topUp = "at most " + dollars(p.TopUp.MonthlyCap)
		}
		row := fmt.Sprintf("| `%s` | %s | %s | %s | %s | %s | %d |", p.ID, dollars(p.Price), yearly, dollars(p.IncludedCredit), overage, topUp, p.Limits.RequestsPerMinute)
		require.Contains(t, string(guide), row)
	}
}

func TestAllows(t *testing.T) {
	require.True(t, plans.Plan{}.Allows("any"))
	some := plans.Plan{Models: []string{"a", "b"}}
	require.True(t, some.Allows("b"))
	require.False(t, some.Allows("c"))
}

func TestLoadOfAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "plans.yaml")
	require.NoError(t, os.WriteFile(file, []byte(`
plans:
  - {id: solo, name: Solo, price: "0.10", included_credit: "0.000000001", models: [m1], limits: {tokens_per_minute: 2147483647}}
`), 0o600))
	c, err := plans.Load(file, "solo", []string{"m1"})
	require.NoError(t, err)
	require.Equal(t, plans.Plan{
		ID: "solo", Name: "Solo", Price: 100_000_000, IncludedCredit: 1, TaxBehavior: "exclusive", RenewalAdvance: 25, GraceDays: 7, Models: []string{"m1"}, Limits: plans.Limits{TokensPerMinute: 2147483647},
	}, c.Default())

	_, err = plans.Load(file, "solo", []string{"m2"})
	require.EqualError(t, err, `PLANS_FILE: `+file+`: line 3: plan solo: models names "m1", which is not in the price list (MODELS_FILE)`)
	_, err = plans.Load(file, "free", []string{"m1"})
	require.EqualError(t, err, `DEFAULT_PLAN: "free" is not a plan; choose one of solo (`+file+`)`)
	_, err = plans.Load(file+".none", "free", nil)
	require.ErrorContains(t, err, "PLANS_FILE")
}

// An id has 1 to 64 characters, and a plan says what it costs and what it includes, even if that is nothing.
func TestWhatAPlanMustHave(t *testing.T) {
	for plan, want := range map[string]string{
		`{id: a, name: A, price: "0", included_credit: "0"}`:                               "",
		`{id: ` + strings.Repeat("a", 64) + `, name: A, price: "0", included_credit: "0"}`: "",
		`{id: ` + strings.Repeat("a", 65) + `, name: A, price: "0", included_credit: "0"}`: "at most 64",
		`{id: -a, name: A, price: "0", included_credit: "0"}`:                              "at most 64",
		`{name: A, price: "0", included_credit: "0"}`:                                      "plan number 1: id is missing",
		`{id: a, price: "0", included_credit: "0"}`:                                        "plan a: name is missing",
		`{id: a, name: A, included_credit: "0"}`:                                           "plan a: price is missing",
		`{id: a, name: A, price: "0"}`:                                                     "plan a: included_credit is missing",
		`{id: a, name: A, price: "0", included_credit: "0", limits: {requests_per_minute: 2147483647, tokens_per_minute: 2147483647, concurrent_requests: 2147483647, concurrent_streams: 2147483647}}`: "",
		`{id: a, name: A, price: "0", included_credit: "0", limits: {tokens_per_minute: 2147483648}}`:                                                                                                   "limits.tokens_per_minute",
		`{id: a, name: A, price: "0", included_credit: "0", limits: {concurrent_requests: -1}}`:                                                                                                         "limits.concurrent_requests",
		`{id: a, name: A, price: "0", included_credit: "0", limits: {concurrent_requests: "1"}}`:                                                                                                        "limits.concurrent_requests",
	} {
		_, err := plans.Parse([]byte("plans: ["+plan+"]"), nil)
		if want == "" {
			require.NoError(t, err, plan)
		} else {
			require.ErrorContains(t, err, want, plan)
		}
	}
}

func TestParseNamesEveryMistake(t *testing.T) {
	_, err := plans.Parse([]byte(`
plan: []
plans:
  - {id: Free, name: "", price: 5, included_credit: "five", limits: {requests_per_minute: -1, tokens_per_minute: 1.5, concurrent: 3}, models: one}
  - {name: Nameless, price: "0", price: "1", included_credit: "0", internal: 7, colour: red}
  - {id: twice, name: Twice, price: "900000000.000000001", included_credit: "1000000.000000001", features: [""]}
  - {id: twice, name: Twice, price: "-1", included_credit: "0", limits: {requests_per_minute: 2147483648, concurrent_requests: many}}
  - just text
  - {id: list, name: [1], price: [1], included_credit: {}, limits: 5}
  - id: sold
    nmae: Sold
    price: "20.00"
    yearly_price: "0.00"
    included_credit: "1"
    tax_behavior: none
    tax_code: books
    renewal_advance_percent: 101
    grace_days: -1
    seats: {min: 5, max: 4}
    trial: {credit: "1", without_card: charge}
    overage: {}
    auto_top_up: {threshold: "1"}
  - {id: gift, name: Gift, price: "0.00", yearly_price: "10.00", included_credit: "0", trial: {days: 0}, seats: {}, overage: {cap: "1.001"}}
packs:
  - {id: p, name: P, price: "0", credit: "0", expire_months: 121}
  - {id: p, name: P, price: "1.999", credit: 5}
  - {}
`), nil)
	require.Error(t, err)
	require.Equal(t, []string{
		`line 2: plan is unknown; did you mean plans?`,
		`line 4: plan Free: id is "Free", must be lower-case letters, digits, - and _, at most 64`,
		`line 4: plan Free: name is empty`,
		`line 4: plan Free: price must be dollars as quoted text, such as "5.00"`,
		`line 4: plan Free: included_credit "five" is not an amount of dollars: write digits such as "0.15"`,
		`line 4: plan Free: limits.requests_per_minute is "-1", must be a whole number from 0 (none) to 2147483647`,
		`line 4: plan Free: limits.tokens_per_minute is "1.5", must be a whole number from 0 (none) to 2147483647`,
		`line 4: plan Free: limits.concurrent is unknown`,
		`line 4: plan Free: models must be a list of names`,
		`line 5: plan number 2: price is set twice`,
		`line 5: plan number 2: internal must be true or false`,
		`line 5: plan number 2: colour is unknown`,
		`line 5: plan number 2: id is missing`,
		`line 6: plan twice: price is "900000000.000000001", must be at most $999999.99`,
		`line 6: plan twice: included_credit is "1000000.000000001", must be at most $1000000.00`,
		`line 6: plan twice: a name in features is empty`,
		`line 7: plan twice: price "-1" is not an amount of dollars: write digits such as "0.15"`,
		`line 7: plan twice: limits.requests_per_minute is "2147483648", must be a whole number from 0 (none) to 2147483647`,
		`line 7: plan twice: limits.concurrent_requests is "many", must be a whole number from 0 (none) to 2147483647`,
		`line 7: plan twice: id is used twice`,
		`line 8: plan number 5: the entry must be a mapping of fields`,
		`line 9: plan list: name must be text`,
		`line 9: plan list: price must be dollars as quoted text, such as "5.00"`,
		`line 9: plan list: included_credit must be dollars as quoted text, such as "5.00"`,
		`line 9: plan list: limits must be a mapping of fields`,
		`line 11: plan sold: nmae is unknown; did you mean name?`,
		`line 13: plan sold: yearly_price is "0.00", must be above 0, or absent when the plan is not sold by the year`,
		`line 15: plan sold: tax_behavior is "none", must be exclusive or inclusive`,
		`line 16: plan sold: tax_code is "books", must be one of Stripe's tax codes, such as txcd_10000000`,
		`line 17: plan sold: renewal_advance_percent is "101", must be a whole number from 0 to 100`,
		`line 18: plan sold: grace_days is "-1", must be a whole number from 0 to 28`,
		`line 19: plan sold: seats.min is 5, must be at most seats.max, which is 4`,
		`line 20: plan sold: trial.without_card is "charge", must be cancel or pause`,
		`line 20: plan sold: trial.days is missing`,
		`line 21: plan sold: overage.cap is missing`,
		`line 22: plan sold: auto_top_up.threshold is unknown`,
		`line 22: plan sold: auto_top_up.monthly_cap is missing`,
		`line 10: plan sold: name is missing`,
		`line 23: plan gift: trial.days is "0", must be a whole number from 1 to 730`,
		`line 23: plan gift: overage.cap is "1.001", must be whole cents such as "20.00": Stripe charges nothing smaller`,
		`line 23: plan gift: yearly_price needs a price above 0: only a plan with a price is sold`,
		`line 23: plan gift: seats needs a price above 0: only a plan with a price is sold`,
		`line 23: plan gift: trial needs a price above 0: only a plan with a price is sold`,
		`line 23: plan gift: overage needs a price above 0: only a plan with a price is sold`,
		`line 25: pack p: price is "0", must be at least 0.50: Stripe makes no smaller payment`,
		`line 25: pack p: credit is "0", must be above 0`,
		`line 25: pack p: expire_months is "121", must be a whole number from 0 to 120`,
		`line 26: pack p: price is "1.999", must be whole cents such as "20.00": Stripe charges nothing smaller`,
		`line 26: pack p: credit must be dollars as quoted text, such as "5.00"`,
		`line 26: pack p: id is used twice`,
		`line 27: pack number 3: id is missing`,
		`line 27: pack number 3: name is missing`,
		`line 27: pack number 3: price is missing`,
		`line 27: pack number 3: credit is missing`,
	}, strings.Split(err.Error(), "\n"))
}

// Stripe charges whole cents, at most $999,999.99 (inverse-inc/packetfence#5567). Credit is Trivet's own and may be smaller.
func TestPricesThatStripeCanCharge(t *testing.T) {
	for price, want := range map[string]string{
		"0":                "",
		"0.00":             "",
		"0.01":             "",
		"20.5":             "",
		"20.500000000":     "",
		"999999.99":        "",
		"0.001":            `price is "0.001", must be whole cents such as "20.00": Stripe charges nothing smaller`,
		"0.000000001":      `price is "0.000000001", must be whole cents such as "20.00": Stripe charges nothing smaller`,
		"20.005":           `price is "20.005", must be whole cents such as "20.00": Stripe charges nothing smaller`,
		"999999.990000001": `price is "999999.990000001", must be at most $999999.99`,
		"1000000":          `price is "1000000", must be at most $999999.99`,
		"900000000.00":     `price is "900000000.00", must be at most $999999.99`,
	} {
		_, err := plans.Parse([]byte(`plans: [{id: a, name: A, price: "`+price+`", included_credit: "0.000000001"}]`), nil)
		if want == "" {
			require.NoError(t, err, price)
		} else {
			require.EqualError(t, err, "line 1: plan a: "+want)
		}
	}
}

// One grant is at most $1,000,000.
func TestIncludedCreditIsBounded(t *testing.T) {
	for credit, want := range map[string]string{
		"1000000":           "",
		"1000000.000000001": `line 1: plan a: included_credit is "1000000.000000001", must be at most $1000000.00`,
		"900000000":         `line 1: plan a: included_credit is "900000000", must be at most $1000000.00`,
	} {
		_, err := plans.Parse([]byte(`plans: [{id: a, name: A, price: "1", included_credit: "`+credit+`"}]`), nil)
		if want == "" {
			require.NoError(t, err, credit)
		} else {
			require.EqualError(t, err, want)
		}
	}
}

func TestParseRefusesWhatIsNotAPlanFile(t *testing.T) {
	for _, text := range []string{"", "plans:", "plans: []", "{", "- a", "plans: {a: b}", "packs: []"} {
		_, err := plans.Parse([]byte(text), nil)
		require.ErrorContains(t, err, "not a list of plans", text)
	}
}

func TestOneDocument(t *testing.T) {
	one := "plans: [{id: a, name: A, price: \"0\", included_credit: \"0\"}]\n"
	_, err := plans.Parse([]byte(one), nil)
	require.NoError(t, err)
	_, err = plans.Parse([]byte(one+"---\n"+one), nil)
	require.EqualError(t, err, "line 2: the file must end before this second document")
	_, err = plans.Parse([]byte("z: 1\ny: 2\n"+one), nil)
	require.EqualError(t, err, "line 1: z is unknown\nline 2: y is unknown")
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("plans: [{id: a, name: A, price: \"1\", included_credit: \"2\"}]"))
	f.Add([]byte("plans: [&a {id: *a}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := plans.Parse(data, nil)
		if err != nil {
			return
		}
		for _, p := range file.Plans {
			require.NotEmpty(t, p.ID)
			require.GreaterOrEqual(t, p.Price, int64(0))
			require.LessOrEqual(t, p.IncludedCredit, int64(1_000_000_000_000_000))
			require.LessOrEqual(t, p.Price, int64(999_999_990_000_000))
			require.Zero(t, p.Price%10_000_000, "whole cents")
		}
	})
}
