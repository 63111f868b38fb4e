package tokens_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/trivet-dev/trivet/services/ai/internal/tokens"
)

func TestUsage(t *testing.T) {
	u := tokens.Usage{Input: 5, Cached: 4, Output: 3, Reasoning: 2}
	require.EqualValues(t, 8, u.Total())
	p := u.Proto()
	require.Equal(t, []int32{5, 4, 3, 2}, []int32{p.GetInputTokens(), p.GetCachedInputTokens(), p.GetOutputTokens(), p.GetReasoningTokens()})
}

const none = tokens.NotReported

// TestJudge has 39 tokens of output that Trivet counted, 11 of input, and a bound of 2,000 and 1,500.
func TestJudge(t *testing.T) {
	cases := map[string]struct {
		reported  tokens.Reported
		broken    bool // the answer did not end in order
		several   bool // more than one choice
		empty     bool // nothing was produced
		embedding bool
		want      tokens.Usage
		estimated bool
		excess    tokens.Usage
	}{
		"all":                             {reported: tokens.Reported{Input: 10, Cached: 4, Output: 5, Reasoning: 3, Total: 15}, want: tokens.Usage{Input: 10, Cached: 4, Output: 5, Reasoning: 3}},
		"nothing":                         {reported: tokens.NothingReported(), want: tokens.Usage{Input: 11, Output: 39}, estimated: true},
		"output of zero, answer produced": {reported: tokens.Reported{Input: 10}, want: tokens.Usage{Input: 10, Output: 39}, estimated: true},
		"input of zero, answer produced":  {reported: tokens.Reported{Output: 5}, want: tokens.Usage{Input: 11, Output: 5}, estimated: true},
		"zeros, nothing produced":         {empty: true},
		"zeros, broken before anything":   {broken: true, empty: true, want: tokens.Usage{Input: 11}, estimated: true},
		"input only, nothing produced":    {reported: report(10, none, none, none, none), empty: true, want: tokens.Usage{Input: 10}},
		"no completion, but a total":      {reported: report(10, none, none, none, 35), want: tokens.Usage{Input: 10, Output: 25}},
		"thinking in the total only":      {reported: report(20, none, 424, none, 1016), want: tokens.Usage{Input: 20, Output: 996}},
		"total below its parts":           {reported: report(20, none, 424, none, 100), want: tokens.Usage{Input: 20, Output: 424}},
		"no prompt, but a total":          {reported: report(none, none, 5, none, 35), want: tokens.Usage{Input: 30, Output: 5}},
		"total only":                      {reported: report(none, none, none, none, 111), want: tokens.Usage{Input: 11, Output: 100}, estimated: true},
		"output of zero, but a total":     {reported: report(none, none, 0, none, 111), want: tokens.Usage{Input: 11, Output: 100}, estimated: true},
		"total below its output":          {reported: report(none, none, 50, none, 40), want: tokens.Usage{Input: 11, Output: 50}, estimated: true},
		"early report, then broken":       {reported: tokens.Reported{Input: 10, Output: 1}, broken: true, want: tokens.Usage{Input: 10, Output: 39}, estimated: true},
		"late report, then broken":        {reported: tokens.Reported{Input: 10, Output: 50}, broken: true, want: tokens.Usage{Input: 10, Output: 50}},
		"parts above their wholes":        {reported: tokens.Reported{Input: 10, Cached: 99, Output: 5, Reasoning: 99}, want: tokens.Usage{Input: 10, Cached: 10, Output: 5, Reasoning: 5}},
		"cached without input":            {reported: report(none, 7, 5, none, none), want: tokens.Usage{Input: 11, Output: 5}, estimated: true},
		"output above the bound":          {reported: tokens.Reported{Input: 10, Output: 999_999_999}, want: tokens.Usage{Input: 10, Output: 1500}, excess: tokens.Usage{Output: 999_998_499}},
		"total above the bound":           {reported: report(10, none, 5, none, 1e12), want: tokens.Usage{Input: 10, Output: 1500}, excess: tokens.Usage{Output: 1e12 - 10 - 1500}},
		"input above the bound":           {reported: tokens.Reported{Input: 2001, Cached: 2001, Output: 5}, want: tokens.Usage{Input: 2000, Cached: 2000, Output: 5}, excess: tokens.Usage{Input: 1}},
		"exactly the bound":               {reported: tokens.Reported{Input: 2000, Output: 1500}, want: tokens.Usage{Input: 2000, Output: 1500}},
		"of the only choice":              {reported: ofChoice(report(10, none, 5, 3, 15)), want: tokens.Usage{Input: 10, Output: 5, Reasoning: 3}},
		"of one choice of several":        {reported: ofChoice(report(10, 4, 5, none, 15)), several: true, want: tokens.Usage{Input: 10, Cached: 4, Output: 39}, estimated: true},
		"of one choice, as counted":       {reported: ofChoice(report(10, none, 39, none, none)), several: true, want: tokens.Usage{Input: 10, Output: 39}, estimated: true},
		"of one choice, above the count":  {reported: ofChoice(report(10, none, 50, 45, none)), several: true, want: tokens.Usage{Input: 10, Output: 50, Reasoning: 45}, estimated: true},
		"of one choice, in its total":     {reported: ofChoice(report(10, none, none, none, 35)), several: true, want: tokens.Usage{Input: 10, Output: 39}, estimated: true},
		"of one choice, nothing produced": {reported: ofChoice(report(10, none, 5, none, none)), several: true, empty: true, want: tokens.Usage{Input: 10, Output: 5}},
		"of all choices":                  {reported: report(10, none, 5, none, none), several: true, want: tokens.Usage{Input: 10, Output: 5}},
		"embedding of several":            {reported: ofChoice(report(8, none, none, none, 8)), several: true, embedding: true, want: tokens.Usage{Input: 8}},
		"embedding":                       {reported: report(8, none, none, none, 8), embedding: true, want: tokens.Usage{Input: 8}},
		"embedding, total only":           {reported: report(none, none, none, none, 8), embedding: true, want: tokens.Usage{Input: 8}},
		"embedding, total below":          {reported: report(8, none, none, none, 5), embedding: true, want: tokens.Usage{Input: 8}},
		"embedding of zero":               {reported: tokens.Reported{}, embedding: true, want: tokens.Usage{Input: 11}, estimated: true},
		"embedding with output":           {reported: tokens.Reported{Input: 8, Output: 9}, embedding: true, want: tokens.Usage{Input: 8}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := tokens.Judge(tokens.Evidence{
				Reported: c.reported, Orderly: !c.broken, Several: c.several, Produced: !c.empty, Embedding: c.embedding, Bound: tokens.Usage{Input: 2000, Output: 1500},
				CountInput: func() int64 { return 11 }, CountOutput: func() int64 { return 39 },
			})
			require.Equal(t, tokens.Verdict{Usage: c.want, Estimated: c.estimated, Excess: c.excess}, got)
		})
	}
}

