// Package tokens counts tokens.
package tokens

import (
	"math"

	usagev1 "github.com/trivet-dev/trivet/gen/go/trivet/usage/v1"
	"github.com/trivet-dev/trivet/platform/saturate"
)

// most is the largest count that usagev1.CallUsage carries; a provider that says more is not believed.
const most = math.MaxInt32

// Usage is what a call consumed, in tokens. The zero value is nothing.
type Usage struct {
	// Input is all input, Cached the part of it that the provider had cached.
	Input, Cached int64
	// Output is all output, Reasoning the part of it that nobody sees.
	Output, Reasoning int64
}

// Valid reports whether the counts can be true at all: none negative, none above the largest int32.
func (u Usage) Valid() bool {
	return min(u.Input, u.Cached, u.Output, u.Reasoning) >= 0 && max(u.Input, u.Cached, u.Output, u.Reasoning) <= most
}

// Sane returns u with the parts cut to their wholes: a provider that reports more cached than input tokens must not
// make a settlement invalid.
func (u Usage) Sane() Usage {
	u.Cached, u.Reasoning = min(u.Cached, u.Input), min(u.Reasoning, u.Output)
	return u
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
