package wire

import (
	"slices"

	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
	"github.com/trivet-dev/trivet/services/ai/internal/tokens"
)

// Kind says what kind of text a piece is. Texts of different kinds never run together.
type Kind uint8

// The kinds of pieces.
const (
	Content Kind = iota
	Refusal
	Reasoning
	ToolName
	ToolArguments
	// Other is text in a member that Trivet does not know, such as an audio's transcript.
	Other
)

// Piece is a bit of produced text. It lies in the chunk.
type Piece struct {
	// Choice is the answer's index, Tool the call's within it.
	Choice, Tool int64
	// Kind is the kind of text.
	Kind Kind
	// Raw is the inside of a JSON string; Escaped tells that it holds escapes, see jsonscan.Unescape.
	Raw     []byte
	Escaped bool
}

// Chunk is what Trivet needs to know of one data event of a stream. The zero value is ready, and may be used for one
// chunk after another; what it holds is valid as long as the data of the last Read.
type Chunk struct {
	// ID is the provider's id of the answer.
	ID []byte
	// Choices is how many choices the chunk has a part of.
	Choices int
	// Finished are the choices that end with this chunk.
	Finished ChoiceSet
	// Reported is what the provider counted, the highest where it says it twice; only when HasUsage.
	Reported tokens.Reported
	HasUsage bool
	// Error is the error that the provider sends in place of the rest, as JSON; nil if none exists.
	Error []byte
	// Pieces are the texts of the chunk.
	Pieces []Piece
	// Reasoned tells that the chunk holds reasoning.
	Reasoned bool
	// Opaque tells that the chunk holds output that is not text, such as audio.
	Opaque bool

	like *template // nil until a chunk was remembered
}

// ChoiceSet is a set of choices by their index. Indexes that no request can have are left out.
type ChoiceSet [MaxChoices / 64]uint64

// Add puts a choice into the set.
func (s *ChoiceSet) Add(index int64) {
	if index >= 0 && index < MaxChoices {
		s[index/64] |= 1 << (index % 64)
	}
}

// Join puts all choices of another set into the set.
func (s *ChoiceSet) Join(other ChoiceSet) {
	for i := range s {
		s[i] |= other[i]
	}
}

// Read reads one chunk. It reports false for what is not a JSON object.
func (k *Chunk) Read(data []byte) bool {
	if k.again(data) {
		return true
	}
	*k = Chunk{Pieces: k.Pieces[:0], like: k.like, Reported: tokens.NothingReported()}
	c := jsonscan.New(data)
	if c.Kind() != jsonscan.Object {
		return false
	}
	var padding []byte
	for key := range c.Members() {
		switch string(key) {
		case "id":
			k.ID = text(&c)
		case "choices":
			for range c.Elements() {
				k.choice(&c)
				k.Choices++
			}
		case "usage":
			k.Reported.Join(readUsage(&c))
		case "x_groq":
			k.Reported.Join(nestedUsage(&c))
		case "error":
			if raw := c.Raw(); IsFailure(raw) {
				k.Error = raw
			}
		case "object":
			if string(text(&c)) == "error" { // the error's members stand beside it
				k.Error = data
			}
		case "obfuscation":
			if c.Kind() == jsonscan.String {
				padding, _ = c.String()
			} else {
				c.Skip()
			}
		default:
			c.Skip()
		}
	}
	if c.End() != nil {
		return false
	}
	k.HasUsage = k.Reported != tokens.NothingReported()
	k.remember(data, padding)
	return true
}

// choice reads one choice. Its index may come last, so it is written into the pieces at the end.
func (k *Chunk) choice(c *jsonscan.Cursor) {
	first, index, finished := len(k.Pieces), int64(0), false
	var message, words []byte
	for key := range c.Members() {
		switch string(key) {
		case "index":
			index = count(c)
		case "delta":
			k.delta(c)
		case "message":
			message = c.Raw()
		case "text":
			words = c.Raw()
		case "finish_reason":
			finished = c.Kind() == jsonscan.String
			c.Skip()
		case "usage": // Moonshot has it here
			k.Reported.Join(ofChoice(readUsage(c)))
		default:
			c.Skip()
		}
	}
	k.others(message, words, first)
	for i := first; i < len(k.Pieces); i++ {
		k.Pieces[i].Choice = index
	}
	if finished {
		k.Finished.Add(index)
	}
}

// others reads a message if the delta, whose pieces begin at first, says nothing, and a text if neither has a content or a refusal: some servers say
// the same in both.
func (k *Chunk) others(message, words []byte, first int) {
	if message != nil && len(k.Pieces) == first {
		c := jsonscan.New(message)
		k.delta(&c)
	}
	if words == nil || slices.ContainsFunc(k.Pieces[first:], func(p Piece) bool { return p.Kind == Content || p.Kind == Refusal }) {
		return
	}
	c := jsonscan.New(words)
	k.value(&c, Content)
}
