// Package frames reads a stream of messages ahead of its consumer. All messages that have arrived can then be written with
// one flush, and silence can be noticed.
package frames

import (
	"context"
	"time"
)

// depth is the maximum number of waiting messages. When it is reached, the sender is held back.
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

// Read starts reading. recv is the stream's Recv; it must return when cancel is called. The caller must call Close.
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

// Close cancels the stream and waits until its reader has stopped.
func (s *Source[T]) Close() {
	s.cancel()
	for range s.ch {
		continue // drop what still arrives
	}
}

// Next waits for the next message. It returns io.EOF after the last one.
func (s *Source[T]) Next() (T, error) {
	f, open := <-s.ch
	return f.unpack(open)
}

// Within waits at most d for the next message; late is true when no message came in time. When d is 0 it waits without limit.
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

// unpack returns context.Canceled when the reader stopped because its context ended.
func (f frame[T]) unpack(open bool) (T, error) {
	if !open {
		return f.message, context.Canceled
	}
	return f.message, f.err
}
