package relay_test

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

	"github.com/trivet-dev/trivet/gateway/internal/relay"
	"github.com/trivet-dev/trivet/gateway/internal/reqbody"
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
)

// slow sends a head and a body after a delay.
type slow struct {
	aiv1.AIServiceClient
	after time.Duration
	head  *aiv1.RelayHead
	body  string
}

func (s slow) Relay(ctx context.Context, _ *aiv1.RelayRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[aiv1.RelayResponse], error) {
	return &slowStream{slow: s, ctx: ctx}, nil
}

type slowStream struct {
	grpc.ClientStream
	slow
	ctx  context.Context
	sent bool
}

func (s *slowStream) Recv() (*aiv1.RelayResponse, error) {
	if s.sent {
		return nil, io.EOF
	}
	s.sent = true
	select {
	case <-time.After(s.after):
		return &aiv1.RelayResponse{Head: s.head, Body: []byte(s.body)}, nil
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
}

func TestSlowAnswers(t *testing.T) {
	plain := &aiv1.RelayHead{Status: 200, Headers: map[string]string{"content-type": "application/json"}}
	stream := &aiv1.RelayHead{Status: 200, Streamed: true}
	const minute = time.Minute
	for name, tc := range map[string]struct {
		request   string
		after     time.Duration
		keepAlive time.Duration
		head      *aiv1.RelayHead
		want      string
	}{
		"plain":                           {`{}`, 2 * minute, 15 * time.Second, plain, "x"},
		"asks for no stream":              {`{"stream":false}`, 2 * minute, 15 * time.Second, plain, "x"},
		"not JSON":                        {`{"stream":`, 2 * minute, 15 * time.Second, plain, "x"},
		"the word is in the text":         {`{"x":"\"stream\""}`, 2 * minute, 15 * time.Second, plain, "x"},
		"stream in time":                  {`{"stream":true}`, 14 * time.Second, 15 * time.Second, stream, "x"},
		"stream, a minute late":           {`{"stream":true}`, minute - 1, 15 * time.Second, stream, ": ping\n: ping\n: ping\nx"},
		"stream, no comments wanted":      {`{"stream":true}`, 2 * minute, 0, stream, "x"},
		"stream requested with an escape": {`{"stre\u0061m":true}`, 2 * minute, 15 * time.Second, stream, "x"},
		"stream request, plain response":  {`{"stream":true}`, 14 * time.Second, 15 * time.Second, plain, "x"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &relay.Relay{
					AI:   slow{after: tc.after, head: tc.head, body: "x"},
					Body: reqbody.Reader{Max: 1000, Timeout: time.Minute}, KeepAlive: tc.keepAlive,
				}
				w := httptest.NewRecorder()
				h.Endpoint(aiv1.Endpoint_ENDPOINT_CHAT_COMPLETIONS).ServeHTTP(w,
					httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(tc.request)))
				require.Equal(t, 200, w.Code)
				require.Equal(t, tc.want, w.Body.String())
			})
		})
	}
}
