package ai_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric/noop"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/provider"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/platform/statuspb"
	"github.com/trivet-dev/trivet/services/ai"
	"github.com/trivet-dev/trivet/services/ai/internal/billingtest"
)

// exchange is one call as a scripted provider sees it.
type exchange struct {
	ctx  context.Context
	body string
	head chan http.Header
	w    *io.PipeWriter
}

// start sends the head of the answer.
func (e *exchange) start(kind string) { e.head <- http.Header{"Content-Type": {kind}} }

// say sends a part of the body; it returns false when Trivet has ended the call.
func (e *exchange) say(text string) bool {
	_, err := io.WriteString(e.w, text)
	return err == nil && e.ctx.Err() == nil
}

// wait lets time pass; it returns false when Trivet ends the call before that.
func (e *exchange) wait(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-e.ctx.Done():
		return false
	}
}

// scripted is a provider without a network, so that tests run in a bubble of synctest.
type scripted struct {
	script    func(*exchange)
	cancelled atomic.Int64
}

func (s *scripted) RoundTrip(request *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, err
	}
	r, w := io.Pipe()
	e := &exchange{ctx: request.Context(), body: string(body), head: make(chan http.Header, 1), w: w}
	stop := context.AfterFunc(e.ctx, func() { _ = w.CloseWithError(e.ctx.Err()) })
	go func() {
		defer stop()
		s.script(e)
		if e.ctx.Err() != nil {
			s.cancelled.Add(1)
		}
		_ = w.CloseWithError(e.ctx.Err()) // the end of the body, unless Trivet has ended the call
	}()
	select {
	case head := <-e.head:
		return &http.Response{StatusCode: http.StatusOK, Header: head, ContentLength: -1, Body: r}, nil
	case <-e.ctx.Done():
		return nil, e.ctx.Err()
	}
}

// bubble is the service in a bubble of synctest.
type bubble struct {
	t        *testing.T
	server   aiv1.AIServiceServer
	billing  *billingtest.Fake
	provider *scripted
	logged   *syncBuffer
	stop     func()
	bodies   bytes.Buffer // what the caller got
}

func newBubble(t *testing.T, script func(*exchange), change func(*ai.Config)) *bubble {
	t.Helper()
	list, err := models.Default()
	require.NoError(t, err)
	return newBubbleOf(t, list, script, change)
}

func newBubbleOf(t *testing.T, list *models.List, script func(*exchange), change func(*ai.Config)) *bubble {
	t.Helper()
	address, err := url.Parse("http://localhost/v1")
	require.NoError(t, err)
	config := ai.Config{
		Keys: settings.NewSecrets("sk-x"), BaseURL: address, HeaderTimeout: time.Hour, IdleTimeout: time.Hour, MaxConcurrent: 1000,
		AbandonedReads: 100, AbandonedReadTimeout: 10 * time.Minute,
	}
	if change != nil {
		change(&config)
	}
	b := &bubble{t: t, billing: billingtest.New(list, billingtest.Unlimited), provider: &scripted{script: script}, logged: &syncBuffer{}}
	service, err := ai.New(t.Context(), config, ai.Deps{
		Logger: slog.New(slog.NewTextHandler(b.logged, nil)), Meter: noop.NewMeterProvider().Meter("ai"), Now: time.Now, Models: list, Billing: b.billing, Transport: b.provider,
	})
	require.NoError(t, err)
	var c capture
	service.Register(&c)
	b.server = c.server
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = service.Run(ctx) })
	b.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		closing, end := context.WithTimeout(context.Background(), 10*time.Second)
		defer end()
		require.NoError(t, service.Close(closing))
	})
	t.Cleanup(b.stop)
	return b
}

// stream is the caller's end of a call; it notes what comes.
type callerStream struct {
	grpc.ServerStream
	ctx  context.Context
	take func(body []byte) error
}

func (s *callerStream) Context() context.Context { return s.ctx }

