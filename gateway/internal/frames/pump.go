package frames

import (
	"fmt"
	"time"

	"github.com/trivet-dev/trivet/gateway/internal/sse"
)

// WriteError says that the reader of the answer is gone or too slow.
type WriteError struct{ Err error }

// Error implements error.
func (e *WriteError) Error() string { return fmt.Sprintf("the answer can't be written: %v", e.Err) }

// Unwrap returns the cause.
func (e *WriteError) Unwrap() error { return e.Err }

// Pump writes every message with write until the stream ends, and returns how it ended: io.EOF, the stream's error, or
// a *WriteError. What has come already is written before one flush; nothing waits for more. In a silence it sends a
// keep-alive comment every keepAlive; 0 sends none.
func Pump[T any](s *Source[T], w *sse.Writer, keepAlive time.Duration, write func(T) error) error {
	p := pump[T]{source: s, w: w, write: write, last: time.Now()}
	if keepAlive <= 0 {
		return p.run(nil, nil)
	}
	timer := time.NewTimer(keepAlive)
	defer timer.Stop()
	return p.run(timer.C, func() error {
		// The timer is not set anew for each message: that would cost more than to look at the clock here.
		if quiet := time.Since(p.last); quiet < keepAlive {
			timer.Reset(keepAlive - quiet)
			return nil
		}
		timer.Reset(keepAlive)
		return w.Ping()
	})
}

type pump[T any] struct {
	source *Source[T]
	w      *sse.Writer
	write  func(T) error
	last   time.Time
}

func (p *pump[T]) run(tick <-chan time.Time, silence func() error) error {
	for {
		select {
		case f, open := <-p.source.ch:
			if err := p.batch(f, open); err != nil {
				return err
			}
		case <-tick:
			if err := silence(); err != nil {
				return &WriteError{err}
			}
		}
	}
}

// batch writes a message and all that wait behind it, then flushes.
func (p *pump[T]) batch(f frame[T], open bool) error {
	p.last = time.Now()
	for {
		message, ended := f.unpack(open)
		if ended == nil {
			if err := p.write(message); err != nil {
				return &WriteError{err}
			}
			select {
			case f, open = <-p.source.ch:
				continue
			default:
			}
		}
		if err := p.w.Flush(); err != nil {
			return &WriteError{err}
		}
		return ended
	}
}
