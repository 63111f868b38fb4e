// Package sse writes streams of server-sent events: flushes, keep-alive comments, and the error event that ends a broken
// stream. The underlying writer limits how long a write may take.
package sse

import (
	"bytes"
	"net/http"

	"github.com/trivet-dev/trivet/gateway/internal/cork"
)

// ContentType is the media type of server-sent events.
const ContentType = "text/event-stream"

var ping = []byte(": ping\n")

// Writer writes one response. One goroutine uses it.
type Writer struct {
	w       http.ResponseWriter
	control http.ResponseController
	conn    *cork.Conn // nil when nothing is held back
	tail    [4]byte    // the last bytes written; line feeds at the start of a stream
	dirty   bool
	last    bool
}

// NewWriter wraps w.
func NewWriter(w http.ResponseWriter) *Writer {
	s := Over(w)
	return &s
}

// Over is NewWriter for a Writer that is a part of something else.
func Over(w http.ResponseWriter) Writer {
	return Writer{w: w, control: *http.NewResponseController(w), tail: [4]byte{2: '\n', 3: '\n'}}
}

// Through makes Write hold back, on the connection of the response, what Flush sends with one write. Whoever calls it calls Release
// when nothing more is written: what follows would stay behind otherwise.
func (s *Writer) Through(c *cork.Conn) { s.conn = c }

// Release sends what the connection holds back. What net/http has in its own buffers waits for a Flush or the end of the response.
func (s *Writer) Release() error { return s.conn.Release() }

// Last notes that the response probably ends with what is written next, so that its Flush can wait for the end. net/http sends both with
// one write.
func (s *Writer) Last() { s.last = true }

// Waits reports whether what was written last should wait a moment for the end of the response.
func (s *Writer) Waits() bool { return s.last && s.dirty }

// Begin writes the status and headers of a stream of server-sent events. Flush sends them.
func (s *Writer) Begin(status int) {
	h := s.w.Header()
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", ContentType)
	}
	h.Set("X-Accel-Buffering", "no")
	s.w.WriteHeader(status)
	s.dirty = true
}

// Write adds bytes, which Flush sends.
func (s *Writer) Write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if len(b) >= len(s.tail) {
		copy(s.tail[:], b[len(b)-len(s.tail):])
	} else {
		copy(s.tail[:], s.tail[len(b):])
		copy(s.tail[len(s.tail)-len(b):], b)
	}
	s.dirty = true
	s.conn.Hold()
	return s.w.Write(b)
}

// Flush sends what was written.
func (s *Writer) Flush() error {
	if !s.dirty {
		return nil
	}
	s.dirty = false
	return s.flush()
}

func (s *Writer) flush() error {
	err := s.control.Flush()
	if sent := s.conn.Release(); err == nil {
		err = sent
	}
	return err
}

// Between reports whether the stream is between two events.
func (s *Writer) Between() bool {
	tail := string(s.tail[:])
	return tail[2:] == "\n\n" || tail == "\r\n\r\n" || tail[2:] == "\r\r"
}

// Ping sends a comment, which clients ignore, when the stream is between two events. No blank line follows it, because
// some clients take that for an empty event.
func (s *Writer) Ping() error {
	if !s.Between() {
		return nil
	}
	s.conn.Hold()
	if _, err := s.w.Write(ping); err != nil {
		return err
	}
	s.dirty = false
	return s.flush()
}

// Fail sends an error event; an empty name sends an unnamed event. It starts on its own line even when the stream broke
// in the middle of an event.
func (s *Writer) Fail(event string, body []byte) error {
	var b bytes.Buffer
	if !s.Between() {
		b.WriteString("\n\n")
	}
	if event != "" {
		b.WriteString("event: ")
		b.WriteString(event)
		b.WriteByte('\n')
	}
	b.WriteString("data: ")
	b.Write(body)
	b.WriteString("\n\n")
	if _, err := s.Write(b.Bytes()); err != nil {
		return err
	}
	return s.Flush()
}