func (s *callerStream) Send(r *aiv1.RelayResponse) error { return s.take(r.GetBody()) }

// caller returns the context of a caller of an account who is signed in and may leave.
func caller(t *testing.T, account string) (context.Context, context.CancelFunc) {
	return context.WithCancel(passport.NewContext(t.Context(), &passport.Claims{UserID: "user_1", AccountID: account}))
}

// call relays a call whose caller leaves after so many deltas, or, when that is 0, after the time.
func (b *bubble) call(endpoint aiv1.Endpoint, body string, deltas int, after time.Duration) error {
	return b.callBy("acct_1", endpoint, body, deltas, after)
}

func (b *bubble) callBy(account string, endpoint aiv1.Endpoint, body string, deltas int, after time.Duration) error {
	ctx, leave := caller(b.t, account)
	defer leave()
	if deltas == 0 {
		defer time.AfterFunc(after, leave).Stop()
	}
	seen := 0
	return b.server.Relay(&aiv1.RelayRequest{Endpoint: endpoint, Body: []byte(body)}, &callerStream{ctx: ctx, take: func(p []byte) error {
		b.bodies.Write(p)
		if seen += bytes.Count(p, []byte("data: ")); deltas > 0 && seen >= deltas {
			leave()
		}
		return ctx.Err()
	}})
}

// settled returns the only hold's settlement and checks that nothing is left.
func (b *bubble) settled() (*billingv1.SettleRequest, billingtest.Hold) {
	b.t.Helper()
	holds := b.billing.Holds()
	require.Len(b.t, holds, 1)
	require.Len(b.t, holds[0].Settled, 1, "settled exactly once")
	require.Zero(b.t, b.billing.Held())
	return holds[0].Settled[0], holds[0]
}

func dollars(nanos int64) string { return fmt.Sprintf("$%.6f", float64(nanos)/1e9) }

const (
	chatEndpoint  = aiv1.Endpoint_ENDPOINT_CHAT_COMPLETIONS
	embedEndpoint = aiv1.Endpoint_ENDPOINT_EMBEDDINGS
	finish        = `data: {"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
)

func usageEvent(input, output, reasoning int) string {
	return fmt.Sprintf(`data: {"choices":[],"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,"completion_tokens_details":{"reasoning_tokens":%d}}}`+"\n\n",
		input, output, input+output, reasoning)
}

func wholeAnswer(input, output int) string {
	return fmt.Sprintf(`{"id":"c1","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"hi"}}],"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}}`,
		input, output, input+output)
}

func request(model, more string) string {
	return `{"model":"` + model + `","messages":[{"role":"user","content":"say hello to the world"}]` + more + `}`
}

