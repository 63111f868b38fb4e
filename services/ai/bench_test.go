package ai_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric/noop"
	"google.golang.org/grpc"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/ai"
)

// What the relay itself costs: an upstream and a billing in memory, and a stream that drops what it is sent.
//
// BenchmarkRelayStream reads 100 deltas, one per read, as a provider that flushes each sends them; ns/delta is the
// whole call over 100. ns/more is what a further delta costs, without the call around it.

const benchDelta = `data: {"id":"chatcmpl-AbCdEfGhIjKlMnOpQrStUvWxYz123","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o-mini-2024-07-18",` +
	`"service_tier":"default","system_fingerprint":"fp_0123456789","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}],` +
	`"usage":null,"obfuscation":"AbCdEfGhI"}` + "\n\n"

const benchUsage = `data: {"id":"chatcmpl-1","choices":[],"usage":{"prompt_tokens":20,"completion_tokens":100,"total_tokens":120,` +
	`"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}}` + "\n\n"

const benchAnswer = `{"id":"chatcmpl-AbCdEfGhIjKlMnOpQrStUvWxYz123","object":"chat.completion","created":1700000000,"model":"gpt-4o-mini-2024-07-18",` +
	`"choices":[{"index":0,"message":{"role":"assistant","content":"one two three four five six seven","refusal":null},"logprobs":null,"finish_reason":"stop"}],` +
	`"usage":{"prompt_tokens":20,"completion_tokens":7,"total_tokens":27,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}}`

// reads is a body that brings one part with each read.
type reads struct{ parts [][]byte }

func (r *reads) Read(p []byte) (int, error) {
	if len(r.parts) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.parts[0])
	r.parts = r.parts[1:]
	return n, nil
}

func (r *reads) Close() error { return nil }

// memory is an upstream without a network.
type memory struct{ parts [][]byte }

func (m *memory) RoundTrip(request *http.Request) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, request.Body)
	_ = request.Body.Close()
	if m.parts == nil {
		return &http.Response{
			StatusCode: 200, Header: header("application/json"), ContentLength: int64(len(benchAnswer)),
			Body: io.NopCloser(strings.NewReader(benchAnswer)),
		}, nil
	}
	return &http.Response{StatusCode: 200, Header: header("text/event-stream"), ContentLength: -1, Body: &reads{m.parts}}, nil
}

func header(kind string) http.Header {
	return http.Header{
		"Content-Type": {kind}, "X-Request-Id": {"req_1"}, "Openai-Processing-Ms": {"5"}, "X-Ratelimit-Limit-Requests": {"1"},
		"X-Ratelimit-Limit-Tokens": {"1"}, "X-Ratelimit-Remaining-Requests": {"1"}, "X-Ratelimit-Remaining-Tokens": {"1"},
	}
}

// ledger says yes.
type ledger struct {
	billingv1.BillingServiceClient
	settled int
}

func (l *ledger) GetEntitlements(context.Context, *billingv1.GetEntitlementsRequest, ...grpc.CallOption) (*billingv1.GetEntitlementsResponse, error) {
	return &billingv1.GetEntitlementsResponse{Limits: &billingv1.Limits{RequestsPerMinute: 1 << 30, TokensPerMinute: 1 << 30, ConcurrentRequests: 100}}, nil
}

func (l *ledger) Reserve(_ context.Context, r *billingv1.ReserveRequest, _ ...grpc.CallOption) (*billingv1.ReserveResponse, error) {
	return &billingv1.ReserveResponse{HoldId: "hold_1", OutputTokens: r.GetMaxOutputTokens()}, nil
}

func (l *ledger) Settle(context.Context, *billingv1.SettleRequest, ...grpc.CallOption) (*billingv1.SettleResponse, error) {
	l.settled++
	return &billingv1.SettleResponse{}, nil
}

// capture is the registrar that keeps the server itself.
type capture struct{ server aiv1.AIServiceServer }

func (c *capture) RegisterService(_ *grpc.ServiceDesc, impl any) {
	c.server, _ = impl.(aiv1.AIServiceServer)
}

// dropped is a stream whose caller takes everything at once.
type dropped struct {
	grpc.ServerStream
	ctx   context.Context
	bytes int
}

func (d *dropped) Context() context.Context { return d.ctx }

func (d *dropped) Send(r *aiv1.RelayResponse) error {
	d.bytes += len(r.GetBody())
	return nil
}

// relayOnce returns a function that makes one call, and the ledger that it is settled in.
func relayOnce(t testing.TB, upstream http.RoundTripper, body []byte) (func() error, *ledger) {
	t.Helper()
	address, err := url.Parse("http://localhost/v1")
	require.NoError(t, err)
	list, err := models.Default()
	require.NoError(t, err)
	l := &ledger{}
	service, err := ai.New(t.Context(), ai.Config{Keys: settings.NewSecrets("sk-bench"), BaseURL: address, MaxConcurrent: 100, AbandonedReadTimeout: time.Minute}, ai.Deps{
		Logger: slog.New(slog.DiscardHandler), Meter: noop.NewMeterProvider().Meter("ai"), Now: time.Now, Models: list, Billing: l, Transport: upstream,
	})
	require.NoError(t, err)
	var c capture
	service.Register(&c)
	ctx := passport.NewContext(t.Context(), &passport.Claims{UserID: "user_1", AccountID: "acct_1"})
	return func() error {
		return c.server.Relay(&aiv1.RelayRequest{Endpoint: aiv1.Endpoint_ENDPOINT_CHAT_COMPLETIONS, Body: body}, &dropped{ctx: ctx})
	}, l
}

func benchmark(b *testing.B, upstream http.RoundTripper, body []byte) {
	b.Helper()
	call, l := relayOnce(b, upstream, body)
	b.ReportAllocs()
	for b.Loop() {
		if err := call(); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	require.Equal(b, b.N, l.settled)
}

func BenchmarkRelayWhole(b *testing.B) {
	for _, size := range []int{100, 10_000, 1_000_000} {
		body := []byte(`{"model":"gpt-4o-mini","messages":[{"role":"user","content":"` + strings.Repeat("hello, ", size/7) + `"}]}`)
		b.Run(strconv.Itoa(size), func(b *testing.B) { benchmark(b, &memory{}, body) })
	}
}

func BenchmarkRelayStream(b *testing.B) {
	body := []byte(`{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"say hello to the world"}]}`)
	end := []byte(benchUsage + done)
	for name, perRead := range map[string]int{"one delta a read": 1, "ten deltas a read": 10} {
		part := bytes.Repeat([]byte(benchDelta), perRead)
		b.Run(name, func(b *testing.B) {
			var parts [][]byte
			for range 100 / perRead {
				parts = append(parts, part)
			}
			benchmark(b, &memory{append(parts, end)}, body)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/delta")
		})
	}
}
