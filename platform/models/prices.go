package models

import (
	"fmt"
	"math"
)

// TokenPrices are the prices of a million tokens of text, in nano-dollars.
type TokenPrices struct {
	Input, CachedInput, Output int64
	// Long are the prices of a call with a long input; nil if none exist.
	Long *LongPrices
}

// LongPrices are the prices of all tokens of a call whose input is long.
type LongPrices struct {
	// Above is the number of input tokens that a call must exceed.
	Above int64
	// Input, CachedInput and Output are the prices of a million tokens, in nano-dollars.
	Input, CachedInput, Output int64
}

// Prices are what a model costs besides its tokens of text at the standard prices. All are in nano-dollars.
type Prices struct {
	// AudioInput, ImageInput, AudioOutput and ImageOutput are the prices of a million tokens that are not text. They are the
	// text's where the price list has none.
	AudioInput, ImageInput, AudioOutput, ImageOutput int64
	// Long are the standard prices of a call with a long input; nil if none exist.
	Long *LongPrices
	// Tiers are the prices of service tiers by name.
	Tiers map[string]TokenPrices
	// Images are the prices of one image, by quality and size: "hd/1024x1024".
	Images map[string]int64
	// Minute is the price of a minute of sound.
	Minute int64
	// Characters is the price of a million characters that are spoken.
	Characters int64
	// Tools are the prices of one call of a tool that the provider runs, by the tool's type.
	Tools map[string]int64
	// MaxAudioSeconds bounds the sound of one request; 0 for models that take none.
	MaxAudioSeconds int64
}

// Quantities are what a call used, in all kinds that have a price.
type Quantities struct {
	// Input, Cached and Output are tokens as Cost takes them.
	Input, Cached, Output int64
	// AudioInput and ImageInput are parts of Input, AudioOutput and ImageOutput parts of Output.
	AudioInput, ImageInput, AudioOutput, ImageOutput int64
	// Images is the number of images of the kind Image, which is a key of Prices.Images.
	Images int64
	Image  string
	// AudioMillis is the length of sound that was read, in milliseconds.
	AudioMillis int64
	// Characters is how many characters were spoken.
	Characters int64
	// Tools are calls of tools by type.
	Tools map[string]int64
	// Tier is the service tier that served the call; empty for the standard one.
	Tier string
}

// Worst is the highest price that a call can have, for the hold.
type Worst struct {
	// Input and Output are the prices of a million tokens of the dearest kind.
	Input, Output int64
	// Fixed is the price of everything that is not a token.
	Fixed int64
}

// minute is a minute in milliseconds.
const minute = 60_000

// Price returns the price of a call in nano-dollars. The tokens are summed exactly and rounded up once, and so is each
// other kind. It fails like Cost, and on a kind that has no price.
func (m Model) Price(q Quantities) (int64, error) {
	p := m.Prices
	if p == nil {
		p = &Prices{}
	}
	text, err := m.textPrices(q.Tier, q.Input)
	if err != nil {
		return 0, err
	}
	plain := q.Input - q.AudioInput - q.ImageInput
	plainOutput := q.Output - q.AudioOutput - q.ImageOutput
	if plain < 0 || plainOutput < 0 || min(q.Input, q.Cached, q.Output, q.AudioInput, q.ImageInput, q.AudioOutput, q.ImageOutput) < 0 || q.Cached > q.Input {
		return 0, fmt.Errorf("cost of %s: the counts of tokens do not fit together: %+v", m.ID, q)
	}
	cached := min(q.Cached, plain)
	var sum wide
	sum.addProduct(plain-cached, text.Input)
	sum.addProduct(cached, text.CachedInput)
	sum.addProduct(plainOutput, text.Output)
	sum.addProduct(q.AudioInput, p.AudioInput)
	sum.addProduct(q.ImageInput, p.ImageInput)
	sum.addProduct(q.AudioOutput, p.AudioOutput)
	sum.addProduct(q.ImageOutput, p.ImageOutput)
	tokens, ok := sum.divideUp(tokensPerPrice)
	fixed, err := m.fixed(q)
	if err != nil {
		return 0, err
	}
	if !ok || tokens > math.MaxInt64-fixed {
		return 0, fmt.Errorf("cost of %s: the call costs more than int64 nano-dollars", m.ID)
	}
	return tokens + fixed, nil
}

