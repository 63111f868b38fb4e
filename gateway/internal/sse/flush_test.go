package sse_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/gateway/internal/sse"
)

// flushes counts flushes.
type flushes struct {
	*httptest.ResponseRecorder
	n int
}

func (f *flushes) FlushError() error { f.n++; return nil }

// A flush costs a system call, so it happens only when there is something to send: the head too.
func TestFlushSendsWhatWasWritten(t *testing.T) {
	r := &flushes{ResponseRecorder: httptest.NewRecorder()}
	w := sse.NewWriter(r)
	require.NoError(t, w.Flush())
	require.Zero(t, r.n, "nothing was written")
	w.Begin(http.StatusOK)
	require.NoError(t, w.Flush())
	require.Equal(t, 1, r.n, "the head leaves before the first event")
	_, err := w.Write(nil)
	require.NoError(t, err)
	require.NoError(t, w.Flush())
	require.Equal(t, 1, r.n, "nothing was written since")
	_, err = w.Write([]byte("x"))
	require.NoError(t, err)
	require.NoError(t, w.Flush())
	require.NoError(t, w.Flush())
	require.Equal(t, 2, r.n)
}
