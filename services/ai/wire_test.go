package ai_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric/noop"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/ai"
	"github.com/trivet-dev/trivet/services/ai/internal/billingtest"
)

// direct returns the server itself, with an upstream whose body brings one part with each read.
func direct(t testing.TB, parts ...string) (aiv1.AIServiceServer, *billingtest.Fake) {
	t.Helper()
	upstream := &memory{parts: [][]byte{}}
	for _, p := range parts {
		upstream.parts = append(upstream.parts, []byte(p))
	}
	return directTo(t, upstream, billingtest.Unlimited, "")
}

// directWith returns the server itself for an account with that balance, refusing those fields of requests.
func directWith(t testing.TB, balance int64, refused string) (aiv1.AIServiceServer, *billingtest.Fake) {
	t.Helper()
	return directTo(t, &memory{}, balance, refused)
}

func directTo(t testing.TB, upstream http.RoundTripper, balance int64, refused string) (aiv1.AIServiceServer, *billingtest.Fake) {
	t.Helper()
	list, err := models.Default()
	require.NoError(t, err)
	billing := billingtest.New(list, balance)
	address, err := url.Parse("http://localhost/v1")
	require.NoError(t, err)
	service, err := ai.New(t.Context(), ai.Config{RefusedFields: strings.Split(refused, ","), Keys: settings.NewSecrets("sk-x"), BaseURL: address, MaxConcurrent: 10, AbandonedReads: 10, AbandonedReadTimeout: time.Minute}, ai.Deps{
		Logger: slog.New(slog.DiscardHandler), Meter: noop.NewMeterProvider().Meter("ai"), Now: time.Now, Models: list, Billing: billing, Transport: upstream,
	})
	require.NoError(t, err)
	var c capture
	service.Register(&c)
	return c.server, billing
}

// messages is a stream that keeps what it is sent.
type messages struct {
	grpc.ServerStream
	ctx    context.Context
	bodies []string
	heads  []int // which messages have a head
	panics bool
}

func (m *messages) Context() context.Context { return m.ctx }

func (m *messages) Send(r *aiv1.RelayResponse) error {
	if m.panics && len(m.bodies) == 1 {
		panic("boom")
	}
	if r.GetHead() != nil {
		m.heads = append(m.heads, len(m.bodies))
	}
	m.bodies = append(m.bodies, string(r.GetBody()))
	return nil
}

func relayTo(t testing.TB, server aiv1.AIServiceServer, m *messages) error {
	t.Helper()
	m.ctx = passport.NewContext(t.Context(), &passport.Claims{UserID: "user_1", AccountID: "acct_1"})
	return server.Relay(&aiv1.RelayRequest{Endpoint: aiv1.Endpoint_ENDPOINT_CHAT_COMPLETIONS, Body: []byte(streamed)}, m)
}

// TestOneReadIsOneMessage checks that nothing waits and nothing is split: what a read brings in whole events goes out
// as one message, at once, the head with the first of them. Only a head that nothing follows goes out alone.
func TestOneReadIsOneMessage(t *testing.T) {
	two := delta("a") + delta("b")
	server, _ := direct(t, two, two[:20], two[20:]+": ping\n\n", delta("c")+benchUsage+done)
	m := &messages{}
	require.NoError(t, relayTo(t, server, m))
	require.Empty(t, cmp.Diff([]string{two, two + ": ping\n\n", delta("c"), done}, m.bodies))
	require.Equal(t, []int{0}, m.heads)

	server, _ = direct(t, ": ping\n\n", two, done)
	m = &messages{}
	require.NoError(t, relayTo(t, server, m))
	require.Empty(t, cmp.Diff([]string{": ping\n\n", two, done}, m.bodies))
	require.Equal(t, []int{0}, m.heads)

	server, _ = direct(t, done)
	m = &messages{}
	require.NoError(t, relayTo(t, server, m))
	require.Empty(t, cmp.Diff([]string{"", done}, m.bodies), "the caller has the head before the settlement")
	require.Equal(t, []int{0}, m.heads)
}

func TestPanicSettlesTheCall(t *testing.T) {
	server, billing := direct(t, delta(" a")+delta(" b"), delta(" c"), done)
	require.PanicsWithValue(t, "boom", func() { _ = relayTo(t, server, &messages{panics: true}) })
	require.Zero(t, billing.Held())
	final := billing.Holds()[0].Settled
	require.Len(t, final, 1)
	require.EqualValues(t, 3, final[0].GetUsage().GetOutputTokens())
	require.Equal(t, billingv1.Outcome_OUTCOME_UPSTREAM_FAILED, final[0].GetOutcome())
}

// TestOverTheNetwork relays side by side over real gRPC, where messages are written by other goroutines than those
// that made them: every answer is its own.
func TestOverTheNetwork(t *testing.T) {
	h := newFixture(t)
	server := grpc.NewServer(grpc.StreamInterceptor(func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		return asStatus(handler(srv, &withClaims{stream, passport.NewContext(stream.Context(), &h.claims)}))
	}))
	h.service.Register(server)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	defer serving.Wait()
	defer server.Stop()
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()

	client := aiv1.NewAIServiceClient(conn)
	answers := make([]answer, 16)
	var calls sync.WaitGroup
	for i := range answers {
		calls.Go(func() {
			word := strings.Repeat("x", i+1)
			body := strings.Replace(streamed, "tokens=12] say hello", "tokens=200] "+word, 1)
			stream, err := client.Relay(t.Context(), &aiv1.RelayRequest{Endpoint: aiv1.Endpoint_ENDPOINT_CHAT_COMPLETIONS, Body: []byte(body)})
			if err == nil {
				answers[i] = drain(stream)
			}
		})
	}
	calls.Wait()
	for i, a := range answers {
		require.Nil(t, a.err)
		require.True(t, a.head.GetStreamed())
		require.True(t, strings.HasSuffix(a.body, done))
		text := contents(t, a.body)[0]
		require.Contains(t, text, strings.Repeat("x", i+1))
		require.NotContains(t, text, strings.Repeat("x", i+2))
		require.Len(t, strings.Fields(text), 200)
	}
	require.Zero(t, h.billing.Held())
}

// TestABodyThatStaysOpenAfterDone does not keep the caller waiting.
func TestABodyThatStaysOpenAfterDone(t *testing.T) {
	left := make(chan struct{})
	h := newFixture(t, withUpstream(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, delta("one")+done)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(left)
	}))
	a := h.chat(streamed)
	require.Nil(t, a.err)
	require.Equal(t, delta("one")+done, a.body)
	<-left
	h.settled()
}
