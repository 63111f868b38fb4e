package frames

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/trivet-dev/trivet/gateway/internal/sse"
)

// Linger bounds how long the last part of a response waits for the end, so that one write sends both.
const Linger = 2 * time.Millisecond

// WriteError reports that the client is gone or reads too slowly.
type WriteError struct{ Err error }

// Error implements error.
func (e *WriteError) Error() string { return fmt.Sprintf("write the response: %v", e.Err) }

// Unwrap returns the cause.
func (e *WriteError) Unwrap() error { return e.Err }

// Pump writes every message with write until the stream ends, and returns how it ended: io.EOF, the stream's error, or
// a *WriteError. Messages that have arrived are written together and flushed once, without waiting for more,
// except after the last part, which waits up to Linger for the end. During silence Pump sends a keep-alive comment every keepAlive; 0 disables comments.
func Pump[T any](s *Source[T], w *sse.Writer, keepAlive time.Duration, write func(T) error) error {
	p := pump[T]{source: s, w: w, write: write, last: time.Now()}
	if keepAlive <= 0 {
		return p.run(nil, nil)
	}
	timer := time.NewTimer(keepAlive)
	defer timer.Stop()
	return p.run(timer.C, func() error {
		// Resetting the timer for each message would cost more than checking the clock here.
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

// batch writes a message and all messages that wait behind it, then flushes.
func (p *pump[T]) batch(f frame[T], open bool) error {
	p.last = time.Now()
	for {
		message, ended := f.unpack(open)
		if ended == nil {
			if err := p.write(message); err != nil {
				return &WriteError{err}
			}
			if p.more(&f, &open) {
				continue
			}
		} else if errors.Is(ended, io.EOF) && p.w.Waits() {
			return ended // the end of the response sends it
		}
		if err := p.w.Flush(); err != nil {
			return &WriteError{err}
		}
		return ended
	}
}

// more takes the next message if it has arrived, or arrives before the last part of a response must be sent.
func (p *pump[T]) more(f *frame[T], open *bool) bool {
	select {
	case *f, *open = <-p.source.ch:
		return true
	default:
	}
	if !p.w.Waits() {
		return false
	}
	timer := time.NewTimer(Linger)
	defer timer.Stop()
	select {
	case *f, *open = <-p.source.ch:
		return true
	case <-timer.C:
		return false
	}
}