func TestLaterReportsLowerNothing(t *testing.T) {
	r := tokens.NothingReported()
	r.Join(report(10, 2, 5, 1, 15))
	r.Join(tokens.Reported{})
	r.Join(tokens.NothingReported())
	r.Join(report(9, 3, 7, none, 16))
	require.Equal(t, report(10, 3, 7, 1, 16), r)
	r.Join(report(1, 1, 1, 1, 1))
	require.Equal(t, report(10, 3, 7, 1, 16), r)
}

// TestReportsOfChoices: what a choice reports is known as such until the call reports as much.
func TestReportsOfChoices(t *testing.T) {
	const choice, call = true, false
	type said struct {
		ofChoice      bool
		output, total int64
	}
	for name, c := range map[string]struct {
		said []said
		want bool
	}{
		"a choice":                             {[]said{{choice, 4, none}}, true},
		"two choices":                          {[]said{{choice, 4, none}, {choice, 6, none}, {choice, 5, none}}, true},
		"choices, then the call":               {[]said{{choice, 4, none}, {choice, 6, none}, {call, 10, none}}, false},
		"the call, then choices":               {[]said{{call, 10, none}, {choice, 4, none}, {choice, 6, none}}, false},
		"a choice, then as much":               {[]said{{choice, 4, none}, {call, 4, none}}, false},
		"as much, then a choice":               {[]said{{call, 4, none}, {choice, 4, none}}, false},
		"less, then a choice":                  {[]said{{call, 1, none}, {choice, 4, none}}, true},
		"a choice, then less":                  {[]said{{choice, 4, none}, {call, 3, none}}, true},
		"a choice, then nothing":               {[]said{{choice, 4, none}, {call, none, none}}, true},
		"the total of a choice":                {[]said{{call, 3, none}, {choice, none, 13}}, true},
		"the total of the call":                {[]said{{choice, 4, none}, {call, none, 13}}, false},
		"the total of the call, then a choice": {[]said{{call, none, 13}, {choice, 3, none}}, false},
	} {
		r := tokens.NothingReported()
		for _, s := range c.said {
			later := report(9, none, s.output, none, s.total)
			later.OfChoice = s.ofChoice
			r.Join(later)
		}
		require.Equal(t, c.want, r.OfChoice, name)
		require.Equal(t, !c.want && r.Output > 0, r.Complete(), name)
	}
}

// TestAVerdictCanAlwaysBeBilled tries every report that a provider can make: what comes of it is within the bound, and
// valid for the ledger.
func TestAVerdictCanAlwaysBeBilled(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.OneOf(rapid.Int64Range(-1, 100), rapid.Int64Range(-1, 1<<62))
		bound := tokens.Usage{Input: rapid.Int64Range(0, 1000).Draw(t, "boundInput"), Output: rapid.Int64Range(0, 1000).Draw(t, "boundOutput")}
		reported := report(number.Draw(t, "input"), number.Draw(t, "cached"), number.Draw(t, "output"), number.Draw(t, "reasoning"), number.Draw(t, "total"))
		reported.OfChoice = rapid.Bool().Draw(t, "ofChoice")
		v := tokens.Judge(tokens.Evidence{
			Reported: reported,
			Several:  rapid.Bool().Draw(t, "several"), Orderly: rapid.Bool().Draw(t, "orderly"), Produced: rapid.Bool().Draw(t, "produced"), Embedding: rapid.Bool().Draw(t, "embedding"), Bound: bound,
			CountInput: func() int64 { return rapid.Int64Range(0, 2000).Draw(t, "countedInput") }, CountOutput: func() int64 { return rapid.Int64Range(0, 2000).Draw(t, "countedOutput") },
		})
		u := v.Usage
		if u.Input < 0 || u.Input > bound.Input || u.Output < 0 || u.Output > bound.Output || u.Cached < 0 || u.Cached > u.Input || u.Reasoning < 0 || u.Reasoning > u.Output {
			t.Fatalf("%+v is not within %+v", u, bound)
		}
	})
}

// report is what a provider reports; none stands for a number that it does not.
func report(input, cached, output, reasoning, total int64) tokens.Reported {
	return tokens.Reported{Input: input, Cached: cached, Output: output, Reasoning: reasoning, Total: total}
}

// ofChoice is a report of a choice.
func ofChoice(r tokens.Reported) tokens.Reported {
	r.OfChoice = true
	return r
}
