package ai_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	"github.com/trivet-dev/trivet/sandbox/fault"
	"github.com/trivet-dev/trivet/services/ai"
)

// measured is a reader of the service's metrics, and the option that connects it.
func measured() (*sdkmetric.ManualReader, option) {
	reader := sdkmetric.NewManualReader()
	return reader, withMeter(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("ai"))
}

// passages are the first tokens, fallbacks and cut streams that were recorded, by metric and labels.
func passages(t testing.TB, reader *sdkmetric.ManualReader) map[string]int {
	t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(context.Background(), &all))
	out := map[string]int{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					if m.Name == "trivet.ai.first_token" {
						model, _ := p.Attributes.Value("model")
						out["first token of "+model.AsString()] = int(p.Count)
						require.Positive(t, p.Sum)
					}
				}
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					model, _ := p.Attributes.Value("model")
					cause, _ := p.Attributes.Value("cause")
					reason, _ := p.Attributes.Value("reason")
					switch m.Name {
					case "trivet.ai.streams.cut":
						out["cut of "+model.AsString()+": "+cause.AsString()] = int(p.Value)
					case "trivet.ai.fallbacks":
						out["fallback of "+model.AsString()+": "+reason.AsString()] = int(p.Value)
					}
				}
			}
		}
	}
	return out
}

// awaitPassages waits for what is recorded after the caller has its answer.
func awaitPassages(t testing.TB, reader *sdkmetric.ManualReader, want map[string]int) {
	t.Helper()
	if !waitFor(func() bool { return fmt.Sprint(passages(t, reader)) == fmt.Sprint(want) }) {
		require.Equal(t, want, passages(t, reader))
	}
}

func waitFor(met func() bool) bool {
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if met() {
			return true
		}
	}
	return false
}

// streamsByAPI make the same stream by each API, and read it to its end, or until the first text has come.
var streamsByAPI = map[string]func(h *fixture, ctx context.Context, firstOnly bool){
	"/v1/chat/completions": func(h *fixture, ctx context.Context, firstOnly bool) {
		h.readRelay(ctx, aiv1.Endpoint_ENDPOINT_CHAT_COMPLETIONS, streamed, firstOnly)
	},
	"/v1/responses": func(h *fixture, ctx context.Context, firstOnly bool) {
		h.readRelay(ctx, aiv1.Endpoint_ENDPOINT_RESPONSES, strings.Replace(ask, "{", `{"stream":true,"store":false,`, 1), firstOnly)
	},
	"/api/v1/chat:stream": func(h *fixture, ctx context.Context, firstOnly bool) {
		stream, err := h.ChatStream(ctx, &aiv1.ChatStreamRequest{Model: "gpt-4o-mini", Messages: user("hi")})
		require.NoError(h.t, err)
		for err == nil {
			var piece *aiv1.ChatStreamResponse
			if piece, err = stream.Recv(); firstOnly && piece.GetDelta() != "" {
				return
			}
		}
	},
}

// shownText finds text in the events of a chat and of a response.
var shownText = regexp.MustCompile(`"(?:content|delta)":"[^"]`)

func (h *fixture) readRelay(ctx context.Context, endpoint aiv1.Endpoint, body string, firstOnly bool) {
	stream, err := h.Relay(ctx, &aiv1.RelayRequest{Endpoint: endpoint, Body: []byte(body)})
	require.NoError(h.t, err)
	for err == nil {
		var piece *aiv1.RelayResponse
		if piece, err = stream.Recv(); firstOnly && shownText.Match(piece.GetBody()) {
			return
		}
	}
}

// TestPassages: what streams come to is recorded in the same way for each API.
func TestPassages(t *testing.T) {
	const first = "first token of gpt-4o-mini"
	cut := func(cause string) map[string]int { return map[string]int{first: 1, "cut of gpt-4o-mini: " + cause: 1} }
	for name, c := range map[string]struct {
		fault  fault.Fault
		leaves bool // when the first text has come
		want   map[string]int
	}{
		"the end":            {fault.Fault{}, false, map[string]int{first: 1}},
		"a lost connection":  {fault.Fault{Kind: fault.Cut, AfterChunks: 3}, false, cut("broken_off")},
		"an early end":       {fault.Fault{Kind: fault.EOF, AfterChunks: 3}, false, cut("broken_off")},
		"an error":           {fault.Fault{Kind: fault.StreamError, AfterChunks: 3}, false, cut("provider_error")},
		"silence":            {fault.Fault{Kind: fault.Stall, AfterChunks: 3}, false, cut("timeout")},
		"a caller who left":  {fault.Fault{Kind: fault.Stall, AfterChunks: 3}, true, cut("caller_left")},
		"no answer to begin": {fault.Fault{Kind: fault.Status, Status: 400}, false, map[string]int{}},
	} {
		for api, call := range streamsByAPI {
			t.Run(name+", "+api, func(t *testing.T) {
				reader, metered := measured()
				h := newFixture(t, metered, withReply(8), withConfig(func(c *ai.Config) {
					if c.IdleTimeout = 2 * time.Second; name != "silence" {
						c.IdleTimeout = 10 * time.Second
					}
				}))
				if c.fault.Kind != "" {
					c.fault.Count = 1
					h.fault(c.fault)
				}
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				call(h, ctx, c.leaves)
				if c.leaves {
					leave()
				}
				awaitPassages(t, reader, c.want)
			})
		}
	}
}

