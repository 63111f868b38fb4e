// Package sse splits a stream of server-sent events into events without changing a byte of it.
package sse

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"sync"
)

const (
	// startSize is the size of a fresh buffer, in bytes: some hundred deltas.
	startSize = 32 << 10
	// MaxEvent is the largest event, in bytes; audio and images in base64 are the large ones.
	MaxEvent = 8 << 20
)

// ErrEventTooLarge is returned when an event does not end within Scanner.Max bytes.
var ErrEventTooLarge = errors.New("a server-sent event is too large")

// Event is one event. It is valid until the next Fill.
type Event struct {
	// Start and End are where the event lies, comments and the blank line at its end included; see Scanner.Slice.
	Start, End int
	// Data is the value of its data lines, joined by a newline; nil when it has none.
	Data []byte
}

// Scanner reads a stream. Events that one read has brought follow one another without a gap (the End of one is the
// Start of the next), so that the caller can pass them on as one piece with Slice:
//
//	for {
//		err := s.Fill()
//		for ev, ok := s.Next(); ok; ev, ok = s.Next() { … }
//		if err != nil { break }
//	}
//	ev, ok := s.Rest()
//
// It belongs to one goroutine.
type Scanner struct {
	// Max bounds an event, in bytes; 0 stands for MaxEvent.
	Max int

	src   io.Reader
	pool  *Pool
	buf   []byte
	start int    // of the first event not yet returned
	line  int    // of the first line not yet seen; at least start
	seen  int    // bytes without a newline after line
	data  []byte // of the event that is coming in
	owned bool   // data is not part of buf
	begun bool   // a line was taken
	// returned tells that the last line ended with a carriage return that was the last byte: a newline may follow.
	returned bool
}

// Pool keeps the buffers of finished scanners. The zero value is ready.
type Pool struct{ buffers sync.Pool }

// Scanner returns a scanner of src whose buffer comes from the pool; Close gives it back.
func (p *Pool) Scanner(src io.Reader) *Scanner {
	buf, ok := p.buffers.Get().(*[]byte)
	if !ok {
		fresh := make([]byte, 0, startSize)
		buf = &fresh
	}
	return &Scanner{src: src, pool: p, buf: (*buf)[:0]}
}

// Close gives the buffer back; no event may be used after it. Closing twice is harmless.
func (s *Scanner) Close() {
	if s.buf == nil {
		return
	}
	if cap(s.buf) == startSize { // a grown one would stay large forever
		buf := s.buf[:0]
		s.pool.buffers.Put(&buf)
	}
	*s = Scanner{}
}

// Fill reads once from the source. It returns the source's error, io.EOF at the end, or ErrEventTooLarge; what it
// read before the error is there for Next. Slices of earlier events become invalid.
func (s *Scanner) Fill() error {
	if s.data != nil && !s.owned { // what it points to is about to move
		s.data, s.owned = bytes.Clone(s.data), true
	}
	if s.start > 0 {
		rest := copy(s.buf, s.buf[s.start:])
		s.buf, s.line, s.start = s.buf[:rest], s.line-s.start, 0
	}
	if len(s.buf) == cap(s.buf) {
		if len(s.buf) >= cmp.Or(s.Max, MaxEvent) {
			return ErrEventTooLarge
		}
		grown := make([]byte, len(s.buf), 2*cap(s.buf))
		copy(grown, s.buf)
		s.buf = grown
	}
	n, err := s.src.Read(s.buf[len(s.buf):cap(s.buf)])
	s.buf = s.buf[:len(s.buf)+n]
	return err
}

// Next returns the next event that has come in whole.
func (s *Scanner) Next() (Event, bool) {
	for {
		if s.returned && s.line < len(s.buf) { // the newline of a carriage return that ended the last read
			if s.buf[s.line] == '\n' {
				s.line++
			}
			s.returned = false
		}
		tail := s.buf[s.line+s.seen:]
		end, width := lineEnd(tail)
		if end < 0 {
			s.seen += len(tail)
			return Event{}, false
		}
		line := s.buf[s.line : s.line+s.seen+end]
		s.line, s.seen = s.line+len(line)+width, 0
		s.returned = width == 1 && s.line == len(s.buf) && tail[end] == '\r'
		if len(line) > 0 {
			s.take(line)
			continue
		}
		return s.finish(), true
	}
}

// lineEnd returns where the first line ends, and how long its end is; -1 when it has none. Lines end with a newline, a
// carriage return, or both. Whether a newline follows a carriage return that comes last is not known yet: it is taken
// to end the line, so that no event waits for the next read.
func lineEnd(text []byte) (at, width int) {
	at = bytes.IndexByte(text, '\n')
	line := text
	if at >= 0 {
		line = text[:at]
	}
	switch cr := bytes.IndexByte(line, '\r'); {
	case cr < 0:
		return at, 1
	case cr == at-1:
		return cr, 2
	default:
		return cr, 1
	}
}

// Rest returns what is left after the end of the source as an event: some servers leave out the last blank line, or
// even the last newline. It reports false when nothing is left.
func (s *Scanner) Rest() (Event, bool) {
	if s.start == len(s.buf) {
		return Event{}, false
	}
	if line := s.buf[s.line:]; len(line) > 0 {
		s.take(line)
	}
	s.line, s.seen = len(s.buf), 0
	return s.finish(), true
}

func (s *Scanner) finish() Event {
	ev := Event{Start: s.start, End: s.line, Data: s.data}
	s.start, s.data, s.owned = s.line, nil, false
	return ev
}

// Unread returns what was read and not returned as an event yet; valid until the next Fill.
func (s *Scanner) Unread() []byte { return s.buf[s.start:] }

// Slice returns the bytes between the Start of one event and the End of the same or a later one, as they came; valid
// until the next Fill.
func (s *Scanner) Slice(start, end int) []byte { return s.buf[start:end:end] }
