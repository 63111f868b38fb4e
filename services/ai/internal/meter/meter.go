// Package meter adds up what a model produces while it is passed on, so that a call whose usage the provider does not
// report can be billed for exactly that.
package meter

import (
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
	"github.com/trivet-dev/trivet/services/ai/internal/tokens"
	"github.com/trivet-dev/trivet/services/ai/internal/wire"
)

const (
	// maxText bounds the text that a meter keeps, in bytes; more is counted and dropped. It is above what the longest
	// answers have, so that the tokenizer is not run for calls that end well.
	maxText = 256 << 10
	// keepText is how much room a meter may keep for its next call, in bytes.
	keepText = 16 << 10
	// maxStrands bounds the separate texts of one call: choices, times kinds, times calls of tools.
	maxStrands = 256
	// bytesPerToken guesses the tokens of output: rather too many bytes, because a delta is seldom more than a token.
	bytesPerToken = 5
)

// strand is one of the texts that are produced side by side. They are counted apart: " a" and "b" of two answers are
// two tokens, " ab" would be one.
type strand struct {
	choice, tool int64
	kind         wire.Kind
	text         []byte
}

// Meter measures one call. Its methods belong to the call's goroutine, but for Guess, Hidden and Finished.
type Meter struct {
	// ProviderID is the provider's id of the answer; "" if none exists.
	ProviderID string

	counter    *tokens.Counter
	vocabulary string

	reported tokens.Reported
	strands  []strand
	size     int   // bytes of text in strands
	counted  int64 // tokens of text that was dropped
	deltas   int64
	produced int64 // bytes of text in all
	opaque   bool
	next     int64 // produced bytes at which Exceeds counts again
	choices  wire.ChoiceSet

	guess    atomic.Int64
	finished atomic.Int64
	hidden   atomic.Bool
}

// Pool keeps meters with their room. The zero value is ready.
type Pool struct{ meters sync.Pool }

// Get returns a meter that has measured nothing, for a model with that vocabulary.
func (p *Pool) Get(counter *tokens.Counter, vocabulary string) *Meter {
	m, ok := p.meters.Get().(*Meter)
	if !ok {
		m = &Meter{}
	}
	m.counter, m.vocabulary, m.reported = counter, vocabulary, tokens.NothingReported()
	return m
}

// Put takes a meter back. It must not be used any more.
func (p *Pool) Put(m *Meter) {
	strands, room := m.strands[:0], 0
	for i := range m.strands {
		room += cap(m.strands[i].text)
	}
	if room > keepText {
		strands = nil
	}
	*m = Meter{strands: strands}
	p.meters.Put(m)
}

// Reset forgets what was measured, because another target is asked for the answer.
func (m *Meter) Reset() {
	m.ProviderID, m.reported, m.strands, m.choices = "", tokens.NothingReported(), m.strands[:0], wire.ChoiceSet{}
	m.size, m.counted, m.deltas, m.produced, m.next, m.opaque = 0, 0, 0, 0, 0, false
	m.guess.Store(0)
	m.finished.Store(0)
	m.hidden.Store(false)
}

// Add takes what a chunk, or a whole answer read as one, says. The text is counted only when there is too much to keep.
func (m *Meter) Add(k *wire.Chunk) {
	if m.ProviderID == "" && len(k.ID) > 0 {
		m.ProviderID = string(k.ID)
	}
	if k.HasUsage {
		m.Report(k.Reported)
	}
	if k.Reasoned || k.Opaque {
		m.hidden.Store(true)
		m.opaque = m.opaque || k.Opaque
	}
	if k.Finished != (wire.ChoiceSet{}) {
		m.finish(k.Finished)
	}
	if len(k.Pieces) == 0 {
		return
	}
	for i := range k.Pieces {
		m.add(&k.Pieces[i])
	}
	m.deltas += int64(len(k.Pieces))
	if m.size > maxText {
		m.fold()
	}
	m.guess.Store(max(m.reported.Output, m.deltas, m.produced/bytesPerToken))
}

func (m *Meter) finish(choices wire.ChoiceSet) {
	m.choices.Join(choices)
	count := 0
	for _, word := range m.choices {
		count += bits.OnesCount64(word)
	}
	m.finished.Store(int64(count))
}

// Report takes a usage that the provider reports. A later report never lowers a number of an earlier one.
func (m *Meter) Report(r tokens.Reported) {
	m.reported.Join(r)
	if r.Reasoning > 0 {
		m.hidden.Store(true)
	}
	m.guess.Store(max(m.guess.Load(), r.Output))
}

// Reported returns what the provider has reported so far.
func (m *Meter) Reported() tokens.Reported { return m.reported }

// Produced reports whether any output was seen.
func (m *Meter) Produced() bool { return m.produced > 0 || m.opaque }

// Opaque reports whether output was seen that is not text, such as sound.
func (m *Meter) Opaque() bool { return m.opaque }

// Several reports whether parts of more than one choice were seen.
func (m *Meter) Several() bool {
	for i := range m.strands {
		if m.strands[i].choice != m.strands[0].choice {
			return true
		}
	}
	return m.Finished() > 1
}

// Guess returns about how many output tokens there are so far. Any goroutine may call it.
func (m *Meter) Guess() int64 { return m.guess.Load() }

// Hidden reports whether the answer has output that cannot be counted, such as reasoning. Any goroutine may call it.
func (m *Meter) Hidden() bool { return m.hidden.Load() }

// Finished returns how many choices have ended. Any goroutine may call it.
func (m *Meter) Finished() int64 { return m.finished.Load() }

// Count returns how many output tokens were seen, by the tokenizer. Output that is not text counts as one token.
func (m *Meter) Count() int64 {
	m.fold()
	if m.opaque {
		return max(m.counted, 1)
	}
	return m.counted
}

func (m *Meter) add(p *wire.Piece) {
	s := m.strand(p)
	before := len(s.text)
	if p.Escaped {
		s.text = jsonscan.Unescape(s.text, p.Raw)
	} else {
		s.text = append(s.text, p.Raw...)
	}
	m.size += len(s.text) - before
	m.produced += int64(len(s.text) - before)
}

func (m *Meter) strand(p *wire.Piece) *strand {
	for i := range m.strands {
		if s := &m.strands[i]; s.choice == p.Choice && s.tool == p.Tool && s.kind == p.Kind {
			return s
		}
	}
	if len(m.strands) >= maxStrands {
		return &m.strands[0]
	}
	if n := len(m.strands); n < cap(m.strands) { // takes over the room of an earlier call's strand
		m.strands = m.strands[:n+1]
	} else {
		m.strands = append(m.strands, strand{})
	}
	s := &m.strands[len(m.strands)-1]
	s.choice, s.tool, s.kind, s.text = p.Choice, p.Tool, p.Kind, s.text[:0]
	return s
}

func (m *Meter) fold() {
	for i := range m.strands {
		s := &m.strands[i]
		m.counted += m.counter.Count(m.vocabulary, s.text)
		s.text = s.text[:0]
	}
	m.size = 0
}