// TestLeavingIsNotCheaperThanStaying lets the same call be made by a caller who stays, and by one who leaves. Both pay
// what the provider has produced by the time when Trivet could end the call.
func TestLeavingIsNotCheaperThanStaying(t *testing.T) {
	whole := func(e *exchange) {
		if e.wait(20 * time.Second) {
			e.start("application/json")
			e.say(wholeAnswer(13, 16384))
		}
	}
	slowWhole := func(e *exchange) {
		e.start("application/json")
		for _, part := range strings.SplitAfter(wholeAnswer(13, 2000), ",") {
			if !e.say(part) || !e.wait(time.Second) {
				return
			}
		}
	}
	thinking := func(e *exchange) {
		e.start("text/event-stream")
		if e.wait(30*time.Second) && e.say(delta(" hello")+finish) && e.wait(300*time.Millisecond) {
			e.say(usageEvent(13, 1700, 1699) + done)
		}
	}
	lateHead := func(e *exchange) {
		if e.wait(30 * time.Second) {
			e.start("text/event-stream")
			e.say(delta(" hello") + finish + usageEvent(13, 1700, 1699) + done)
		}
	}
	visibleThinking := func(e *exchange) {
		e.start("text/event-stream")
		e.say(`data: {"choices":[{"index":0,"delta":{"reasoning_content":" so"}}]}` + "\n\n")
		if e.wait(10 * time.Second) {
			e.say(delta(" hello") + finish + usageEvent(13, 700, 699) + done)
		}
	}
	finished := func(e *exchange) {
		e.start("text/event-stream")
		e.say(delta(" hello") + finish)
		if e.wait(300 * time.Millisecond) {
			e.say(usageEvent(13, 5200, 0) + done)
		}
	}
	embedding := func(e *exchange) {
		if e.wait(5 * time.Second) {
			e.start("application/json")
			e.say(`{"data":[{"index":0,"embedding":"AAAAAA=="}],"usage":{"prompt_tokens":5,"total_tokens":5}}`)
		}
	}
	unasked := func(e *exchange) {
		e.start("application/json")
		if e.wait(10 * time.Second) {
			e.say(wholeAnswer(13, 900))
		}
	}
	stream := `,"stream":true`
	cases := map[string]struct {
		script   func(*exchange)
		endpoint aiv1.Endpoint
		body     string
		deltas   int // the caller leaves after so many events
		output   int64
	}{
		"whole answer, before its head":            {whole, chatEndpoint, request("gpt-4o", `,"max_tokens":16384`), 0, 16384},
		"whole answer, within its body":            {slowWhole, chatEndpoint, request("gpt-4o", ``), 0, 2000},
		"reasoning stream, before its first word":  {thinking, chatEndpoint, request("o3", stream), 0, 1700},
		"reasoning stream, before its head":        {lateHead, chatEndpoint, request("gpt-5", stream), 0, 1700},
		"reasoning stream, at its finish":          {thinking, chatEndpoint, request("gpt-5", stream), 2, 1700},
		"reasoning seen in the stream":             {visibleThinking, chatEndpoint, request("gpt-4.1", stream), 1, 700},
		"plain stream, at its finish":              {finished, chatEndpoint, request("gpt-4o", stream), 2, 5200},
		"embeddings":                               {embedding, embedEndpoint, `{"model":"text-embedding-3-large","input":"hello"}`, 0, 0},
		"a stream was asked for, a whole one came": {unasked, chatEndpoint, request("gpt-4o", stream), 0, 900},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var charged [2]int64
			for i, leaves := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					b := newBubble(t, c.script, nil)
					if !leaves {
						require.NoError(t, b.call(c.endpoint, c.body, 1000, 0))
					} else {
						start := time.Now()
						err := b.call(c.endpoint, c.body, c.deltas, 150*time.Millisecond)
						require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_CANCELLED, errs.ReasonOf(err))
						if c.deltas == 0 {
							require.Less(t, time.Since(start), 200*time.Millisecond, "the caller does not wait")
						}
					}
					time.Sleep(time.Minute)
					final, hold := b.settled()
					require.EqualValues(t, c.output, final.GetUsage().GetOutputTokens())
					require.Equal(t, leaves, final.GetOutcome() == billingv1.Outcome_OUTCOME_CALLER_LEFT)
					require.False(t, final.GetEstimated())
					charged[i] = hold.Cost
					b.stop()
				})
			}
			t.Logf("the provider produced %d output tokens; charged for staying %s, for leaving %s", c.output, dollars(charged[0]), dollars(charged[1]))
			require.Equal(t, charged[0], charged[1])
		})
	}
}

