package telemetry

import (
	"io"
	"sync"
	"time"
)

const (
	// maxLines bounds the lines that wait, in bytes.
	maxLines = 32 << 10
	// longestWait is how long a line waits at most.
	longestWait = 100 * time.Millisecond
)

// Lines writes log lines in groups while Hold is in effect, because a write for each costs more than the line. A line waits
// at most 100 ms. NewLogger writes at once from WARN up, with what waits before it.
type Lines struct {
	mu      sync.Mutex
	to      io.Writer
	waiting []byte
	held    bool
	timer   *time.Timer // nil until the first line waits
}

// NewLines makes lines that are written at once, until Hold.
func NewLines(to io.Writer) *Lines { return &Lines{to: to} }

// Hold lets lines wait for each other. Release must follow.
func (l *Lines) Hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = true
}

// Release writes what waits, and later lines at once.
func (l *Lines) Release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = false
	l.flush()
}

// Flush writes what waits.
func (l *Lines) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush()
}

// Write takes one line. Lines that cannot be written are lost, as with every log.
func (l *Lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.held {
		return l.to.Write(line)
	}
	if len(l.waiting)+len(line) > maxLines {
		l.flush()
	}
	if len(line) > maxLines {
		return l.to.Write(line)
	}
	if len(l.waiting) == 0 {
		l.schedule()
	}
	l.waiting = append(l.waiting, line...)
	return len(line), nil
}

func (l *Lines) schedule() {
	if l.timer == nil {
		l.timer = time.AfterFunc(longestWait, l.Flush)
		return
	}
	l.timer.Reset(longestWait)
}

func (l *Lines) flush() {
	if len(l.waiting) == 0 {
		return
	}
	l.timer.Stop()
	_, _ = l.to.Write(l.waiting) // see Write
	l.waiting = l.waiting[:0]
}
