// Package tokens counts tokens and judges what a provider reports of them.
package tokens

import (
	usagev1 "github.com/trivet-dev/trivet/gen/go/trivet/usage/v1"
	"github.com/trivet-dev/trivet/platform/saturate"
)

// Usage is what a call consumed, in tokens. The zero value is nothing.
type Usage struct {
	// Input is all input, Cached the part of it that the provider had cached.
	Input, Cached int64
	// Output is all output, Reasoning the part of it that is not shown.
	Output, Reasoning int64
}

// Total returns input and output together.
func (u Usage) Total() int64 { return u.Input + u.Output }

// Proto returns u as the contract writes it.
func (u Usage) Proto() *usagev1.CallUsage {
	return &usagev1.CallUsage{
		InputTokens:       saturate.Int32(u.Input),
		CachedInputTokens: saturate.Int32(u.Cached),
		OutputTokens:      saturate.Int32(u.Output),
		ReasoningTokens:   saturate.Int32(u.Reasoning),
	}
}

// NotReported stands in a Reported for a number that the provider did not report, or that cannot be a count.
const NotReported = -1

// Reported is what a provider reports, each number for itself; NotReported for those it does not.
type Reported struct {
	Input, Cached, Output, Reasoning, Total int64
	// OfChoice tells that the output is what one choice reports. The call has more if the answer has other choices.
	OfChoice bool
}

// NothingReported returns a Reported without a number.
func NothingReported() Reported {
	return Reported{Input: NotReported, Cached: NotReported, Output: NotReported, Reasoning: NotReported, Total: NotReported}
}

// Complete reports whether the report says how much was used without a look at the text.
func (r Reported) Complete() bool { return r.Input > 0 && r.Output > 0 && !r.OfChoice }

// output returns the output, which may be in the total only.
func (r Reported) output() int64 { return max(r.Output, r.Total-max(r.Input, 0)) }

// Join adds a later report: no number becomes lower.
func (r *Reported) Join(later Reported) {
	switch before, now := r.output(), later.output(); {
	case now > before:
		r.OfChoice = later.OfChoice
	case now == before:
		r.OfChoice = r.OfChoice && later.OfChoice
	}
	r.Input, r.Cached = max(r.Input, later.Input), max(r.Cached, later.Cached)
	r.Output, r.Reasoning = max(r.Output, later.Output), max(r.Reasoning, later.Reasoning)
	r.Total = max(r.Total, later.Total)
}

// fill completes input and output by the total. Some providers count what the model thinks in the total only.
func (r *Reported) fill(embedding bool) {
	if r.Total <= 0 {
		return
	}
	switch {
	case embedding:
		r.Input = max(r.Input, r.Total)
	case r.Input > 0:
		r.Output = max(r.Output, r.Total-r.Input)
	case r.Output > 0 && r.Total > r.Output:
		r.Input = r.Total - r.Output
	}
}

// Evidence is all that is known of a call's usage when it has ended.
type Evidence struct {
	// Reported is what the provider reported.
	Reported Reported
	// Embedding tells that the call has no output.
	Embedding bool
	// Orderly tells that the answer came to its end: without that, a report may be an early one.
	Orderly bool
	// Several tells that the answer has more than one choice: what one choice reports is then not all of the output.
	Several bool
	// Produced tells that the answer has content: a report of zero is then not a fact.
	Produced bool
	// CountInput and CountOutput count what Trivet has seen; each is called at most once, and only if needed.
	CountInput, CountOutput func() int64
	// Bound is the most input and output that the call's hold is for.
	Bound Usage
}

// Verdict is what is billed.
type Verdict struct {
	// Usage is never above the bound.
	Usage Usage
	// Estimated tells that a number was counted by Trivet, or is one of several choices.
	Estimated bool
	// Excess is how much more than the bound the provider claims.
	Excess Usage
}

// Judge decides what a call has used, field by field: a number that the provider reports is a fact when it is above 0,
// or when the answer ended without producing anything; anything else is counted. What exceeds the bound is not believed.
func Judge(e Evidence) (v Verdict) {
	r := e.Reported
	r.fill(e.Embedding)
	if e.Embedding {
		r.Output, r.Reasoning = 0, 0
	}
	v.Usage.Input = r.Input
	if r.Input < 0 || r.Input == 0 && (e.Produced || !e.Orderly) {
		v.Usage.Input, v.Estimated = min(e.CountInput(), e.Bound.Input), true
		r.Cached = 0 // a part of a number that is not known
		if r.Total > v.Usage.Input && r.Output <= 0 {
			r.Output = r.Total - v.Usage.Input
		}
	}
	v.Usage.Output = r.Output
	if counted, needed := e.output(r); needed && counted > r.Output {
		v.Usage.Output, v.Estimated = min(counted, e.Bound.Output), true
	} else if needed && e.part(r) {
		v.Estimated = true
	}
	v.Usage.Output = max(v.Usage.Output, 0)
	v.Excess = Usage{Input: max(0, v.Usage.Input-e.Bound.Input), Output: max(0, v.Usage.Output-e.Bound.Output)}
	v.Usage.Input, v.Usage.Output = min(v.Usage.Input, e.Bound.Input), min(v.Usage.Output, e.Bound.Output)
	v.Usage.Cached = min(max(r.Cached, 0), v.Usage.Input)
	v.Usage.Reasoning = min(max(r.Reasoning, 0), v.Usage.Output)
	return v
}

// output counts the output when the report is not a fact by itself.
func (e Evidence) output(r Reported) (counted int64, needed bool) {
	if e.Embedding || !e.Produced || e.Orderly && r.Output > 0 && !e.part(r) {
		return 0, false
	}
	return e.CountOutput(), true
}

// part reports whether the reported output is that of one choice of several.
func (e Evidence) part(r Reported) bool { return r.OfChoice && e.Several }
