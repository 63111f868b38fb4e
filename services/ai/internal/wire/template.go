package wire

import (
	"bytes"

	"github.com/trivet-dev/trivet/services/ai/internal/jsonscan"
)

// maxTemplate is the longest chunk that is remembered, in bytes.
const maxTemplate = 4 << 10

// template is a chunk that was read in full, and where its texts lie. Nearly all chunks of a stream differ from the one
// before only in the text that they bring, and in padding that hides its length. Such a chunk says what the template says,
// but for that text: JSON means the same whatever a string without quotes, escapes and control characters holds.
type template struct {
	data  []byte
	id    []byte
	texts []place // the piece and the padding, in the order in which they lie
	piece int     // which of the texts is the piece
	chunk Chunk   // what the template says
}

// place is where a text lies in a chunk, without its quotes.
type place struct{ start, end int }

// placeOf returns where a part of data lies. Parts that are cut from data keep its capacity.
func placeOf(data, part []byte) place {
	start := cap(data) - cap(part)
	return place{start, start + len(part)}
}

// match returns the new text of a chunk that is otherwise like the template.
func (t *template) match(data []byte) (text []byte, ok bool) {
	at, from := 0, 0
	for i, s := range t.texts {
		fixed := t.data[from:s.start]
		if !bytes.HasPrefix(data[at:], fixed) {
			return nil, false
		}
		at += len(fixed)
		end := jsonscan.Plain(data, at)
		if end >= len(data) || data[end] != '"' {
			return nil, false
		}
		if i == t.piece {
			text = data[at:end]
		}
		at, from = end, s.end
	}
	// A piece without text would be left out.
	return text, len(text) > 0 && bytes.Equal(data[at:], t.data[from:])
}

// again reads a chunk that is like the last one that was remembered.
func (k *Chunk) again(data []byte) bool {
	if k.like == nil || len(k.like.data) == 0 {
		return false
	}
	text, ok := k.like.match(data)
	if !ok {
		return false
	}
	like, pieces := k.like, k.Pieces
	*k = like.chunk
	k.like, k.Pieces = like, append(pieces[:0], like.chunk.Pieces[0])
	k.Pieces[0].Raw = text
	return true
}

// remember keeps a chunk whose only piece is a plain text. Of reasoning the longer one of two texts counts, so it depends
// on what the text is. padding is nil if none exists.
func (k *Chunk) remember(data, padding []byte) {
	if len(k.Pieces) != 1 || k.Pieces[0].Kind == Reasoning || k.Pieces[0].Escaped || k.Error != nil || len(data) > maxTemplate {
		return
	}
	piece := placeOf(data, k.Pieces[0].Raw)
	if piece.start == 0 || data[piece.start-1] != '"' {
		return // arguments that are not written as a text
	}
	if k.like == nil {
		k.like = &template{}
	}
	t := k.like
	t.data = append(t.data[:0], data...)
	t.texts, t.piece = append(t.texts[:0], piece), 0
	if padding != nil {
		if s := placeOf(data, padding); s.start < piece.start {
			t.texts, t.piece = append(t.texts[:0], s, piece), 1
		} else {
			t.texts = append(t.texts, s)
		}
	}
	t.id = append(t.id[:0], k.ID...)
	pieces := append(t.chunk.Pieces[:0], k.Pieces[0])
	t.chunk = *k
	t.chunk.like, t.chunk.Pieces = nil, pieces
	if k.ID != nil {
		t.chunk.ID = t.id
	}
}
