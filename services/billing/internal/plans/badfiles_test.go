package plans_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/billing/internal/plans"
)

// Mistakes that people make in YAML. Each gets an error, and none a value that nobody wrote.
func TestBadPlanFiles(t *testing.T) {
	whole := "plans:\n  - {id: a, name: A, price: \"20.00\", included_credit: \"5\"}\n"
	// with adds a field to the plan, field replaces one, and pack adds a pack.
	with := func(text string) string { return strings.Replace(whole, `"5"}`, `"5", `+text+`}`, 1) }
	field := func(old, replacement string) string { return strings.Replace(whole, old, replacement, 1) }
	pack := func(text string) string { return whole + "packs:\n  - {" + text + "}\n" }
	const count = ", must be a whole number from 0 (none) to 2147483647"
	for name, c := range map[string]struct{ file, want string }{
		"a byte order mark":              {"\ufeff" + whole, ""},
		"lines of Windows":               {strings.ReplaceAll(whole, "\n", "\r\n"), ""},
		"JSON":                           {`{"plans":[{"id":"a","name":"A","price":"1.00","included_credit":"1"}]}`, ""},
		"an end marker":                  {whole + "...\n", ""},
		"an alias of a value":            {field(`"20.00"`, `&p "20.00"`) + "packs: [{id: p, name: P, price: *p, credit: *p}]\n", ""},
		"a number as id":                 {field("id: a", "id: 007"), ""},
		"a date as name":                 {field("name: A", "name: 2026-01-01"), ""},
		"thousands":                      {with("limits: {requests_per_minute: 1_000}"), ""},
		"a plan and a pack of one id":    {pack(`id: a, name: P, price: "1.00", credit: "1"`), ""},
		"Latin-1":                        {field("name: A", "name: Caf\xe9"), "not a list of plans: yaml: invalid trailing UTF-8 octet"},
		"bytes":                          {"\x00\x01\x02", "not a list of plans: yaml: control characters are not allowed"},
		"comments only":                  {"# nothing\n", `not a list of plans: the file must be a mapping with "plans"`},
		"an empty first document":        {"---\n---\n" + whole, "line 2: the file must end before this second document\nnot a list of plans: the file must be a mapping with \"plans\""},
		"a broken second document":       {whole + "---\n{", "the file must end after one document: yaml: line 4: did not find expected node content"},
		"a tab before a plan":            {"plans:\n\t- {id: a}\n", "not a list of plans: yaml: line 2: found character that cannot start any token; line 2 begins with a tab: indent with spaces"},
		"a tab after spaces":             {"plans:\n  - id: a\n  \tname: A\n", "not a list of plans: yaml: line 2: found a tab character that violates indentation; line 3 begins with a tab: indent with spaces"},
		"a bad indentation":              {"plans:\n  - id: a\n     name: A\n", "not a list of plans: yaml: line 3: mapping values are not allowed in this context"},
		"an anchor that is missing":      {field("name: A", "name: *x"), "not a list of plans: yaml: unknown anchor 'x' referenced"},
		"very deep":                      {"plans: " + strings.Repeat("[", 20_000), "not a list of plans: yaml: exceeded max depth of 10000"},
		"a list in itself":               {"plans: &p\n  - *p\n", "line 1: plan number 1: the entry must be a mapping of fields"},
		"the same plan again":            {"plans:\n  - &b {id: a, name: A, price: \"1\", included_credit: \"1\"}\n  - *b\n", "line 2: plan a: id is used twice"},
		"a merge key":                    {"plans:\n  - &b {id: a, name: A, price: \"1\", included_credit: \"1\"}\n  - {<<: *b, id: b, name: B, price: \"1\", included_credit: \"1\"}\n", "line 3: plan b: << is not supported: write the fields of each entry"},
		"plans as a mapping":             {"plans:\n  a: {name: A}\n", "line 2: plans must be a list of at most 200\nnot a list of plans: \"plans\" is empty"},
		"plans twice":                    {whole + whole, "line 3: plan a: plans is set twice"},
		"packs of nothing":               {whole + "packs:\n", "line 3: packs must be a list of at most 200"},
		"a list as a key":                {whole + "? [a]\n: b\n", "line 3: plan a: a field has no name"},
		"an empty key":                   {with(`"": x`), "line 2: plan a: a field has no name"},
		"a key of JavaScript":            {with("yearlyPrice: \"1\""), "line 2: plan a: yearlyPrice is unknown"},
		"a currency":                     {with("currency: eur"), "line 2: plan a: currency is unknown"},
		"an id with a version":           {field("id: a", "id: a@2"), `line 2: plan a@2: id is "a@2", must be lower-case letters, digits, - and _, at most 64`},
		"an id with another case":        {whole + "  - {id: A, name: B, price: \"1\", included_credit: \"1\"}\n", `line 3: plan A: id is "A", must be lower-case letters, digits, - and _, at most 64`},
		"a name of nothing":              {field("name: A", "name: ~"), "line 2: plan a: name is empty"},
		"a name of blanks":               {field("name: A", `name: " "`), `line 2: plan a: name is " ", must have no control characters, and no white space around it`},
		"a control character in a name":  {field("name: A", `name: "A\0B"`), `line 2: plan a: name is "A\x00B", must have no control characters, and no white space around it`},
		"a mark of direction in a name":  {field("name: A", `name: "A\u202eB"`), `line 2: plan a: name is "A\u202eB", must have no control characters, and no white space around it`},
		"a long name":                    {field("name: A", "name: "+strings.Repeat("n", 129)), "line 2: plan a: name has 129 bytes, must have at most 128"},
		"a price as a number":            {field(`"20.00"`, "20.00"), `line 2: plan a: price must be dollars as quoted text, such as "5.00"`},
		"a price as a date":              {field(`"20.00"`, "2026-01-01"), `line 2: plan a: price must be dollars as quoted text, such as "5.00"`},
		"a price with a sign":            {field(`"20.00"`, `"$20"`), `line 2: plan a: price "$20" is not an amount of dollars: write digits such as "0.15"`},
		"a price with thousands":         {field(`"20.00"`, `"1,000.00"`), `line 2: plan a: price "1,000.00" is not an amount of dollars: write digits such as "0.15"`},
		"a price with a comma":           {field(`"20.00"`, `"20,00"`), `line 2: plan a: price "20,00" is not an amount of dollars: write digits such as "0.15"`},
		"a price with an exponent":       {field(`"20.00"`, `"2e1"`), `line 2: plan a: price "2e1" is not an amount of dollars: write digits such as "0.15"`},
		"a price in other digits":        {field(`"20.00"`, `"٢٠"`), `line 2: plan a: price "٢٠" is not an amount of dollars: write digits such as "0.15"`},
		"a huge price":                   {field(`"20.00"`, `"99999999999999999999999999"`), `line 2: plan a: price "99999999999999999999999999" is too large`},
		"a price with a new line":        {field(`"20.00"`, `"20.00\n"`), `line 2: plan a: price "20.00\n" is not an amount of dollars: write digits such as "0.15"`},
		"an infinite credit":             {field(`"5"`, ".inf"), `line 2: plan a: included_credit must be dollars as quoted text, such as "5.00"`},
		"less than a nano-dollar":        {field(`"5"`, `"0.0000000001"`), `line 2: plan a: included_credit "0.0000000001" has more than nine decimals; a nano-dollar is the smallest amount`},
		"seats as a number":              {with("seats: 5"), "line 2: plan a: seats must be a mapping of fields"},
		"no seats":                       {with("seats: {min: 0}"), `line 2: plan a: seats.min is "0", must be a whole number from 1 to 100000`},
		"seats beyond 32 bits":           {with("seats: {max: 2147483648}"), `line 2: plan a: seats.max is "2147483648", must be a whole number from 1 to 100000`},
		"seats beyond 64 bits":           {with("seats: {max: 99999999999999999999}"), `line 2: plan a: seats.max is "99999999999999999999", must be a whole number from 1 to 100000`},
		"seats in another base":          {with("seats: {max: 0x10}"), `line 2: plan a: seats.max is "0x10", must be a whole number from 1 to 100000`},
		"seats as a float":               {with("seats: {max: 1e3}"), `line 2: plan a: seats.max is "1e3", must be a whole number from 1 to 100000`},
		"more seats than Stripe charges": {with("seats: {min: 50000}"), "line 2: plan a: seats.min is 50000, must be at most 49999 for the price of a month: Stripe charges at most $999999.99 at once"},
		"a typo in seats":                {with("seats: {per_membr: true}"), "line 2: plan a: seats.per_membr is unknown; did you mean per_member?"},
		"quoted true":                    {with(`seats: {per_member: "true"}`), "line 2: plan a: seats.per_member must be true or false"},
		"neither true nor false":         {with("internal: ~"), "line 2: plan a: internal must be true or false"},
		"days with a unit":               {with("trial: {days: 14d}"), `line 2: plan a: trial.days is "14d", must be a whole number from 1 to 730`},
		"a negative credit of a trial":   {with(`trial: {days: 14, credit: "-1"}`), `line 2: plan a: trial.credit "-1" is not an amount of dollars: write digits such as "0.15"`},
		"overage without a cap":          {with("overage: 200"), "line 2: plan a: overage must be a mapping of fields"},
		"overage up to nothing":          {with(`overage: {cap: "0.00"}`), `line 2: plan a: overage.cap is "0.00", must be above 0`},
		"a top-up up to nothing":         {with(`auto_top_up: {monthly_cap: "0"}`), `line 2: plan a: auto_top_up.monthly_cap is "0", must be above 0`},
		"a top-up at nothing":            {with(`auto_top_up: {max_threshold: "0", monthly_cap: "10"}`), `line 2: plan a: auto_top_up.max_threshold is "0", must be above 0`},
		"models that were commented out": {with("models: ~"), "line 2: plan a: models must be a list of names"},
		"a model of nothing":             {with("models: [~]"), "line 2: plan a: models must be a list of names"},
		"an unknown model":               {with("models: [gpt-9]"), `line 2: plan a: models names "gpt-9", which is not in the price list (MODELS_FILE)`},
		"a model twice":                  {with("models: [m1, m1]"), `line 2: plan a: models names "m1" twice`},
		"a feature of blanks":            {with(`features: ["chat "]`), `line 2: plan a: a name in features is "chat ", must have no control characters, and no white space around it`},
		"a feature nobody can ask for":   {with("features: [" + strings.Repeat("f", 129) + "]"), "line 2: plan a: a name in features has 129 bytes, must have at most 128"},
		"features as a mapping":          {with("features: {chat: true}"), "line 2: plan a: features must be a list of names"},
		"an octal limit":                 {with("limits: {requests_per_minute: 0600}"), `line 2: plan a: limits.requests_per_minute is "0600"` + count},
		"a limit of nothing":             {with("limits: {requests_per_day: ~}"), `line 2: plan a: limits.requests_per_day is "~"` + count},
		"a limit twice":                  {with("limits: {requests_per_day: 1, requests_per_day: 2}"), "line 2: plan a: limits.requests_per_day is set twice"},
		"a percentage with its sign":     {with("renewal_advance_percent: 25%"), `line 2: plan a: renewal_advance_percent is "25%", must be a whole number from 0 to 100`},
		"a pack with the credit of a plan": {
			pack(`id: p, name: P, price: "1", included_credit: "1"`), "line 4: pack p: included_credit is unknown\nline 4: pack p: credit is missing",
		},
		"a pack that Stripe does not charge": {pack(`id: p, name: P, price: "0.49", credit: "1"`), `line 4: pack p: price is "0.49", must be at least 0.50: Stripe makes no smaller payment`},
		"a pack for half a dollar":           {pack(`id: p, name: P, price: "0.50", credit: "1"`), ""},
		"parts of a month":                   {pack(`id: p, name: P, price: "1", credit: "1", expire_months: 12.5`), `line 4: pack p: expire_months is "12.5", must be a whole number from 0 to 120`},
	} {
		t.Run(name, func(t *testing.T) {
			file, err := plans.Parse([]byte(c.file), []string{"m1"})
			if c.want == "" {
				require.NoError(t, err)
				require.Len(t, file.Plans, 1)
				return
			}
			require.EqualError(t, err, c.want)
			require.Empty(t, file)
		})
	}
}

// A plan may allow more seats than Stripe charges at once. No more than those are sold.
func TestMostSeats(t *testing.T) {
	for name, c := range map[string]struct {
		price, yearly, most, month, year int64
	}{
		"the plan's own":     {20_00, 200_00, 5, 5, 5},
		"what a month costs": {20_00, 0, 100_000, 49_999, 100_000},
		"what a year costs":  {20_00, 200_00, 100_000, 49_999, 4_999},
		"exactly":            {99_999_999, 99_999_999, 5, 1, 1},
	} {
		p := plans.Plan{Price: c.price * plans.Cent, YearlyPrice: c.yearly * plans.Cent, Seats: &plans.Seats{Min: 1, Max: c.most, PerMember: true}}
		require.Equal(t, c.month, p.MostSeats(plans.Month), name)
		require.Equal(t, c.year, p.MostSeats(plans.Year), name)
		require.Equal(t, c.month, p.SeatsFor(plans.Month, 1_000_000, 1), name)
		require.Equal(t, c.year, p.SeatsFor(plans.Year, 1_000_000, 1), name)
	}
}