// textPrices are the prices of text for a tier and a number of input tokens.
func (m Model) textPrices(tier string, input int64) (TokenPrices, error) {
	t := TokenPrices{Input: m.InputPrice, CachedInput: m.CachedInputPrice, Output: m.OutputPrice}
	if m.Prices != nil {
		t.Long = m.Prices.Long
	}
	if tier != "" {
		if !m.HasTier(tier) {
			return t, fmt.Errorf("cost of %s: the service tier %q has no price", m.ID, tier)
		}
		t = m.Prices.Tiers[tier]
	}
	if l := t.Long; l != nil && input > l.Above {
		t.Input, t.CachedInput, t.Output = l.Input, l.CachedInput, l.Output
	}
	return t, nil
}

// HasTier reports whether a service tier has prices of its own.
func (m Model) HasTier(tier string) bool {
	if m.Prices == nil {
		return false
	}
	_, known := m.Prices.Tiers[tier]
	return known
}

// fixed is the price of everything that is not a token.
func (m Model) fixed(q Quantities) (int64, error) {
	p := m.Prices
	if p == nil {
		p = &Prices{}
	}
	image, known := p.Images[q.Image]
	if q.Images > 0 && len(p.Images) > 0 && !known {
		return 0, fmt.Errorf("cost of %s: an image %q has no price", m.ID, q.Image)
	}
	var sum int64
	parts := []struct{ count, price, per int64 }{{q.Images, image, 1}, {q.AudioMillis, p.Minute, minute}, {q.Characters, p.Characters, tokensPerPrice}}
	for tool, count := range q.Tools {
		price, known := p.Tools[tool]
		if count > 0 && !known {
			return 0, fmt.Errorf("cost of %s: the tool %q has no price", m.ID, tool)
		}
		parts = append(parts, struct{ count, price, per int64 }{count, price, 1})
	}
	for _, part := range parts {
		if part.count < 0 {
			return 0, fmt.Errorf("cost of %s: a count is negative", m.ID)
		}
		var one wide
		one.addProduct(part.count, part.price)
		cost, ok := one.divideUp(uint64(part.per))
		if !ok || cost > math.MaxInt64-sum {
			return 0, fmt.Errorf("cost of %s: the call costs more than int64 nano-dollars", m.ID)
		}
		sum += cost
	}
	return sum, nil
}

// Worst returns the highest price of a call that uses at most most. A kind of tokens counts when most has any of it. The
// provider may serve the call at the standard tier.
func (m Model) Worst(most Quantities) (Worst, error) {
	w := Worst{}
	for _, tier := range []string{"", most.Tier} {
		for _, input := range []int64{0, most.Input} {
			t, err := m.textPrices(tier, input)
			if err != nil {
				return w, err
			}
			w.Input, w.Output = max(w.Input, t.Input, t.CachedInput), max(w.Output, t.Output)
		}
	}
	if p := m.Prices; p != nil {
		for _, kind := range []struct {
			tokens, price int64
			into          *int64
		}{
			{most.AudioInput, p.AudioInput, &w.Input},
			{most.ImageInput, p.ImageInput, &w.Input},
			{most.AudioOutput, p.AudioOutput, &w.Output},
			{most.ImageOutput, p.ImageOutput, &w.Output},
		} {
			if kind.tokens > 0 {
				*kind.into = max(*kind.into, kind.price)
			}
		}
	}
	var err error
	w.Fixed, err = m.fixed(most)
	return w, err
}
