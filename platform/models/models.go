// Package models is the price list: which models exist, what they accept, and what their tokens cost. ai reads the
// limits, billing the prices.
package models

import (
	"fmt"
	"math/bits"
)

// Kinds of models.
const (
	// KindChat answers conversations.
	KindChat = "chat"
	// KindEmbedding turns texts into vectors.
	KindEmbedding = "embedding"
	// KindCompletion continues a text.
	KindCompletion = "completion"
	// KindModeration judges texts and images. It is free.
	KindModeration = "moderation"
	// KindImage makes images.
	KindImage = "image"
	// KindSpeech speaks texts.
	KindSpeech = "speech"
	// KindTranscription turns sound into text.
	KindTranscription = "transcription"
)

// Vocabularies of models.
const (
	// VocabularyO200k is o200k_base, the encoding of OpenAI's chat models since gpt-4o.
	VocabularyO200k = "o200k_base"
	// VocabularyCl100k is cl100k_base, the encoding of OpenAI's embedding models, gpt-4 and gpt-3.5.
	VocabularyCl100k = "cl100k_base"
	// VocabularyBytes stands for an encoding that Trivet does not have: each byte of a text counts as a token, which
	// no encoding exceeds.
	VocabularyBytes = "bytes"
)

// Fields that bound the output of a chat.
const (
	// BoundNew is the field of OpenAI's newer models and the default.
	BoundNew = "max_completion_tokens"
	// BoundOld is the field that most other servers know.
	BoundOld = "max_tokens"
	// BoundNone sends no bound of Trivet's own. A request that names none is then held for the model's maximum.
	BoundNone = "none"
)

// tokensPerPrice is the number of tokens that a price is for.
const tokensPerPrice = 1_000_000

// Model is a row of the price list.
type Model struct {
	// ID is the name that requests use.
	ID string
	// Kind is one of the constants above.
	Kind string
	// Provider serves the model, such as "openai".
	Provider string
	// Reasoning is true when the model produces output tokens that the caller never sees.
	Reasoning bool
	// Vocabulary is the encoding that turns the model's text into tokens: one of the constants below.
	Vocabulary string
	// EndsWithoutDone is true when the provider's streams end without [DONE]; the end of the body is then an orderly end
	// once every choice has its finish reason.
	EndsWithoutDone bool
	// ChatOnly is true when the provider has chat completions but no Responses API. Responses are translated then.
	ChatOnly bool
	// Aliases are other names of the model at the same price, such as its dated ones.
	Aliases []string
	// OutputBound is the field in which Trivet sends its bound of the output when the request has none: BoundNew,
	// BoundOld or BoundNone.
	OutputBound string
	// HidesUsage is true when the provider must not be asked for the usage of a stream, because it refuses the field.
	HidesUsage bool
	// KeepsChats is true of a model at OpenAI itself, which keeps chats of newer accounts unless they say that it must not.
	KeepsChats bool
	// RefusedFields are the members that a request must not have; nil stands for those of the setting.
	RefusedFields []string
	// ContextTokens is the most tokens of input and output together.
	ContextTokens int64
	// MaxOutputTokens is the most output tokens; 0 for embeddings.
	MaxOutputTokens int64
	// DefaultOutputTokens is what a request that names no maximum is held for; 0 for embeddings.
	DefaultOutputTokens int64
	// MaxImageTokens is the most input tokens of one image; 0 when nobody has said it, so that a request with an image has no bound.
	MaxImageTokens int64
	// InputPrice is the price of a million input tokens, in nano-dollars.
	InputPrice int64
	// CachedInputPrice is the price of a million input tokens that the provider had cached, in nano-dollars.
	CachedInputPrice int64
	// OutputPrice is the price of a million output tokens, in nano-dollars.
	OutputPrice int64
	// Prices are all prices besides text tokens at the standard rates; nil if the model has no others.
	Prices *Prices
	// Routes are the targets that may serve the model; none stands for the default target at these prices.
	Routes []Route
}

// Cost returns the price of a call in nano-dollars. input counts all input
// tokens, cachedInput the part of them that the provider had cached. The sum
// is exact and rounded up once, to a whole nano-dollar. It fails on negative
// counts, on more cached than input tokens, and on a sum beyond int64.
func (m Model) Cost(input, cachedInput, output int64) (int64, error) {
	if input < 0 || cachedInput < 0 || output < 0 || cachedInput > input {
		return 0, fmt.Errorf("cost of %s: token counts must not be negative and cached input must not exceed input, got input %d, cached input %d, output %d", m.ID, input, cachedInput, output)
	}
	var sum wide
	sum.addProduct(input-cachedInput, m.InputPrice)
	sum.addProduct(cachedInput, m.CachedInputPrice)
	sum.addProduct(output, m.OutputPrice)
	cost, ok := sum.divideUp(tokensPerPrice)
	if !ok {
		return 0, fmt.Errorf("cost of %s: %d input and %d output tokens cost more than int64 nano-dollars", m.ID, input, output)
	}
	return cost, nil
}

// AffordableOutput returns how many output tokens the budget affords on top of
// the input, all in nano-dollars and tokens: the largest n with
// Cost(input, 0, n) ≤ budget, and -1 when not even the input is affordable.
// A model with free output affords any number; it returns limit then.
func (m Model) AffordableOutput(input, budget, limit int64) int64 {
	base, err := m.Cost(input, 0, 0)
	if err != nil || base > budget {
		return -1
	}
	low, high := int64(0), limit
	for low < high {
		middle := high - (high-low)/2
		if cost, err := m.Cost(input, 0, middle); err == nil && cost <= budget {
			low = middle
		} else {
			high = middle - 1
		}
	}
	return low
}

// wide is an unsigned 128-bit sum.
type wide struct {
	hi, lo   uint64
	overflow bool
}

func (w *wide) addProduct(count, price int64) {
	hi, lo := bits.Mul64(uint64(count), uint64(price))
	var carry uint64
	w.lo, carry = bits.Add64(w.lo, lo, 0)
	w.hi, carry = bits.Add64(w.hi, hi, carry)
	w.overflow = w.overflow || carry != 0
}

func (w *wide) divideUp(by uint64) (int64, bool) {
	if w.overflow || w.hi >= by {
		return 0, false
	}
	quotient, rest := bits.Div64(w.hi, w.lo, by)
	if rest > 0 {
		quotient++
	}
	if quotient > 1<<63-1 {
		return 0, false
	}
	return int64(quotient), true
}
