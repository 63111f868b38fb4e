package sse_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/gateway/internal/sse"
)

func TestBetween(t *testing.T) {
	for text, want := range map[string]bool{
		"":                       true,
		"data: x\n\n":            true,
		"data: x\r\n\r\n":        true,
		"data: x\r\r":            true,
		"data: x\n":              false,
		"data: x":                false,
		"data: x\r\n":            false,
		"data: x\n\ndata: y\n":   false,
		": comment\n":            false,
		"data: x\n\ndata: y\n\n": true,
	} {
		for size := 1; size <= max(1, len(text)); size++ {
			w := sse.NewWriter(httptest.NewRecorder())
			for rest := text; rest != ""; rest = rest[min(size, len(rest)):] {
				_, err := w.Write([]byte(rest[:min(size, len(rest))]))
				require.NoError(t, err)
			}
			require.Equal(t, want, w.Between(), "%q in pieces of %d", text, size)
		}
	}
}

func TestBeginAndPing(t *testing.T) {
	r := httptest.NewRecorder()
	w := sse.NewWriter(r)
	w.Begin(http.StatusOK)
	require.NoError(t, w.Ping())
	require.Equal(t, sse.ContentType, r.Header().Get("Content-Type"))
	require.Equal(t, "no", r.Header().Get("X-Accel-Buffering"))
	require.Equal(t, ": ping\n", r.Body.String(), "no blank line follows, because some clients take that for an event")
	require.True(t, r.Flushed)
	_, err := w.Write([]byte("data: half"))
	require.NoError(t, err)
	require.NoError(t, w.Ping())
	require.Equal(t, ": ping\ndata: half", r.Body.String(), "no comment within an event")
}

func TestContentTypeOfTheHeadStays(t *testing.T) {
	r := httptest.NewRecorder()
	r.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	sse.NewWriter(r).Begin(http.StatusOK)
	require.Equal(t, "text/event-stream; charset=utf-8", r.Header().Get("Content-Type"))
}

func TestFail(t *testing.T) {
	for name, tc := range map[string]struct{ before, event, want string }{
		"between events":   {"data: 1\n\n", "", "data: {}\n\n"},
		"named":            {"data: 1\n\n", "error", "event: error\ndata: {}\n\n"},
		"at the beginning": {"", "", "data: {}\n\n"},
		"within an event":  {"data: {\"ha", "", "\n\ndata: {}\n\n"},
		"after one line":   {"data: 1\n", "", "\n\ndata: {}\n\n"},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRecorder()
			w := sse.NewWriter(r)
			_, err := w.Write([]byte(tc.before))
			require.NoError(t, err)
			require.NoError(t, w.Fail(tc.event, []byte("{}")))
			require.Equal(t, tc.want, strings.TrimPrefix(r.Body.String(), tc.before))
			require.True(t, r.Flushed)
		})
	}
}
