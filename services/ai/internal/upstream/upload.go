package upstream

import (
	"context"
	"fmt"
	"io"
	"sync"
)

// errReleased is the error of a repetition whose form is not kept any more: the caller has left, or the answer has begun. It says nothing about
// the target.
var errReleased = fmt.Errorf("the form is not kept any more: %w", context.Canceled)

// upload keeps a form for the transport, which sends it again when a connection turns out to be closed.
type upload struct {
	mu   sync.Mutex
	body []byte // nil after release
}

// again returns the form once more.
func (u *upload) again() (io.ReadCloser, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.body == nil {
		return nil, errReleased
	}
	return &uploading{rest: u.body}, nil
}

func (u *upload) release() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.body = nil
}

// until releases the form when the caller is gone, or when the returned function is called.
func (u *upload) until(gone <-chan struct{}) (release func()) {
	done := make(chan struct{})
	go func() {
		select {
		case <-gone:
			u.release()
		case <-done:
		}
	}()
	return func() {
		close(done)
		u.release()
	}
}

// uploading reads a form. It lets go of what the transport has closed.
type uploading struct {
	mu   sync.Mutex
	rest []byte
}

// Read implements io.Reader.
func (u *uploading) Read(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := copy(p, u.rest)
	if u.rest = u.rest[n:]; len(u.rest) > 0 {
		return n, nil
	}
	u.rest = nil // an empty slice would keep the form
	return n, io.EOF
}

// Close implements io.Closer.
func (u *uploading) Close() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.rest = nil
	return nil
}
