package frames_test

import (
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/gateway/internal/frames"
	"github.com/trivet-dev/trivet/gateway/internal/sse"
)

// A stream that never ends is cancelled once, and nothing reads it after Close.
func TestCloseEndsTheReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		cancelled, closed, reads := 0, false, 0
		s := frames.Read(ctx, func() { cancelled++; cancel() }, func() (int, error) {
			if closed {
				t.Error("the stream is read after Close")
			}
			if reads++; reads > 10_000 {
				return 0, errors.New("the stream was not cancelled")
			}
			return 1, nil
		})
		synctest.Wait() // the buffer is full, and the reader waits for room
		s.Close()
		closed = true
		synctest.Wait()
		require.Equal(t, 1, cancelled)
	})
}

// Nothing reads beyond the end of a stream, whether or not anybody takes the end.
func TestTheEndIsReadOnce(t *testing.T) {
	for _, end := range []error{io.EOF, errors.New("broken")} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			reads := 0
			s := frames.Read(ctx, cancel, func() (int, error) {
				if reads++; reads > 1 {
					return 0, ctx.Err()
				}
				return 0, end
			})
			synctest.Wait()
			_, err := s.Next()
			require.ErrorIs(t, err, end)
			synctest.Wait()
			require.Equal(t, 1, reads)
			s.Close()
		})
	}
}

// Close waits for a reader whose stream ends slowly.
func TestCloseWaitsForTheReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		release, ended := make(chan struct{}), false
		s := frames.Read(ctx, cancel, func() (int, error) {
			<-release
			ended = true
			return 0, io.EOF
		})
		closed := make(chan struct{})
		go func() { s.Close(); close(closed) }()
		synctest.Wait()
		select {
		case <-closed:
			t.Fatal("Close returned while the stream was still being read")
		default:
		}
		close(release)
		<-closed
		require.True(t, ended)
	})
}

// unflushable accepts writes but cannot send them, as when the client is gone.
type unflushable struct{ *httptest.ResponseRecorder }

func (unflushable) FlushError() error { return errors.New("broken pipe") }

func TestFlushFailureIsAWriteError(t *testing.T) {
	for name, end := range map[string]error{"in the middle": nil, "at the end": io.EOF} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			sent := false
			s := frames.Read(ctx, cancel, func() (string, error) {
				if sent {
					if end == nil {
						<-ctx.Done()
						return "", ctx.Err()
					}
					return "", end
				}
				sent = true
				return "data: x\n\n", nil
			})
			defer s.Close()
			w := sse.NewWriter(unflushable{httptest.NewRecorder()})
			err := frames.Pump(s, w, 0, func(m string) error { _, err := w.Write([]byte(m)); return err })
			_, ok := errors.AsType[*frames.WriteError](err)
			require.True(t, ok, "got %v", err)
		})
	}
}
