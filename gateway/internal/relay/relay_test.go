package relay_test

import (
	"context"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/trivet-dev/trivet/gateway/internal/call"
	"github.com/trivet-dev/trivet/gateway/internal/relay"
	"github.com/trivet-dev/trivet/gateway/internal/reqbody"
	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
)

// slow sends a head and a body after a delay, and then the rest, each after its own.
type slow struct {
	aiv1.AIServiceClient
	after time.Duration
	head  *aiv1.RelayHead
	body  string
	rest  []late
	last  bool          // rest is marked as the end
	pause time.Duration // before the end
	end   error         // nil is an orderly end
}

// late is a piece that comes after a silence.
type late struct {
	after time.Duration
	body  string
}

func (s slow) Relay(ctx context.Context, _ *aiv1.RelayRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[aiv1.RelayResponse], error) {
	return &slowStream{slow: s, ctx: ctx}, nil
}

// plain is Relay as a function. Like ai, it sends from a goroutine of its own.
func (s slow) plain(ctx context.Context, _ *aiv1.RelayRequest, send func(*aiv1.RelayResponse) error) error {
	stream, done := &slowStream{slow: s, ctx: ctx}, make(chan error, 1)
	go func() {
		for {
			m, err := stream.Recv()
			if err == nil {
				err = send(m)
			}
			if err != nil {
				done <- err
				return
			}
		}
	}()
	if err := <-done; !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

type slowStream struct {
	grpc.ClientStream
	slow
	ctx  context.Context
	sent int
}

func (s *slowStream) Recv() (*aiv1.RelayResponse, error) {
	after, m := s.after, &aiv1.RelayResponse{Head: s.head, Body: []byte(s.body)}
	i := s.sent - 1
	if i >= len(s.rest) && s.pause > 0 {
		time.Sleep(s.pause) // of the bubble
	}
	switch {
	case i >= len(s.rest) && s.end != nil:
		return nil, s.end
	case i >= len(s.rest):
		return nil, io.EOF
	case i >= 0:
		after, m = s.rest[i].after, &aiv1.RelayResponse{Body: []byte(s.rest[i].body), Last: s.last}
	}
	s.sent++
	select {
	case <-time.After(after):
		return m, nil
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
}

// bothWays runs a test with ai over a connection and as a function, in a bubble of its own.
func bothWays(t *testing.T, s slow, keepAlive time.Duration, test func(t *testing.T, h *relay.Relay)) {
	t.Helper()
	for _, way := range []string{"pulled", "pushed"} {
		t.Run(way, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &relay.Relay{AI: s, Body: reqbody.Reader{Max: 1000, Timeout: time.Minute}, KeepAlive: keepAlive}
				if way == "pushed" {
					h.Plain = s.plain
				}
				test(t, h)
			})
		})
	}
}

func serve(ctx context.Context, h *relay.Relay, w http.ResponseWriter, state *call.State, body string) {
	h.Endpoint(aiv1.Endpoint_ENDPOINT_CHAT_COMPLETIONS).ServeHTTP(w,
		httptest.NewRequestWithContext(call.With(ctx, state), http.MethodPost, "/", strings.NewReader(body)))
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
			bothWays(t, slow{after: tc.after, head: tc.head, body: "x"}, tc.keepAlive, func(t *testing.T, h *relay.Relay) {
				w := httptest.NewRecorder()
				serve(t.Context(), h, w, &call.State{}, tc.request)
				require.Equal(t, 200, w.Code)
				require.Equal(t, tc.want, w.Body.String())
			})
		})
	}
}

// formBody writes the fields of a form by name and value, and a file.
func formBody(t *testing.T, fields ...string) (kind, body string) {
	t.Helper()
	var b strings.Builder
	w := multipart.NewWriter(&b)
	for i := 0; i < len(fields); i += 2 {
		require.NoError(t, w.WriteField(fields[i], fields[i+1]))
	}
	file, err := w.CreateFormFile("file", "stream")
	require.NoError(t, err)
	_, err = file.Write([]byte("stream=true"))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return w.FormDataContentType(), b.String()
}

