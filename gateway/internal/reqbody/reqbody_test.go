package reqbody_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/gateway/internal/reqbody"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

const limit = 200_000

var bodies = reqbody.Reader{Max: limit, Timeout: time.Minute}

func TestRead(t *testing.T) {
	const (
		good      = errorsv1.ErrorReason_ERROR_REASON_UNSPECIFIED
		large     = errorsv1.ErrorReason_ERROR_REASON_BODY_TOO_LARGE
		malformed = errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY
		encoded   = errorsv1.ErrorReason_ERROR_REASON_UNSUPPORTED_ENCODING
	)
	fill := func(n int) io.Reader { return bytes.NewReader(bytes.Repeat([]byte("x"), n)) }
	cases := map[string]struct {
		body     io.Reader
		announce int64
		encoding string
		reason   errorsv1.ErrorReason
		read     int
	}{
		"small":                    {fill(10), 10, "", good, 10},
		"empty":                    {fill(0), 0, "", good, 0},
		"chunked":                  {fill(10_000), -1, "", good, 10_000},
		"above the first buffer":   {fill(150_000), 150_000, "", good, 150_000},
		"byte by byte":             {iotest.OneByteReader(fill(3000)), 3000, "", good, 3000},
		"at the limit":             {fill(limit), limit, "", good, limit},
		"at the limit, chunked":    {fill(limit), -1, "", good, limit},
		"above":                    {fill(limit + 1), limit + 1, "", large, 0},
		"above, chunked":           {fill(limit + 1), -1, "", large, limit},
		"cut off":                  {io.MultiReader(fill(5), iotest.ErrReader(io.ErrUnexpectedEOF)), 10, "", malformed, 5},
		"compressed":               {fill(10), 10, "gzip", encoded, 0},
		"compressed with br":       {fill(10), 10, "br", encoded, 0},
		"compressed with identity": {fill(10), 10, "identity", good, 10},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/", tc.body)
			r.ContentLength = tc.announce
			r.Header.Set("Content-Encoding", tc.encoding)
			w := httptest.NewRecorder()
			body, err := bodies.Read(w, r)
			require.Equal(t, tc.reason, errs.ReasonOf(err))
			require.Len(t, body, tc.read)
			require.Equal(t, err != nil, w.Header().Get("Connection") == "close")
		})
	}
}

func TestContentLengthDoesNotDecideTheAllocation(t *testing.T) {
	big := reqbody.Reader{Max: 1 << 30, Timeout: time.Minute}
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("x"))
	r.ContentLength = 1 << 29
	body, err := big.Read(httptest.NewRecorder(), r)
	require.NoError(t, err)
	require.LessOrEqual(t, cap(body), 64<<10)
}

func TestRequire(t *testing.T) {
	_, err := bodies.Require(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", http.NoBody))
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY, errs.ReasonOf(err))
}

// The client sends half a body and stops. The deadline ends the read.
func TestSlowBody(t *testing.T) {
	failed := make(chan error, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := reqbody.Reader{Max: limit, Timeout: 20 * time.Millisecond}.Read(w, r)
		failed <- err
	}))
	defer server.Close()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
	require.NoError(t, err)
	select {
	case err = <-failed:
	case <-time.After(10 * time.Second):
		t.Fatal("the read did not end by its deadline")
	}
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_MALFORMED_BODY, errs.ReasonOf(err))
	require.ErrorContains(t, err, "20ms")
}

// deadlineWriter records its read deadlines.
type deadlineWriter struct {
	*httptest.ResponseRecorder
	deadlines []time.Time
}

func (w *deadlineWriter) SetReadDeadline(at time.Time) error {
	w.deadlines = append(w.deadlines, at)
	return nil
}

// A read deadline that stayed set would cancel the request in the middle of a long response.
func TestReadDeadlineIsClearedAfterTheBody(t *testing.T) {
	w := &deadlineWriter{ResponseRecorder: httptest.NewRecorder()}
	begun := time.Now()
	_, err := bodies.Read(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{}")))
	require.NoError(t, err)
	require.Len(t, w.deadlines, 2)
	require.False(t, w.deadlines[0].Before(begun.Add(bodies.Timeout)))
	require.True(t, w.deadlines[1].IsZero())

	w = &deadlineWriter{ResponseRecorder: httptest.NewRecorder()}
	_, err = bodies.Read(w, httptest.NewRequest(http.MethodPost, "/", iotest.ErrReader(io.ErrUnexpectedEOF)))
	require.Error(t, err)
	require.Len(t, w.deadlines, 1, "a connection that is not reused keeps its deadline")
}
