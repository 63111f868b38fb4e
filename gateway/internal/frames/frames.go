// Package frames reads a stream of messages ahead of its consumer, so that what has come already can be written in one
// go and silence can be noticed.
package frames

import (
	"context"
	"time"
)

// depth is how many messages wait at most; then the sender is held back.
const depth = 32

type frame[T any] struct {
	message T
	err     error
}

// Source is a stream that is being read ahead. One goroutine consumes it.
type Source[T any] struct {
	ch     chan frame[T]
	cancel context.CancelFunc
}

// Read starts to read; recv is the stream's Recv, which must end when cancel is called. The caller must Close.
func Read[T any](ctx context.Context, cancel context.CancelFunc, recv func() (T, error)) *Source[T] {
	s := &Source[T]{ch: make(chan frame[T], depth), cancel: cancel}
	go s.read(ctx, recv)
	return s
}

func (s *Source[T]) read(ctx context.Context, recv func() (T, error)) {
	defer close(s.ch)
	for {
		message, err := recv()
		select {
		case s.ch <- frame[T]{message, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// Close ends the stream and waits until nothing reads from it any more.
func (s *Source[T]) Close() {
	s.cancel()
	for range s.ch {
		continue // what still comes is dropped
	}
}

// Next waits for the next message; io.EOF after the last.
func (s *Source[T]) Next() (T, error) {
	f, open := <-s.ch
	return f.unpack(open)
}

// Within waits for the next message, at most d; late is true when none came in time. A d of 0 waits without end.
func (s *Source[T]) Within(d time.Duration) (message T, late bool, err error) {
	if d <= 0 {
		message, err = s.Next()
		return message, false, err
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case f, open := <-s.ch:
		message, err = f.unpack(open)
		return message, false, err
	case <-timer.C:
		return message, true, nil
	}
}

// unpack gives a reader that stopped without a word, because its context ended, the context's error.
func (f frame[T]) unpack(open bool) (T, error) {
	if !open {
		return f.message, context.Canceled
	}
	return f.message, f.err
}
