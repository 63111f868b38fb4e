package frames_test

import (
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/trivet-dev/trivet/gateway/internal/frames"
	"github.com/trivet-dev/trivet/gateway/internal/sse"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// flushes records how many bytes had been written at each flush.
type flushes struct {
	*httptest.ResponseRecorder
	at []int
}

func (f *flushes) FlushError() error {
	f.at = append(f.at, f.Body.Len())
	return nil
}

// script is a stream that sends texts with a pause before each.
type script struct {
	ctx  context.Context
	text []string
	wait []time.Duration
	end  error
	next int
}

func (s *script) Recv() (string, error) {
	i := s.next
	s.next++
	if i < len(s.wait) {
		select {
		case <-time.After(s.wait[i]):
		case <-s.ctx.Done():
			return "", s.ctx.Err()
		}
	}
	if i >= len(s.text) {
		return "", s.end
	}
	return s.text[i], nil
}

func pump(t *testing.T, s *script, keepAlive time.Duration) (*flushes, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	s.ctx = ctx
	source := frames.Read(ctx, cancel, s.Recv)
	defer source.Close()
	out := &flushes{ResponseRecorder: httptest.NewRecorder()}
	w := sse.NewWriter(out)
	err := frames.Pump(source, w, keepAlive, func(text string) error {
		_, err := w.Write([]byte(text))
		return err
	})
	return out, err
}

func TestWaitingMessagesShareOneFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := &script{ctx: ctx, text: []string{"a", "b", "c", "d"}, end: io.EOF}
		source := frames.Read(ctx, cancel, s.Recv)
		defer source.Close()
		synctest.Wait() // all four messages are waiting
		out := &flushes{ResponseRecorder: httptest.NewRecorder()}
		w := sse.NewWriter(out)
		err := frames.Pump(source, w, 0, func(text string) error {
			_, err := w.Write([]byte(text))
			return err
		})
		require.ErrorIs(t, err, io.EOF)
		require.Equal(t, []int{4}, out.at)
	})
}

func TestEachMessageIsFlushedWithoutWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		second := time.Second
		out, err := pump(t, &script{text: []string{"a", "b", "c"}, wait: []time.Duration{second, second, second, second}, end: io.EOF}, 0)
		require.ErrorIs(t, err, io.EOF)
		require.Equal(t, []int{1, 2, 3}, out.at)
	})
}

func TestKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, err := pump(t, &script{
			text: []string{"data: 1\n\n", "data: ha", "lf\n\n", "data: 3\n\n"},
			wait: []time.Duration{40 * time.Second, 10 * time.Second, 100 * time.Second, 31 * time.Second}, end: io.EOF,
		}, 15*time.Second)
		require.ErrorIs(t, err, io.EOF)
		require.Equal(t, ": ping\n: ping\ndata: 1\n\ndata: half\n\n: ping\n: ping\ndata: 3\n\n", out.Body.String(),
			"comments are sent only during silence and between events")
	})
}

func TestSilenceIsMeasuredFromTheLastMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := &script{text: []string{"data: 1\n\n", "data: 2\n\n"}, wait: []time.Duration{14 * time.Second, 16 * time.Second}, end: io.EOF}
		out, err := pump(t, s, 15*time.Second)
		require.ErrorIs(t, err, io.EOF)
		require.Equal(t, 30*time.Second, time.Since(start))
		require.Equal(t, "data: 1\n\n: ping\ndata: 2\n\n", out.Body.String())
	})
}

// A tick that comes in the middle of a silence waits for the rest of it.
func TestAShortSilenceHasNoComment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{text: []string{"data: 1\n\n", "data: 2\n\n"}, wait: []time.Duration{3 * time.Second, 14 * time.Second, 14 * time.Second}, end: io.EOF}
		out, err := pump(t, s, 15*time.Second)
		require.ErrorIs(t, err, io.EOF)
		require.Equal(t, "data: 1\n\ndata: 2\n\n", out.Body.String())
	})
}

func TestNoKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, err := pump(t, &script{text: []string{"x"}, wait: []time.Duration{time.Hour}, end: io.EOF}, 0)
		require.ErrorIs(t, err, io.EOF)
		require.Equal(t, "x", out.Body.String())
	})
}

func TestPumpReturnsTheStreamsError(t *testing.T) {
	broken := errors.New("broken")
	out, err := pump(t, &script{text: []string{"a", "b"}, end: broken}, time.Minute)
	require.ErrorIs(t, err, broken)
	require.Equal(t, "ab", out.Body.String(), "messages before the error are written")
	require.Equal(t, 2, out.at[len(out.at)-1], "and flushed")
}

// brokenWriter fails every write, as when the client is gone.
type brokenWriter struct{ *httptest.ResponseRecorder }

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestWriteFailureEndsTheStream(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := &script{ctx: ctx, text: strings.Split(strings.Repeat("x", 1000), "")}
	source := frames.Read(ctx, cancel, s.Recv)
	w := sse.NewWriter(brokenWriter{httptest.NewRecorder()})
	err := frames.Pump(source, w, 0, func(text string) error {
		_, err := w.Write([]byte(text))
		return err
	})
	var gone *frames.WriteError
	require.ErrorAs(t, err, &gone)
	require.ErrorIs(t, err, io.ErrClosedPipe)
	source.Close()
	require.Error(t, ctx.Err(), "the call is cancelled")
	require.Less(t, s.next, 100, "the sender was held back")
}

func TestWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		source := frames.Read(ctx, cancel, (&script{ctx: ctx, text: []string{"a"}, wait: []time.Duration{3 * time.Second}, end: io.EOF}).Recv)
		defer source.Close()
		_, late, err := source.Within(2 * time.Second)
		require.True(t, late)
		require.NoError(t, err)
		text, late, err := source.Within(2 * time.Second)
		require.False(t, late)
		require.NoError(t, err)
		require.Equal(t, "a", text)
		_, late, err = source.Within(0)
		require.False(t, late)
		require.ErrorIs(t, err, io.EOF)
	})
}

func TestCancelledStream(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	source := frames.Read(ctx, cancel, (&script{ctx: ctx, wait: []time.Duration{time.Hour}}).Recv)
	cancel()
	_, err := source.Next()
	require.ErrorIs(t, err, context.Canceled)
	source.Close()
	_, err = source.Next()
	require.ErrorIs(t, err, context.Canceled, "a closed source returns the same error")
}
