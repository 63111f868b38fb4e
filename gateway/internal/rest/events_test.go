package rest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/trivet-dev/trivet/gateway/internal/call"
	"github.com/trivet-dev/trivet/gateway/internal/reqbody"
	"github.com/trivet-dev/trivet/gateway/internal/rest"
	authv1 "github.com/trivet-dev/trivet/gen/go/trivet/auth/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// comparison sends its responses, with a pause before each, and then its end.
type comparison struct {
	grpc.ClientStream
	ctx   context.Context
	pause time.Duration
	left  []*authv1.ReconcileResponse
	end   error
}

func (c *comparison) Recv() (*authv1.ReconcileResponse, error) {
	if c.pause > 0 {
		select {
		case <-time.After(c.pause):
		case <-c.ctx.Done():
			return nil, c.ctx.Err()
		}
	}
	if len(c.left) == 0 {
		return nil, c.end
	}
	m := c.left[0]
	c.left = c.left[1:]
	return m, nil
}

func TestEvents(t *testing.T) {
	users := &authv1.ReconcileResponse{Kind: "users", Same: 7, Done: true}
	const one = `data: {"kind":"users","same":"7","repaired":"0","created":"0","removed":"0","done":true}` + "\n\n"
	for name, tc := range map[string]struct {
		body   string
		stream comparison
		status int
		want   []string // parts of the body, in their order
		broken bool
	}{
		"success":              {`{}`, comparison{left: []*authv1.ReconcileResponse{users, users}, end: io.EOF}, 200, []string{one + one}, false},
		"success without news": {`{}`, comparison{end: io.EOF}, 200, []string{""}, false},
		"refused": {
			`{}`, comparison{end: errs.New(errorsv1.ErrorReason_ERROR_REASON_CONFLICT, "busy")}, 409, []string{`"code":"CONFLICT"`}, false,
		},
		"fails later": {
			`{}`,
			comparison{left: []*authv1.ReconcileResponse{users}, end: errors.New("torn")},
			200,
			[]string{one, "event: error\ndata: {", `"code":"INTERNAL"`},
			true,
		},
		"cannot be encoded": {
			`{}`,
			comparison{left: []*authv1.ReconcileResponse{{Kind: "\xff"}}, end: io.EOF},
			200,
			[]string{"event: error\ndata: {", `"code":"INTERNAL"`},
			true,
		},
		"cannot be encoded later": {
			`{}`,
			comparison{left: []*authv1.ReconcileResponse{users, {Kind: "\xff"}}, end: io.EOF},
			200,
			[]string{one, "event: error\ndata: {", `"code":"INTERNAL"`},
			true,
		},
		"starts late": {
			`{}`,
			comparison{pause: 2 * time.Minute, left: []*authv1.ReconcileResponse{users}, end: io.EOF},
			200,
			[]string{": ping\n", one},
			false,
		},
		"fails late": {
			`{}`,
			comparison{pause: 2 * time.Minute, end: status.Error(codes.Unavailable, "down")},
			200,
			[]string{": ping\n", "event: error\n", `"code":"SERVICE_UNAVAILABLE"`},
			true,
		},
		"unknown field": {`{"sinse":"2026-11-01T00:00:00Z"}`, comparison{end: io.EOF}, 400, []string{"sinse"}, false},
		"no body":       {``, comparison{end: io.EOF}, 400, []string{`"code":"MALFORMED_BODY"`}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := func(ctx context.Context, _ *authv1.ReconcileRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[authv1.ReconcileResponse], error) {
					tc.stream.ctx = ctx
					return &tc.stream, nil
				}
				w, state := httptest.NewRecorder(), &call.State{}
				r := httptest.NewRequestWithContext(call.With(t.Context(), state), http.MethodPost, "/", strings.NewReader(tc.body))
				rest.Events(begin, reqbody.Reader{Max: 1000, Timeout: time.Hour}, time.Minute).ServeHTTP(w, r)
				require.Equal(t, tc.status, w.Code, w.Body)
				rest := w.Body.String()
				for _, part := range tc.want {
					_, after, found := strings.Cut(rest, part)
					require.True(t, found, "%q is missing in %q", part, rest)
					rest = after
				}
				require.Equal(t, tc.broken, state.Broken)
			})
		})
	}
}

func TestEventsPassTheRequestOn(t *testing.T) {
	var got *authv1.ReconcileRequest
	begin := func(_ context.Context, q *authv1.ReconcileRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[authv1.ReconcileResponse], error) {
		got = q
		return nil, status.Error(codes.Unavailable, "down")
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(call.With(t.Context(), &call.State{}), http.MethodPost, "/", strings.NewReader(`{"since":"2026-11-01T00:00:00Z"}`))
	rest.Events(begin, reqbody.Reader{Max: 1000, Timeout: time.Minute}, time.Minute).ServeHTTP(w, r)
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.True(t, timestamppb.New(time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)).AsTime().Equal(got.GetSince().AsTime()))
}

// A caller who leaves ends the RPC.
func TestEventsEndWithTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, leave := context.WithCancel(t.Context())
		stream := &comparison{pause: time.Hour}
		begin := func(ctx context.Context, _ *authv1.ReconcileRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[authv1.ReconcileResponse], error) {
			stream.ctx = ctx
			return stream, nil
		}
		time.AfterFunc(time.Second, leave)
		start, state := time.Now(), &call.State{}
		r := httptest.NewRequestWithContext(call.With(ctx, state), http.MethodPost, "/", strings.NewReader(`{}`))
		rest.Events(begin, reqbody.Reader{Max: 1000, Timeout: time.Minute}, time.Minute).ServeHTTP(httptest.NewRecorder(), r)
		require.Equal(t, time.Second, time.Since(start))
	})
}