// TestManyCallersLeave is the attack with which an account with $5 had the provider spend $49.
func TestManyCallersLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var spent atomic.Int64
		b := newBubble(t, func(e *exchange) {
			spent.Add(16384 * 10_000)
			if e.wait(5 * time.Second) {
				e.start("application/json")
				e.say(wholeAnswer(13, 16384))
			}
		}, func(c *ai.Config) { c.AbandonedReads = 10 })
		var callers sync.WaitGroup
		for range 30 {
			callers.Go(func() {
				ctx, leave := caller(t, "acct_1")
				defer leave()
				time.AfterFunc(150*time.Millisecond, leave)
				_ = b.server.Relay(&aiv1.RelayRequest{Endpoint: chatEndpoint, Body: []byte(request("gpt-4o", `,"max_tokens":16384`))},
					&callerStream{ctx: ctx, take: func([]byte) error { return ctx.Err() }})
			})
		}
		callers.Wait()
		time.Sleep(time.Minute)
		var charged int64
		for _, h := range b.billing.Holds() {
			charged += h.Cost
		}
		t.Logf("30 callers leave after 150 ms: the provider spends %s, the account is charged %s", dollars(spent.Load()), dollars(charged))
		require.GreaterOrEqual(t, charged, spent.Load())
		require.Zero(t, b.billing.Held())
		require.Equal(t, 27, strings.Count(b.logged.String(), "not read to its end"), "three are read, the others are billed at their bound")
		b.stop()
	})
}

// TestPlainStreamIsCut ends the provider's work at once; what passed is what is paid.
func TestPlainStreamIsCut(t *testing.T) {
	for name, body := range map[string]string{"after 40 words": request("gpt-4o", `,"stream":true`)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				produced := 0
				b := newBubble(t, func(e *exchange) {
					e.start("text/event-stream")
					e.say(`data: {"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":0}}` + "\n\n")
					for e.say(delta(" word")) {
						produced++
						if !e.wait(10 * time.Millisecond) {
							return
						}
					}
				}, nil)
				start := time.Now()
				err := b.call(chatEndpoint, body, 40, 0)
				require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_CANCELLED, errs.ReasonOf(err))
				synctest.Wait()
				require.LessOrEqual(t, time.Since(start), 40*10*time.Millisecond+100*time.Millisecond)
				require.EqualValues(t, 1, b.provider.cancelled.Load(), "the provider's work is ended")
				final, _ := b.settled()
				require.EqualValues(t, 10, final.GetUsage().GetInputTokens(), "as reported")
				require.EqualValues(t, 40, final.GetUsage().GetOutputTokens(), "an early report of 0 is not believed")
				require.LessOrEqual(t, produced, 41)
				t.Logf("the provider produced %d tokens, %d are charged", produced, final.GetUsage().GetOutputTokens())
				b.stop()
			})
		})
	}
}

// TestUsageIsAwaitedForTwoSeconds ends the call of a plain stream that has finished and never reports its usage.
func TestUsageIsAwaitedForTwoSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, func(e *exchange) {
			e.start("text/event-stream")
			e.say(delta(" hello") + finish)
			e.wait(time.Hour)
		}, nil)
		_ = b.call(chatEndpoint, request("gpt-4o", `,"stream":true`), 2, 0)
		time.Sleep(1900 * time.Millisecond)
		require.Positive(t, b.billing.Held())
		time.Sleep(200 * time.Millisecond)
		final, _ := b.settled()
		require.EqualValues(t, 1, final.GetUsage().GetOutputTokens())
		require.True(t, final.GetEstimated())
		b.stop()
	})
}

// TestAllChoicesMustFinish cuts a stream of two choices of which one is still being produced.
func TestAllChoicesMustFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, func(e *exchange) {
			e.start("text/event-stream")
			e.say(delta(" hello") + finish)
			e.wait(time.Hour)
		}, nil)
		_ = b.call(chatEndpoint, request("gpt-4o", `,"stream":true,"n":2`), 2, 0)
		synctest.Wait()
		b.settled()
		require.EqualValues(t, 1, b.provider.cancelled.Load())
		b.stop()
	})
}