// TestSlowMedia: streams of images, sound and transcripts are kept alive, too, before their head and after it.
func TestSlowMedia(t *testing.T) {
	const (
		edits, speech  = aiv1.Endpoint_ENDPOINT_IMAGES_EDITS, aiv1.Endpoint_ENDPOINT_AUDIO_SPEECH
		transcriptions = aiv1.Endpoint_ENDPOINT_AUDIO_TRANSCRIPTIONS
		images         = aiv1.Endpoint_ENDPOINT_IMAGES_GENERATIONS
		ping, event    = ": ping\n", "data: x\n\n"
		alive          = ping + event + ping + event
		waited         = event + event
	)
	stream := &aiv1.RelayHead{Status: 200, Streamed: true}
	whole := &aiv1.RelayHead{Status: 200, Headers: map[string]string{"content-type": "text/plain"}}
	sound := &aiv1.RelayHead{Status: 200, Headers: map[string]string{"content-type": "audio/mpeg"}}
	type fields []string
	for name, tc := range map[string]struct {
		endpoint aiv1.Endpoint
		json     string
		form     fields
		head     *aiv1.RelayHead
		want     string
	}{
		"images":                         {images, `{"stream":true}`, nil, stream, alive},
		"images without a stream":        {images, `{"stream":false}`, nil, whole, waited},
		"speech":                         {speech, `{"stream_format":"sse","stream":false}`, nil, stream, alive},
		"speech as sound":                {speech, `{"stream_format":"audio"}`, nil, sound, waited},
		"stream means nothing in speech": {speech, `{"stream":true}`, nil, sound, waited},
		"sound in place of events": {
			speech, `{"stream_format":"sse"}`, nil, sound,
			ping + "data: {\"type\":\"speech.audio.delta\",\"audio\":\"ZGF0YTogeAoK\"}\n\n" + ping + "data: {\"type\":\"speech.audio.delta\",\"audio\":\"ZGF0YTogeAoK\"}\n\ndata: {\"type\":\"speech.audio.done\"}\n\n",
		},
		"a transcript":             {transcriptions, "", fields{"stream", "true"}, stream, alive},
		"a transcript in JSON":     {transcriptions, "", fields{"response_format", "json", "stream", "true"}, stream, alive},
		"a transcript in one":      {transcriptions, "", fields{"stream", "false"}, whole, waited},
		"a transcript as a text":   {transcriptions, "", fields{"stream", "true", "response_format", "text"}, whole, waited},
		"subtitles":                {transcriptions, "", fields{"response_format", "srt", "stream", "true"}, whole, waited},
		"a file that says stream":  {transcriptions, "", fields{"prompt", "x"}, whole, waited},
		"a prompt that says it":    {transcriptions, "", fields{"prompt", "name=\"stream\"\r\n\r\ntrue"}, whole, waited},
		"a field that is too long": {transcriptions, "", fields{"stream", "true" + strings.Repeat(" ", 100)}, whole, waited},
		"an edit":                  {edits, "", fields{"stream", "true"}, stream, alive},
	} {
		t.Run(name, func(t *testing.T) {
			s := slow{after: 16 * time.Second, head: tc.head, body: event, rest: []late{{16 * time.Second, event}}}
			bothWays(t, s, 15*time.Second, func(t *testing.T, h *relay.Relay) {
				kind, body := "application/json", tc.json
				if tc.form != nil {
					kind, body = formBody(t, tc.form...)
					h.Form = true
				}
				w, state := httptest.NewRecorder(), &call.State{}
				r := httptest.NewRequestWithContext(call.With(t.Context(), state), http.MethodPost, "/", strings.NewReader(body))
				r.Header.Set("Content-Type", kind)
				h.Endpoint(tc.endpoint).ServeHTTP(w, r)
				require.Equal(t, tc.want, w.Body.String())
				require.False(t, state.Broken)
			})
		})
	}
}

// A silence gets comments, counted from the last piece, and none within an event.
func TestSilence(t *testing.T) {
	stream := &aiv1.RelayHead{Status: 200, Streamed: true}
	for name, tc := range map[string]struct {
		slow
		want string
	}{
		"between events":              {slow{body: "data: 1\n\n", rest: []late{{31 * time.Second, "data: 2\n\n"}}}, "data: 1\n\n: ping\n: ping\ndata: 2\n\n"},
		"after the head":              {slow{rest: []late{{16 * time.Second, "data: 1\n\n"}}}, ": ping\ndata: 1\n\n"},
		"within an event":             {slow{body: "data: ha", rest: []late{{100 * time.Second, "lf\n\n"}}}, "data: half\n\n"},
		"counted from the last piece": {slow{after: 14 * time.Second, body: "data: 1\n\n", rest: []late{{14 * time.Second, "data: 2\n\n"}}}, "data: 1\n\ndata: 2\n\n"},
		"after a late head":           {slow{after: 16 * time.Second, body: "data: 1\n\n", rest: []late{{16 * time.Second, "data: 2\n\n"}}}, ": ping\ndata: 1\n\n: ping\ndata: 2\n\n"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.head = stream
			bothWays(t, tc.slow, 15*time.Second, func(t *testing.T, h *relay.Relay) {
				w, state := httptest.NewRecorder(), &call.State{}
				serve(t.Context(), h, w, state, `{"stream":true}`)
				require.Equal(t, tc.want, w.Body.String())
				require.False(t, state.Broken)
			})
		})
	}
}

// A client that takes nothing any more ends the call at once, whether a piece or a comment finds out.
func TestDeafClient(t *testing.T) {
	for name, tc := range map[string]struct {
		rest []late
		end  time.Duration
	}{
		"found by a piece":   {[]late{{time.Second, "data: 1\n\n"}, {time.Second, "data: 2\n\n"}}, time.Second},
		"found by a comment": {[]late{{time.Hour, "data: 1\n\n"}}, 15 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			s := slow{head: &aiv1.RelayHead{Status: 200, Streamed: true}, rest: tc.rest}
			bothWays(t, s, 15*time.Second, func(t *testing.T, h *relay.Relay) {
				state, begun := &call.State{}, time.Now()
				serve(t.Context(), h, &deaf{httptest.NewRecorder()}, state, `{"stream":true}`)
				require.Equal(t, tc.end, time.Since(begun))
				require.True(t, state.Broken)
				require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_CANCELLED, state.Failure.Reason)
				require.Contains(t, state.Failure.Message, "disconnected")
			})
		})
	}
}

// deaf takes the head and nothing after it.
type deaf struct{ *httptest.ResponseRecorder }

func (*deaf) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
