package meter

import "github.com/trivet-dev/trivet/platform/models"

// The lower estimate of the output tokens, by which a stream is cut, is the tokenizer's count less a sixteenth and 16
// tokens: a model may write a text in fewer tokens than the tokenizer does, but hardly ever in so much fewer. For a
// model whose vocabulary Trivet does not have it is a quarter of the count by o200k_base, less 16.
const (
	lowerParts     = 16
	lowerTokens    = 16
	foreignParts   = 4
	shortestAnswer = 4 // bytes of text for a token, below which the text is not counted at all
	// firstStep and stepParts space the counts: after one, so many bytes, or this part of the text, must come.
	firstStep, stepParts = 64, 4
)

// Exceeds reports whether the lower estimate of the output tokens is above bound. It runs the tokenizer only when the
// text may have that many tokens, and then not for every chunk.
func (m *Meter) Exceeds(bound int64) bool {
	if max(m.deltas, m.produced/shortestAnswer) <= bound || m.produced < m.next {
		return false
	}
	m.next = m.produced + max(firstStep, m.produced/stepParts)
	return m.Lower() > bound
}

// Lower returns the lower estimate of the output tokens so far.
func (m *Meter) Lower() int64 {
	count := m.counted
	for i := range m.strands {
		count += m.counter.Count(m.vocabulary, m.strands[i].text)
	}
	if m.vocabulary == models.VocabularyO200k || m.vocabulary == models.VocabularyCl100k {
		return max(0, count-count/lowerParts-lowerTokens)
	}
	return max(0, count/foreignParts-lowerTokens)
}