// TestUnreadAnswersAreBilledAtTheirBound lists what keeps Trivet from reading an abandoned answer.
func TestUnreadAnswersAreBilledAtTheirBound(t *testing.T) {
	never := func(e *exchange) { e.wait(24 * time.Hour) }
	thinking := func(e *exchange) {
		e.start("text/event-stream")
		e.say(delta(" hello"))
		e.wait(24 * time.Hour)
	}
	cases := map[string]struct {
		script func(*exchange)
		body   string
		change func(*ai.Config)
		after  time.Duration // until it is settled
		stop   bool          // the process ends
		output int64
		reason string
	}{
		"no room":          {never, request("gpt-4o", `,"max_tokens":1000,"n":2`), func(c *ai.Config) { c.AbandonedReads = 0 }, 0, false, 2000, "too many"},
		"no time":          {never, request("gpt-4o", ``), func(c *ai.Config) { c.AbandonedReadTimeout = time.Minute }, time.Minute, false, 16384, "in time"},
		"the process ends": {never, request("gpt-4o", `,"max_tokens":1000`), nil, time.Second, true, 1000, "stops"},
		"reasoning":        {thinking, request("o3", `,"stream":true,"max_completion_tokens":5000`), func(c *ai.Config) { c.AbandonedReadTimeout = time.Minute }, time.Minute, false, 5000, "in time"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t, c.script, c.change)
				start := time.Now()
				_ = b.call(chatEndpoint, c.body, 0, 150*time.Millisecond)
				if c.after > 0 {
					synctest.Wait()
					require.Positive(t, b.billing.Held())
				}
				time.Sleep(c.after)
				if c.stop {
					b.stop()
				}
				synctest.Wait()
				final, hold := b.settled()
				require.LessOrEqual(t, time.Since(start), c.after+time.Second)
				require.EqualValues(t, c.output, final.GetUsage().GetOutputTokens())
				require.True(t, final.GetEstimated())
				require.Equal(t, billingv1.Outcome_OUTCOME_CALLER_LEFT, final.GetOutcome())
				require.LessOrEqual(t, hold.Cost, hold.Response.GetHeldNanoUsd())
				require.EqualValues(t, 1, b.provider.cancelled.Load())
				require.Contains(t, b.logged.String(), "not read to its end")
				require.Contains(t, b.logged.String(), c.reason)
				b.stop()
			})
		})
	}
}

// TestAProviderThatFailsAfterTheCallerLeft costs what it would have cost a caller who stays: nothing.
func TestAProviderThatFailsAfterTheCallerLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, func(e *exchange) {
			e.wait(time.Minute)
			_ = e.w.CloseWithError(errors.New("broken"))
			e.start("application/json")
		}, nil)
		_ = b.call(chatEndpoint, request("gpt-4o", ``), 0, time.Second)
		time.Sleep(2 * time.Minute)
		final, hold := b.settled()
		require.Zero(t, hold.Cost)
		require.Equal(t, billingv1.Outcome_OUTCOME_CALLER_LEFT, final.GetOutcome())
		b.stop()
	})
}

// TestAnAbandonedCallHoldsWhatItHas keeps the hold's lease, the slot of the account and its tokens until the settlement,
// and gives back then what was not used.
func TestAnAbandonedCallHoldsWhatItHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := func(e *exchange) {
			if e.wait(50 * time.Second) {
				e.start("application/json")
				e.say(wholeAnswer(13, 600))
			}
		}
		b := newBubble(t, answer, nil)
		b.billing.Plan = &billingv1.GetEntitlementsResponse{Limits: &billingv1.Limits{ConcurrentRequests: 1, TokensPerMinute: 1000}}
		_ = b.call(chatEndpoint, request("gpt-4o", `,"max_tokens":700`), 0, time.Second)
		refusedBy := func(limit string) {
			t.Helper()
			e := errs.From(b.call(chatEndpoint, request("gpt-4o", `,"max_tokens":500`), 0, time.Hour))
			require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_RATE_LIMIT_EXCEEDED.String(), e.Reason.String())
			require.Equal(t, limit, e.Metadata["limit"])
		}
		time.Sleep(30 * time.Second)
		refusedBy("concurrent_requests")
		require.GreaterOrEqual(t, len(b.billing.Checkpoints()), 2, "the lease is renewed")
		require.Positive(t, b.billing.Held())
		time.Sleep(20 * time.Second)
		final, _ := b.settled()
		require.EqualValues(t, 600, final.GetUsage().GetOutputTokens())
		refusedBy("tokens_per_minute")
		b.stop()
	})
}

