package plans_test

import (
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
		ID: "free", Name: "Free", IncludedCredit: 5_000_000_000,
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
	require.Equal(t, []string{"free", "pro", "team"}, ids)
	require.Len(t, c.OnSale(), 3, "asking leaves the list as it is")
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
		ID: "solo", Name: "Solo", Price: 100_000_000, IncludedCredit: 1, Models: []string{"m1"}, Limits: plans.Limits{TokensPerMinute: 2147483647},
	}, c.Default())

	_, err = plans.Load(file, "solo", []string{"m2"})
	require.EqualError(t, err, `PLANS_FILE: `+file+`: plan solo: models names "m1", which is not in the price list (MODELS_FILE)`)
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
		`{id: a, name: A, price: "0", included_credit: "0", limits: {requests_per_minute: 2147483647, tokens_per_minute: 2147483647, concurrent_requests: 2147483647}}`: "",
		`{id: a, name: A, price: "0", included_credit: "0", limits: {tokens_per_minute: 2147483648}}`:                                                                   "limits.tokens_per_minute",
		`{id: a, name: A, price: "0", included_credit: "0", limits: {concurrent_requests: -1}}`:                                                                         "limits.concurrent_requests",
		`{id: a, name: A, price: "0", included_credit: "0", limits: {concurrent_requests: "1"}}`:                                                                        "limits.concurrent_requests",
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
`), nil)
	require.Error(t, err)
	require.Equal(t, []string{
		`"plan" is unknown: the file has only "plans"`,
		`plan Free: id is "Free", must be lower-case letters, digits, - and _, at most 64`,
		`plan Free: name is empty`,
		`plan Free: price must be dollars as quoted text, such as "5.00"`,
		`plan Free: included_credit "five" is not an amount of dollars: write digits such as "0.15"`,
		`plan Free: limits.requests_per_minute is "-1", must be a whole number from 0 (none) to 2147483647`,
		`plan Free: limits.tokens_per_minute is "1.5", must be a whole number from 0 (none) to 2147483647`,
		`plan Free: limits.concurrent is unknown`,
		`plan Free: models must be a list of names (line 4)`,
		`plan number 2: price is set twice`,
		`plan number 2: internal must be true or false (line 5)`,
		`plan number 2: colour is unknown`,
		`plan number 2: id is missing`,
		`plan twice: price is "900000000.000000001", must be at most $999999.99`,
		`plan twice: included_credit is "1000000.000000001", must be at most $1000000.00`,
		`plan twice: features has an empty name`,
		`plan twice: price "-1" is not an amount of dollars: write digits such as "0.15"`,
		`plan twice: limits.requests_per_minute is "2147483648", must be a whole number from 0 (none) to 2147483647`,
		`plan twice: limits.concurrent_requests is "many", must be a whole number from 0 (none) to 2147483647`,
		`plan twice: id is used twice`,
		`plan number 5: the plan must be a mapping of fields (line 8)`,
		`plan list: name must be text (line 9)`,
		`plan list: price must be dollars as quoted text, such as "5.00"`,
		`plan list: included_credit must be dollars as quoted text, such as "5.00"`,
		`plan list: limits must be a mapping of fields (line 9)`,
	}, strings.Split(err.Error(), "\n"))
}

// Stripe charges whole cents, at most $999,999.99. Credit is Trivet's own and may be smaller.
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
			require.EqualError(t, err, "plan a: "+want)
		}
	}
}

// One grant is at most $1,000,000.
func TestIncludedCreditIsBounded(t *testing.T) {
	for credit, want := range map[string]string{
		"1000000":           "",
		"1000000.000000001": `plan a: included_credit is "1000000.000000001", must be at most $1000000.00`,
		"900000000":         `plan a: included_credit is "900000000", must be at most $1000000.00`,
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
	for _, text := range []string{"", "plans:", "plans: []", "{", "- a", "plans: {a: b}"} {
		_, err := plans.Parse([]byte(text), nil)
		require.ErrorContains(t, err, "not a list of plans", text)
	}
}

func TestOneDocument(t *testing.T) {
	one := "plans: [{id: a, name: A, price: \"0\", included_credit: \"0\"}]\n"
	_, err := plans.Parse([]byte(one), nil)
	require.NoError(t, err)
	_, err = plans.Parse([]byte(one+"---\n"+one), nil)
	require.ErrorContains(t, err, "one document")
	_, err = plans.Parse([]byte("z: 1\ny: 2\n"+one), nil)
	require.EqualError(t, err, "\"y\" is unknown: the file has only \"plans\"\n\"z\" is unknown: the file has only \"plans\"")
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("plans: [{id: a, name: A, price: \"1\", included_credit: \"2\"}]"))
	f.Add([]byte("plans: [&a {id: *a}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := plans.Parse(data, nil)
		if err != nil {
			return
		}
		for _, p := range all {
			require.NotEmpty(t, p.ID)
			require.GreaterOrEqual(t, p.Price, int64(0))
			require.LessOrEqual(t, p.IncludedCredit, int64(1_000_000_000_000_000))
			require.LessOrEqual(t, p.Price, int64(999_999_990_000_000))
			require.Zero(t, p.Price%10_000_000, "whole cents")
		}
	})
}
