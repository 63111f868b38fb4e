// Package ratelog keeps strangers from filling the log with lines that anybody can cause.
package ratelog

import (
	"sync"
	"time"
)

// pause is how long a key is silent after a line.
const pause = time.Second

// Limiter lets one line a second of each key through.
type Limiter struct {
	now   func() time.Time
	mu    sync.Mutex
	lines map[string]line
}

// line is the state of one key.
type line struct {
	next       time.Time
	suppressed int
}

// New makes a Limiter with its own clock; nil means [time.Now].
func New(now func() time.Time) *Limiter {
	if now == nil {
		now = time.Now
	}
	return &Limiter{now: now, lines: map[string]line{}}
}

// Next reports whether to write a line of this key, and how many were suppressed since the last one. Keys are kept: there
// must be few, and strangers must not be able to choose them.
func (l *Limiter) Next(key string) (suppressed int, write bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, of := l.now(), l.lines[key]
	// A clock that was set back must not silence the log until it has caught up.
	if now.Before(of.next) && of.next.Sub(now) <= pause {
		of.suppressed++
		l.lines[key] = of
		return 0, false
	}
	l.lines[key] = line{next: now.Add(pause)}
	return of.suppressed, true
}