// TestAnUnknownVocabulary estimates the input of a provider that never reports its usage: like OpenAI's after an orderly
// end, by bytes for a caller who left.
func TestAnUnknownVocabulary(t *testing.T) {
	list, err := models.Parse([]byte(`models:
  m: {kind: chat, provider: x, context_tokens: 100000, max_output_tokens: 1000, default_output_tokens: 1000, input: "1", output: "1"}
`))
	require.NoError(t, err)
	text := strings.Repeat("several words make a line ", 100) // 500 tokens, 2,600 bytes
	body := `{"model":"m","stream":true,"messages":[{"role":"user","content":"` + text + `"}]}`
	for leaves, want := range map[bool]int32{false: 3 + 4 + 501, true: 3 + 4 + 2600} {
		synctest.Test(t, func(t *testing.T) {
			b := newBubbleOf(t, list, func(e *exchange) {
				e.start("text/event-stream")
				if e.say(delta(" one")+delta(" two")) && e.wait(10*time.Second) {
					e.say(done)
				}
			}, nil)
			deltas := 1000
			if leaves {
				deltas = 2
			}
			_ = b.call(chatEndpoint, body, deltas, 0)
			time.Sleep(time.Minute)
			final, _ := b.settled()
			require.EqualValues(t, 2, final.GetUsage().GetOutputTokens())
			require.InDelta(t, want, final.GetUsage().GetInputTokens(), 2, "leaves: %v", leaves)
			b.stop()
		})
	}
}

// TestLeavingAfterTheStop ends a call whose caller stayed until the process stopped, and left then.
func TestLeavingAfterTheStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, func(e *exchange) { e.wait(time.Hour) }, nil)
		var running sync.WaitGroup
		running.Go(func() { _ = b.call(chatEndpoint, request("gpt-4o", `,"max_tokens":1000`), 0, 10*time.Second) })
		time.Sleep(5 * time.Second)
		b.stop()
		running.Wait()
		synctest.Wait()
		final, _ := b.settled()
		require.EqualValues(t, 1000, final.GetUsage().GetOutputTokens())
	})
}

// TestLeavingIsNotTheProvidersFailure keeps callers from making the provider look down.
func TestLeavingIsNotTheProvidersFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, func(e *exchange) {
			e.start("text/event-stream")
			for e.say(delta(" word")) && e.wait(time.Second) {
			}
		}, nil)
		for range 5 {
			_ = b.call(chatEndpoint, request("gpt-4o", `,"stream":true`), 2, 0)
			synctest.Wait()
		}
		res, err := b.server.GetStatus(t.Context(), &aiv1.GetStatusRequest{})
		require.NoError(t, err)
		require.Equal(t, "unknown", statuspb.Word(res.GetProvider().GetStatus()))
		b.stop()
	})
}

// TestRoomIsGivenBack lets one caller after the other leave where there is room for one abandoned answer.
func TestRoomIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, func(e *exchange) {
			if e.wait(10 * time.Second) {
				e.start("application/json")
				e.say(wholeAnswer(13, 600))
			}
		}, func(c *ai.Config) { c.AbandonedReads = 1 })
		for range 3 {
			_ = b.call(chatEndpoint, request("gpt-4o", `,"max_tokens":700`), 0, time.Second)
			time.Sleep(20 * time.Second)
		}
		for _, h := range b.billing.Holds() {
			require.EqualValues(t, 600, h.Settled[0].GetUsage().GetOutputTokens(), "read to its end")
		}
		b.stop()
	})
}

