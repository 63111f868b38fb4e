package rest_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/trivet-dev/trivet/gateway/internal/call"
	"github.com/trivet-dev/trivet/gateway/internal/reqbody"
	"github.com/trivet-dev/trivet/gateway/internal/rest"
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
)

// talk is an AI service that sends messages with a minute after each.
type talk struct {
	aiv1.AIServiceClient
	messages []*aiv1.ChatStreamResponse
}

func (t talk) ChatStream(ctx context.Context, _ *aiv1.ChatStreamRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[aiv1.ChatStreamResponse], error) {
	return &talkStream{ctx: ctx, left: t.messages}, nil
}

type talkStream struct {
	grpc.ClientStream
	ctx  context.Context
	left []*aiv1.ChatStreamResponse
	sent bool
}

func (s *talkStream) Recv() (*aiv1.ChatStreamResponse, error) {
	if s.sent {
		select {
		case <-time.After(time.Minute):
		case <-s.ctx.Done():
			return nil, s.ctx.Err()
		}
	}
	if len(s.left) == 0 {
		return nil, io.EOF
	}
	m := s.left[0]
	s.left, s.sent = s.left[1:], true
	return m, nil
}

// flushed records what a client has after each flush, and when.
type flushed struct {
	*httptest.ResponseRecorder
	start time.Time
	has   map[time.Duration]string
}

func (f *flushed) FlushError() error {
	f.has[time.Since(f.start)] = f.Body.String()
	return nil
}

func TestEveryMessageArrivesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &rest.ChatStream{
			AI:   talk{messages: []*aiv1.ChatStreamResponse{{Delta: "a"}, {Delta: "b"}, {FinishReason: "stop"}}},
			Body: reqbody.Reader{Max: 1000, Timeout: time.Minute},
		}
		w := &flushed{ResponseRecorder: httptest.NewRecorder(), start: time.Now(), has: map[time.Duration]string{}}
		state := &call.State{}
		r := httptest.NewRequestWithContext(call.With(t.Context(), state), http.MethodPost, "/", strings.NewReader(`{}`))
		h.ServeHTTP(w, r)
		require.Equal(t, "data: {\"delta\":\"a\"}\n\n", w.has[0])
		require.Equal(t, "data: {\"delta\":\"a\"}\n\ndata: {\"delta\":\"b\"}\n\n", w.has[time.Minute])
		require.Contains(t, w.has[2*time.Minute], `"finishReason":"stop"`)
		require.False(t, state.Broken)
	})
}
