package telemetry

import (
	"sync"
	"time"
)

// seldomPause is how long Seldom keeps silent after a line.
const seldomPause = time.Second

// Seldom keeps strangers from filling the log: of a line that anybody can cause, it lets one a second through.
type Seldom struct {
	now   func() time.Time
	mu    sync.Mutex
	lines map[string]line
}

// line is what was seen of a key.
type line struct {
	next time.Time
	left int
}

// NewSeldom makes a Seldom with its own clock; nil means [time.Now].
func NewSeldom(now func() time.Time) *Seldom {
	if now == nil {
		now = time.Now
	}
	return &Seldom{now: now, lines: map[string]line{}}
}

// Next tells whether to write a line of this key, and how many were left out since the last one. Keys are kept: they must
// be few, and none a stranger's to choose.
func (s *Seldom) Next(key string) (left int, write bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, l := s.now(), s.lines[key]
	// A clock that was set back must not silence the log until it has caught up.
	if now.Before(l.next) && l.next.Sub(now) <= seldomPause {
		l.left++
		s.lines[key] = l
		return 0, false
	}
	s.lines[key] = line{next: now.Add(seldomPause)}
	return l.left, true
}