// TestTypedCallersLeave is the same for the typed API.
func TestTypedCallersLeave(t *testing.T) {
	messages := []*aiv1.Message{{Role: "user", Content: "say hello"}}
	whole := func(e *exchange) {
		if e.wait(20 * time.Second) {
			e.start("application/json")
			e.say(wholeAnswer(13, 2000))
		}
	}
	vectors := func(e *exchange) {
		if e.wait(5 * time.Second) {
			e.start("application/json")
			e.say(`{"data":[{"index":0,"embedding":"AAAAAA=="}],"usage":{"prompt_tokens":5,"total_tokens":5}}`)
		}
	}
	words := func(e *exchange) {
		e.start("text/event-stream")
		for e.say(delta(" word")) && e.wait(time.Second) {
		}
	}
	cases := map[string]struct {
		script        func(*exchange)
		call          func(ctx context.Context, s aiv1.AIServiceServer) error
		input, output int64 // input is -1 when it is not told
	}{
		"chat": {whole, func(ctx context.Context, s aiv1.AIServiceServer) error {
			_, err := s.Chat(ctx, &aiv1.ChatRequest{Model: "gpt-4o", Messages: messages, MaxTokens: proto.Int32(2000)})
			return err
		}, 13, 2000},
		"embed": {vectors, func(ctx context.Context, s aiv1.AIServiceServer) error {
			_, err := s.Embed(ctx, &aiv1.EmbedRequest{Model: "text-embedding-3-small", Input: []string{"hello"}})
			return err
		}, 5, 0},
		"chat stream": {words, func(ctx context.Context, s aiv1.AIServiceServer) error {
			return s.ChatStream(&aiv1.ChatStreamRequest{Model: "gpt-4o", Messages: messages}, &pieceStream{ctx: ctx})
		}, -1, 4},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t, c.script, nil)
				ctx, leave := caller(t, "acct_1")
				defer leave()
				time.AfterFunc(3500*time.Millisecond, leave)
				require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_CANCELLED, errs.ReasonOf(c.call(ctx, b.server)))
				time.Sleep(time.Minute)
				final, hold := b.settled()
				require.EqualValues(t, c.output, final.GetUsage().GetOutputTokens())
				if c.input >= 0 {
					require.EqualValues(t, c.input, final.GetUsage().GetInputTokens())
				}
				t.Logf("charged %s", dollars(hold.Cost))
				b.stop()
			})
		})
	}
}

type pieceStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *pieceStream) Context() context.Context { return s.ctx }

func (s *pieceStream) Send(*aiv1.ChatStreamResponse) error { return s.ctx.Err() }

// TestUnmarkedReasoningModel is read to its end from the second call on, although the price list does not mark it.
func TestUnmarkedReasoningModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, func(e *exchange) {
			e.start("text/event-stream")
			if e.wait(10 * time.Second) {
				e.say(delta(" hello") + finish + usageEvent(13, 500, 400) + done)
			}
		}, nil)
		body := request("gpt-4o", `,"stream":true`)
		require.NoError(t, b.call(chatEndpoint, body, 100, 0))
		_ = b.call(chatEndpoint, body, 0, time.Second)
		time.Sleep(time.Minute)
		require.EqualValues(t, 500, b.billing.Holds()[1].Settled[0].GetUsage().GetOutputTokens())
		require.Contains(t, b.logged.String(), "reasoning: true")
		b.stop()
	})
}

// The line of a request tells what its call used.
func TestTheAttemptTellsTheTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, func(e *exchange) {
			e.start("application/json")
			e.say(wholeAnswer(13, 7))
		}, nil)
		ctx, leave := caller(t, "acct_1")
		defer leave()
		attempt := &provider.Attempt{}
		err := b.server.Relay(&aiv1.RelayRequest{Endpoint: chatEndpoint, Body: []byte(request("gpt-4o", ""))},
			&callerStream{ctx: provider.WithAttempt(ctx, attempt), take: func([]byte) error { return nil }})
		require.NoError(t, err)
		line, ok := attempt.Take()
		require.True(t, ok)
		require.Contains(t, line.Value.Group(), slog.Int64("tokens_used", 20))
		require.Contains(t, line.Value.Group(), slog.String("method", "chat.completions"))
		b.stop()
	})
}