// TestPassagesOfOtherAnswers: what has no first token has none, and a stream that Trivet made of an answer in one piece has one.
func TestPassagesOfOtherAnswers(t *testing.T) {
	reader, metered := measured()
	h := newFixture(t, metered)
	h.chat(`{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}`)
	h.relay(aiv1.Endpoint_ENDPOINT_EMBEDDINGS, `{"model":"text-embedding-3-small","input":"hi"}`)
	require.Nil(t, h.send(speech, plain(`{"model":"tts-1","voice":"alloy","input":"four"}`)).err)
	require.Nil(t, h.send(generations, plain(strings.Replace(drawStream, ",\"stream\":true,\"partial_images\":2", "", 1))).err)
	require.Nil(t, h.send(generations, plain(drawStream)).err)
	awaitPassages(t, reader, map[string]int{"first token of gpt-image-1": 1})

	reader, metered = measured()
	h = newFixture(t, metered, withUpstream(raw("application/json", `{"id":"1","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}`)))
	require.Nil(t, h.chat(streamed).err)
	awaitPassages(t, reader, map[string]int{"first token of gpt-4o-mini": 1})

	reader, metered = measured()
	h = newFixture(t, metered, withUpstream(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/speech") {
			w.Header().Set("Content-Type", "audio/mpeg")
			_, _ = io.WriteString(w, strings.Repeat("sound", 10_000))
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		raw("text/event-stream", delta("a")+done)(w, r)
	}))
	require.NotNil(t, h.send(speech, plain(`{"model":"tts-1","voice":"alloy","input":"four"}`)).err, "an answer that nobody asked to stream breaks off")
	require.Nil(t, h.chat(streamed).err)
	awaitPassages(t, reader, map[string]int{"first token of gpt-4o-mini": 1})

	reader, metered = measured()
	h = newFixture(t, metered, withUpstream(raw("text/event-stream", delta("a")+delta(strings.Repeat("word ", 5_000))+done)))
	require.NotNil(t, h.chat(strings.Replace(streamed, "{", `{"max_tokens":10,`, 1)).err)
	awaitPassages(t, reader, map[string]int{"first token of gpt-4o-mini": 1, "cut of gpt-4o-mini: exceeded": 1})
}

// TestFallbacksAreCounted by the model that the caller asked for, and by what its first target came to.
func TestFallbacksAreCounted(t *testing.T) {
	for name, first := range map[string]struct {
		reason string
		answer http.HandlerFunc
	}{
		"an error": {"server_error", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "{}", http.StatusInternalServerError) }},
		"a limit":  {"rate_limited", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "{}", http.StatusTooManyRequests) }},
		"an answer that breaks off": {"failed", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(w, `{"id":`)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			reader, metered := measured()
			second := raw("application/json", `{"id":"1","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}`)
			h := newFixture(t, metered, withModels(aThenB(serve(t, first.answer), serve(t, second))))
			a := h.chat(`{"model":"m","messages":[{"role":"user","content":"hi"}]}`)
			require.Nil(t, a.err)
			require.Equal(t, "b", a.head.GetHeaders()["x-trivet-target"])
			require.Equal(t, "b", h.settled().Settled[0].GetTarget(), "the record names the target that served")
			awaitPassages(t, reader, map[string]int{"fallback of m: " + first.reason: 1})
		})
	}
	reader, metered := measured()
	h := newFixture(t, metered, withFallback(cannedText), withoutServer(t))
	res, err := h.Chat(t.Context(), &aiv1.ChatRequest{Model: "m", Messages: user("hi")})
	require.NoError(t, err)
	require.True(t, res.GetFallback())
	awaitPassages(t, reader, map[string]int{"fallback of m: no_target": 1})
}

func aThenB(first, second string) string {
	return fmt.Sprintf(`
targets:
  a: {kind: compatible, base_url: "%s/v1"}
  b: {kind: compatible, base_url: "%s/v1"}
models: {m: {kind: chat, provider: test, context_tokens: 8192, max_output_tokens: 512, default_output_tokens: 256, input: "1.00", cached_input: "1.00", output: "2.00", targets: [{target: a}, {target: b, priority: 2}]}}
`, first, second)
}
