package email

import (
	"context"
	"io"
	"time"

	"github.com/trivet-dev/trivet/sandbox/fault"
)

// silent ends the connection after a time, or when the client leaves, the faults are cleared or the server ends. What the client sends is thrown away.
func (s *session) silent(after <-chan time.Time, cleared <-chan struct{}) {
	_ = s.conn.SetDeadline(time.Time{})
	left := make(chan struct{})
	go func() {
		defer close(left)
		_, _ = io.Copy(io.Discard, s.text.R)
	}()
	select {
	case <-after:
	case <-cleared:
	case <-left:
	case <-s.ctx.Done():
	}
	_ = s.conn.Close() // the reading ends
	<-left
}

// pause waits before a command, and reports false if the client leaves or the server ends meanwhile.
func (s *session) pause(d time.Duration) bool {
	if d == 0 {
		return true
	}
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	_ = s.conn.SetDeadline(time.Time{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		if _, err := s.text.R.Peek(1); err != nil {
			cancel()
		}
	}()
	waited := fault.Sleep(ctx, d)
	_ = s.conn.SetReadDeadline(time.Unix(1, 0)) // the watching ends
	<-watched
	_ = s.conn.SetDeadline(time.Now().Add(patience))
	return waited
}
