package wire

import (
	"cmp"

	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
	"github.com/trivet-dev/trivet/services/ai/internal/tokens"
)

// How input is counted before the provider reports it. Text: a token is at least a byte, so bytes bound it. Other parts:
const (
	// usualImage is about what an image has if the price list does not say it, as it need not for a free model.
	usualImage = 4_096
	// messageTokens frame a message, callTokens a call of a tool, and replyTokens the answer.
	messageTokens = 4
	callTokens    = 8
	replyTokens   = 3
	// schemaTokens frame the list of tools, and the schema of the answer.
	schemaTokens = 64
	// A file may hold anything, so it counts as the whole context.
)

// InputBound returns more tokens than the provider can count for the input, without looking at the text: cheap, and
// too high by a factor of about four.
func (r *Request) InputBound(m models.Model) int64 {
	bound := int64(len(r.body)) - r.parts.raw + r.frame(m) + r.Context
	if r.unknownImages(m) {
		return m.ContextTokens
	}
	if r.conversational() {
		return min(bound, m.ContextTokens)
	}
	return bound
}

// CountInput counts the input with the tokenizer, and by bytes beyond the budget. It is close to what the provider
// counts when the budget suffices, and above it when not.
func (r *Request) CountInput(m models.Model, budget *tokens.Budget) int64 {
	if r.unknownImages(m) {
		return m.ContextTokens
	}
	sum := r.frame(m) + r.Context
	r.texts(func(text []byte) { sum += budget.Count(text) })
	if r.conversational() {
		return min(sum, m.ContextTokens)
	}
	c := jsonscan.New(r.body[r.input.start:r.input.end])
	return max(1, sum+numbers(&c))
}

// TextOnly reports whether the conversation has no image, sound or file, whose tokens cannot be counted but only bounded.
func (r *Request) TextOnly() bool { return r.parts.images+r.parts.audio+r.parts.files == 0 }

// Sounds reports whether the conversation has sound.
func (r *Request) Sounds() bool { return r.parts.audio > 0 || r.refers() }

// ImageAt is where the first image of the conversation lies, such as messages[0].content[1].image_url; "" if it has none.
func (r *Request) ImageAt() string { return r.parts.imageAt }

// Pictures reports whether it has images.
func (r *Request) Pictures() bool { return r.parts.images > 0 || r.refers() }

// refers reports whether the conversation has content that the body does not show, so that it may be sound or images: files,
// and the response that it continues.
func (r *Request) refers() bool { return r.parts.files > 0 || r.Context > 0 }

// unknownImages reports whether the conversation has images of which nobody knows the tokens. They are refused unless they are free.
func (r *Request) unknownImages(m models.Model) bool {
	return r.parts.images > 0 && m.MaxImageTokens == 0
}

// GuessInput is how many tokens the input has if it is common text.
func (r *Request) GuessInput(m models.Model) int64 {
	sum := r.frame(m) + tokens.Guess(int64(len(r.body))-r.parts.raw) + r.Context
	if r.conversational() {
		return min(sum, m.ContextTokens)
	}
	return sum
}

// frame counts everything but text.
func (r *Request) frame(m models.Model) int64 {
	if !r.conversational() {
		return r.parts.files * m.ContextTokens
	}
	sum := r.parts.messages*messageTokens + r.parts.calls*callTokens + replyTokens +
		r.parts.images*cmp.Or(m.MaxImageTokens, usualImage) + r.parts.audio + r.parts.files*m.ContextTokens
	if r.tools.len()+r.functions.len() > 0 {
		sum += schemaTokens
	}
	if r.responseFormat.len() > 0 {
		sum += schemaTokens
	}
	return sum
}
