package ai_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/sandbox/fault"
	"github.com/trivet-dev/trivet/services/ai"
	"github.com/trivet-dev/trivet/services/ai/internal/billingtest"
)

const (
	getResponse    = aiv1.Endpoint_ENDPOINT_RESPONSE_GET
	cancelResponse = aiv1.Endpoint_ENDPOINT_RESPONSE_CANCEL
	deleteResponse = aiv1.Endpoint_ENDPOINT_RESPONSE_DELETE
)

const askInBackground = `{"model":"gpt-4o-mini","input":"say hello","background":true}`

// running is a fixture whose clock, and that of the sandbox, the test moves. A response takes 100 seconds.
type running struct {
	*fixture
	passed *atomic.Int64
	still  *atomic.Bool // the sandbox's clock stands still between the moves, so that a slow machine makes no further tokens
}

func newRunning(t *testing.T, options ...option) running {
	t.Helper()
	passed, still, begin := &atomic.Int64{}, &atomic.Bool{}, time.Now()
	clock := func() time.Time { return time.Now().Add(time.Duration(passed.Load())) }
	all := append([]option{withStore(), withReply(90), func(p *plan) {
		p.now, p.sandbox.BackgroundTime = clock, 100*time.Second
		p.sandbox.Now = func() time.Time {
			if still.Load() {
				return begin.Add(time.Duration(passed.Load()))
			}
			return clock()
		}
	}}, options...)
	return running{newFixture(t, all...), passed, still}
}

func (r running) pass(d time.Duration) { r.passed.Add(int64(d)) }

// lose lets time pass until a response that its provider does not know is given up. A question that was asked before the clock moved and
// is answered after it begins the time of the loss anew, so one step may not be enough.
func (r running) lose() {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		r.pass(time.Hour)
		return len(r.billing.Holds()[0].Settled) > 0
	}, 30*time.Second, 100*time.Millisecond)
}

// end waits until the one hold is settled by the job.
func (r running) end() *billingv1.SettleRequest {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return len(r.billing.Holds()[0].Settled) > 0 }, 30*time.Second, 10*time.Millisecond, "the job settles it")
	return r.settled().Settled[0]
}

// settled returns the one hold, which must be settled. The job and a caller may both see the end: billing charges the first settlement, and another one
// must say the same.
func (r running) settled() billingtest.Hold {
	r.t.Helper()
	holds := r.billing.Holds()
	require.Len(r.t, holds, 1)
	require.NotEmpty(r.t, holds[0].Settled)
	for _, again := range holds[0].Settled[1:] {
		require.Equal(r.t, holds[0].Settled[0].GetUsage().String(), again.GetUsage().String())
	}
	require.Zero(r.t, r.billing.Held(), "nothing is held afterwards")
	return holds[0]
}

func (r running) open() billingtest.Hold {
	r.t.Helper()
	holds := r.billing.Holds()
	require.Len(r.t, holds, 1)
	require.Empty(r.t, holds[0].Settled)
	require.Positive(r.t, r.billing.Held(), "the hold stays")
	return holds[0]
}

func TestABackgroundResponseIsSettledWhenItEnds(t *testing.T) {
	h := newRunning(t)
	a := h.respond(askInBackground)
	require.Nil(t, a.err)
	require.EqualValues(t, http.StatusOK, a.head.GetStatus())
	sent, _ := h.openai.LastRequest()
	require.True(t, bytes.Equal([]byte(askInBackground), sent.Body), "the body goes upstream as it came")
	var m made
	require.NoError(t, json.Unmarshal([]byte(a.body), &m))
	require.Equal(t, "queued", m.Status)
	h.pass(50 * time.Second)
	require.Contains(t, h.object(getResponse, m.ID, "").body, `"status":"in_progress"`)
	require.Eventually(t, func() bool { return len(h.billing.Checkpoints()) > 0 }, 30*time.Second, 10*time.Millisecond, "the job extends the hold")
	hold := h.open()
	require.Equal(t, hold.Response.GetOutputTokens(), h.billing.Checkpoints()[0].GetUsage().GetOutputTokens(), "a death must not make it cheaper")

	h.pass(50 * time.Minute)
	final := h.end()
	require.Equal(t, billingv1.Outcome_OUTCOME_COMPLETED, final.GetOutcome())
	require.False(t, final.GetEstimated())
	require.EqualValues(t, h.openai.Stats().PromptTokens, final.GetUsage().GetInputTokens())
	require.EqualValues(t, 90, final.GetUsage().GetOutputTokens())
	require.Equal(t, "gpt-4o-mini-2024-07-18", final.GetServedModel())
	require.Equal(t, "openai", final.GetTarget())
	require.Equal(t, m.ID, final.GetProviderRequestId())
	require.InDelta(t, 100e6, final.GetLatencyMicros(), 2e6, "until the provider ended it, not until somebody looked")
	require.Less(t, final.GetFirstByteMicros(), final.GetLatencyMicros())

	a = h.object(getResponse, m.ID, "")
	require.Contains(t, a.body, `"status":"completed"`)
	h.settled()
	h.create(`{"model":"gpt-4o-mini","input":"and?","previous_response_id":"` + m.ID + `"}`)
	require.Less(t, h.newest().Request.GetInputTokens(), int32(1000), "the tokens of the response are known")
}

// A caller who sees the end of a response finds its cost in the ledger.
func TestTheCallerSettlesWhatItSees(t *testing.T) {
	for name, c := range map[string]struct {
		after    time.Duration
		endpoint aiv1.Endpoint
		query    string
		outcome  billingv1.Outcome
		output   int32
	}{
		"get":                     {time.Hour, getResponse, "", billingv1.Outcome_OUTCOME_COMPLETED, 90},
		"cancel, too late":        {time.Hour, cancelResponse, "", billingv1.Outcome_OUTCOME_COMPLETED, 90},
		"cancel":                  {40500 * time.Millisecond, cancelResponse, "", billingv1.Outcome_OUTCOME_CALLER_LEFT, 30},
		"cancel in the queue":     {time.Second, cancelResponse, "", billingv1.Outcome_OUTCOME_CALLER_LEFT, 0},
		"stream":                  {time.Hour, getResponse, "stream=true", billingv1.Outcome_OUTCOME_COMPLETED, 90},
		"the end of the stream":   {time.Hour, getResponse, "stream=true&starting_after=80", billingv1.Outcome_OUTCOME_COMPLETED, 90},
		"stream, in another case": {time.Hour, getResponse, "include=x&stream=true", billingv1.Outcome_OUTCOME_COMPLETED, 90},
	} {
		t.Run(name, func(t *testing.T) {
			h := newRunning(t)
			h.still.Store(true)
			m := h.create(askInBackground)
			h.pass(c.after)
			for range 2 {
				a := h.object(c.endpoint, m.ID, c.query)
				require.Nil(t, a.err)
				require.EqualValues(t, http.StatusOK, a.head.GetStatus(), a.body)
				require.Equal(t, strings.Contains(c.query, "stream"), a.head.GetStreamed())
				final := h.settled().Settled[0]
				require.Equal(t, c.outcome, final.GetOutcome())
				require.Equal(t, c.output, final.GetUsage().GetOutputTokens())
				require.Equal(t, c.output > 0, final.GetUsage().GetInputTokens() > 0)
				require.Empty(t, final.GetErrorCode())
			}
		})
	}
}

func TestBackgroundResponsesThatDoNotComplete(t *testing.T) {
	for name, c := range map[string]struct {
		fault     fault.Fault
		passes    []time.Duration
		outcome   billingv1.Outcome
		output    int32
		estimated bool
		code      string
	}{
		"fails without usage": {fault.Fault{Kind: fault.ResponseFails}, []time.Duration{time.Hour}, billingv1.Outcome_OUTCOME_UPSTREAM_FAILED, 0, false, ""},
		"fails with usage":    {fault.Fault{Kind: fault.ResponseFails, AfterChunks: 30}, []time.Duration{time.Hour}, billingv1.Outcome_OUTCOME_UPSTREAM_FAILED, 30, false, ""},
		"does not end":        {fault.Fault{Kind: fault.ResponseHangs}, []time.Duration{2 * time.Hour}, billingv1.Outcome_OUTCOME_UPSTREAM_FAILED, 90, false, "UPSTREAM_TIMEOUT"},
		"is lost":             {fault.Fault{Kind: fault.ResponseLost}, []time.Duration{time.Hour, 31 * time.Minute}, billingv1.Outcome_OUTCOME_UPSTREAM_FAILED, 0, false, "UPSTREAM_ERROR"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newRunning(t)
			h.fault(c.fault)
			h.create(askInBackground)
			for _, d := range c.passes {
				h.open()
				asked := h.openai.Stats().Calls
				h.pass(d)
				require.Eventually(t, func() bool {
					h.pass(time.Second) // a question that was answered after the clock moved makes the next one wait
					return h.openai.Stats().Calls > asked
				}, 30*time.Second, 10*time.Millisecond)
			}
			if c.fault.Kind == fault.ResponseLost {
				h.open()
				h.lose()
			}
			final := h.end()
			require.Equal(t, c.outcome, final.GetOutcome())
			require.Equal(t, c.output, final.GetUsage().GetOutputTokens())
			require.Equal(t, c.output > 0, final.GetUsage().GetInputTokens() > 0)
			require.Equal(t, c.estimated, final.GetEstimated())
			require.Equal(t, c.code, final.GetErrorCode())
		})
	}
}

// A provider that reports no usage for a cancelled response is paid for what callers have got of it: nothing, or the words of a stream.
func TestACancelledResponseWithoutUsage(t *testing.T) {
	const of = `{"id":"resp_1","object":"response","output":[],"status":`
	for name, c := range map[string]struct {
		words  int
		output int32
	}{"nobody has seen it": {0, 0}, "a stream has shown a part": {5, 5}} {
		t.Run(name, func(t *testing.T) {
			h := newRunning(t, withUpstream(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case strings.HasSuffix(r.URL.Path, "/cancel"):
					_, _ = io.WriteString(w, of+`"cancelled","usage":null}`)
				case r.Method == http.MethodPost && c.words > 0: // and the stream breaks off
					_, _ = io.WriteString(w, `data: {"type":"response.created","response":`+of+`"queued"}}`+"\n\n"+
						strings.Repeat(`data: {"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":" word"}`+"\n\n", c.words))
				default:
					_, _ = io.WriteString(w, of+`"in_progress"}`)
				}
			}))
			a := h.respond(strings.Replace(askInBackground, "{", fmt.Sprintf(`{"stream":%t,`, c.words > 0), 1))
			require.Equal(t, c.words > 0, a.err != nil)
			h.open()
			for range 2 {
				a = h.object(cancelResponse, "resp_1", "")
				require.Nil(t, a.err)
				require.Contains(t, a.body, `"cancelled"`)
				final := h.settled().Settled[0]
				require.Equal(t, billingv1.Outcome_OUTCOME_CALLER_LEFT, final.GetOutcome())
				require.Equal(t, c.output, final.GetUsage().GetOutputTokens())
				require.Equal(t, c.output > 0, final.GetUsage().GetInputTokens() > 0)
				require.Equal(t, c.output > 0, final.GetEstimated())
			}
		})
	}
}

// What a caller has got of a response by its stream is billed when the provider never reports its usage.
func TestALostResponseCostsWhatWasSeen(t *testing.T) {
	h := newRunning(t)
	h.fault(fault.Fault{Kind: fault.ResponseLost})
	ctx, leave := context.WithCancel(t.Context())
	stream, err := h.Relay(ctx, &aiv1.RelayRequest{Endpoint: aiv1.Endpoint_ENDPOINT_RESPONSES, Body: []byte(strings.Replace(askInBackground, "{", `{"stream":true,`, 1))})
	require.NoError(t, err)
	h.pass(40 * time.Second)
	for deltas := 0; deltas < 20; {
		res, err := stream.Recv()
		require.NoError(t, err)
		deltas += strings.Count(string(res.GetBody()), "event: response.output_text.delta")
	}
	leave()
	h.open()
	h.pass(time.Hour)
	asked := h.openai.Stats().Calls
	require.Eventually(t, func() bool { return h.openai.Stats().Calls > asked }, 30*time.Second, 10*time.Millisecond)
	h.lose()
	final := h.end()
	require.True(t, final.GetEstimated())
	require.GreaterOrEqual(t, final.GetUsage().GetOutputTokens(), int32(20))
	require.Less(t, final.GetUsage().GetOutputTokens(), int32(90))
	require.Positive(t, final.GetUsage().GetInputTokens())
}

// A page that is loaded again and again gets the same events: what is lost then costs them once.
func TestALostResponseCostsOnceWhatWasSeenOften(t *testing.T) {
	for name, query := range map[string]string{"all again": "stream=true", "the rest": "stream=true&starting_after=3"} {
		t.Run(name, func(t *testing.T) {
			h := newRunning(t)
			h.fault(fault.Fault{Kind: fault.ResponseLost})
			read := func(in *aiv1.RelayRequest) {
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				stream, err := h.Relay(ctx, in)
				require.NoError(t, err)
				for deltas := 0; deltas < 15; {
					res, err := stream.Recv()
					require.NoError(t, err)
					deltas += strings.Count(string(res.GetBody()), "event: response.output_text.delta")
				}
			}
			m := h.create(askInBackground)
			h.pass(40 * time.Second)
			for range 4 {
				read(&aiv1.RelayRequest{Endpoint: getResponse, ObjectId: m.ID, Query: query})
			}
			h.open()
			h.pass(time.Hour)
			asked := h.openai.Stats().Calls
			require.Eventually(t, func() bool { return h.openai.Stats().Calls > asked }, 30*time.Second, 10*time.Millisecond)
			h.lose()
			final := h.end()
			require.True(t, final.GetEstimated())
			require.GreaterOrEqual(t, final.GetUsage().GetOutputTokens(), int32(15))
			require.LessOrEqual(t, final.GetUsage().GetOutputTokens(), int32(32), "it had made about 30 by then")
		})
	}
}

// The call that began a response has counted its tokens in the limits, and its first byte is that of the answer.
func TestAResumedStreamCountsNothingAgain(t *testing.T) {
	h := newRunning(t)
	h.billing.Plan = &billingv1.GetEntitlementsResponse{Limits: &billingv1.Limits{TokensPerMinute: 1_000_000}}
	m := h.create(askInBackground)
	h.pass(time.Hour)
	left := func() string {
		a := h.object(getResponse, m.ID, "stream=true")
		require.Nil(t, a.err)
		return a.head.GetHeaders()["x-ratelimit-remaining-tokens"]
	}
	first := left()
	require.NotEmpty(t, first)
	require.Equal(t, first, left())
	final := h.settled().Settled[0]
	require.EqualValues(t, 90, final.GetUsage().GetOutputTokens())
	require.Less(t, final.GetFirstByteMicros(), int64(60e6))
}

// A caller who leaves a response before it fails pays no more than one who stays.
func TestAFailedResponseIsNotBilledAtItsBound(t *testing.T) {
	left := make(chan struct{})
	h := newRunning(t, withUpstream(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = w.Write([]byte("data: ping\n\n"))
		_ = http.NewResponseController(w).Flush()
		<-left
		_, _ = w.Write([]byte(`data: {"type":"response.created","response":{"id":"resp_1","object":"response","status":"queued","output":[]}}` + "\n\n" +
			`data: {"type":"response.failed","response":{"id":"resp_1","object":"response","status":"failed","output":[],"error":{"code":"server_error","message":"no"}}}` + "\n\n"))
	}))
	hold := h.leaveStream(aiv1.Endpoint_ENDPOINT_RESPONSES, strings.Replace(askInBackground, "{", `{"stream":true,`, 1), left)
	require.Zero(t, hold.Cost)
	require.Equal(t, billingv1.Outcome_OUTCOME_UPSTREAM_FAILED, hold.Settled[0].GetOutcome())
}

// The provider would make the response twice, and both would run to their ends.
func TestABackgroundRequestIsNotSentAgainWhenItMayHaveArrived(t *testing.T) {
	for name, c := range map[string]struct {
		fault  fault.Fault
		failed bool
	}{
		"the connection breaks off":  {fault.Fault{Kind: fault.CommitTimeout, Count: 2}, true},
		"the provider answers a 503": {fault.Fault{Kind: fault.Status, Status: http.StatusServiceUnavailable, Count: 1}, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := newRunning(t, withConfig(func(c *ai.Config) { c.Tries = 3 }))
			h.fault(c.fault)
			a := h.respond(askInBackground)
			require.Equal(t, c.failed, a.err != nil)
			require.Equal(t, 1, h.openai.Faults().Struck())
			require.Len(t, h.openai.Responses(), 1)
		})
	}
}

// A caller who leaves the stream of a running response finds the rest later, and pays once.
func TestABackgroundStreamIsResumed(t *testing.T) {
	h := newRunning(t)
	ctx, leave := context.WithCancel(t.Context())
	stream, err := h.Relay(ctx, &aiv1.RelayRequest{Endpoint: aiv1.Endpoint_ENDPOINT_RESPONSES, Body: []byte(strings.Replace(askInBackground, "{", `{"stream":true,`, 1))})
	require.NoError(t, err)
	h.pass(40 * time.Second)
	var got strings.Builder
	for strings.Count(got.String(), "event: response.output_text.delta") < 10 {
		res, err := stream.Recv()
		require.NoError(t, err)
		got.Write(res.GetBody())
	}
	leave()
	h.open()
	last := strings.Count(got.String(), "\n\n") - 1
	h.pass(40 * time.Second)
	id := h.openai.Responses()[0]
	go h.pass(time.Hour)
	a := h.object(getResponse, id, "stream=true&starting_after="+strconv.Itoa(last))
	require.Nil(t, a.err)
	require.True(t, a.head.GetStreamed())
	final := h.settled().Settled[0]
	require.EqualValues(t, 90, final.GetUsage().GetOutputTokens())
	require.Equal(t, billingv1.Outcome_OUTCOME_COMPLETED, final.GetOutcome())
	again := h.object(getResponse, id, "stream=true")
	require.Equal(t, again.body, got.String()+a.body, "each event once, byte for byte")
	h.settled()
}

func TestABackgroundStreamThatIsReadToItsEnd(t *testing.T) {
	h := newRunning(t)
	var clock sync.WaitGroup
	clock.Go(func() {
		for range 40 {
			time.Sleep(5 * time.Millisecond) // the stream is read meanwhile
			h.pass(5 * time.Second)
		}
	})
	t.Cleanup(clock.Wait)
	a := h.respond(strings.Replace(askInBackground, "{", `{"stream":true,`, 1))
	require.Nil(t, a.err)
	require.Contains(t, a.body, "event: response.completed")
	final := h.settled().Settled[0]
	require.EqualValues(t, 90, final.GetUsage().GetOutputTokens())
	require.Equal(t, billingv1.Outcome_OUTCOME_COMPLETED, final.GetOutcome())
	require.Contains(t, h.object(getResponse, h.openai.Responses()[0], "").body, `"completed"`)
	h.settled()
}

// Deleting a running response, or its user, cancels and settles it first.
func TestRunningResponsesAreDeleted(t *testing.T) {
	for name, remove := range map[string]func(h running, id string) error{
		"deleted": func(h running, id string) error {
			a := h.object(deleteResponse, id, "")
			if a.err != nil {
				return a.err
			}
			return nil
		},
		"erased": func(h running, _ string) error {
			_, err := h.EraseUser(h.t.Context(), &aiv1.EraseUserRequest{UserId: "user_1"})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			var down atomic.Bool
			h := newRunning(t, withBefore(func(_ context.Context, rpc string) error {
				if rpc == "Settle" && down.Load() {
					return status.Error(codes.Unavailable, "down")
				}
				return nil
			}))
			h.still.Store(true)
			m := h.create(askInBackground)
			h.pass(40500 * time.Millisecond)
			down.Store(true)
			require.Error(t, remove(h, m.ID), "not before it is billed")
			require.Len(t, h.openai.Responses(), 1)
			h.open()
			down.Store(false)
			require.NoError(t, remove(h, m.ID))
			require.Empty(t, h.openai.Responses())
			final := h.settled().Settled[0]
			require.EqualValues(t, 30, final.GetUsage().GetOutputTokens())
			require.Equal(t, billingv1.Outcome_OUTCOME_CALLER_LEFT, final.GetOutcome())
			requireReason(t, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, h.object(getResponse, m.ID, "").err)
		})
	}
}

func TestRunningResponsesOfOthersAreNotFound(t *testing.T) {
	h := newRunning(t)
	m := h.create(askInBackground)
	h.claims.AccountID = "acct_2"
	for _, id := range []string{m.ID, "resp_unknown"} {
		for _, endpoint := range []aiv1.Endpoint{getResponse, cancelResponse, deleteResponse, aiv1.Endpoint_ENDPOINT_RESPONSE_INPUT_ITEMS} {
			requireReason(t, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, h.object(endpoint, id, "").err)
		}
		requireReason(t, errorsv1.ErrorReason_ERROR_REASON_NOT_FOUND, h.object(getResponse, id, "stream=true").err)
	}
	h.open()
	h.claims.AccountID = "acct_1"
	require.Contains(t, h.object(aiv1.Endpoint_ENDPOINT_RESPONSE_INPUT_ITEMS, m.ID, "").body, "say hello")
}

// While billing is away the response stays, and is settled once when billing is back. The provider may be away, too.
func TestOutagesWhileAResponseRuns(t *testing.T) {
	var down atomic.Bool
	h := newRunning(t, withBefore(func(_ context.Context, rpc string) error {
		if down.Load() && (rpc == "Settle" || rpc == "Checkpoint") {
			return status.Error(codes.Unavailable, "down")
		}
		return nil
	}))
	m := h.create(askInBackground)
	h.fault(fault.Fault{Kind: fault.Status, Status: http.StatusInternalServerError, Method: http.MethodGet, Count: 20})
	down.Store(true)
	h.pass(time.Hour)
	struck := h.openai.Faults().Struck()
	require.Eventually(t, func() bool { return h.openai.Faults().Struck() > struck }, 30*time.Second, 10*time.Millisecond)
	h.openai.Faults().Clear()
	require.Contains(t, h.object(getResponse, m.ID, "").body, `"completed"`, "the caller gets it anyway")
	h.open()
	down.Store(false)
	h.pass(time.Minute)
	require.EqualValues(t, 90, h.end().GetUsage().GetOutputTokens())
}

func TestBackgroundIsRefusedByName(t *testing.T) {
	for name, c := range map[string]struct {
		options []option
		reason  errorsv1.ErrorReason
		problem string
	}{
		"none allowed": {
			[]option{withStore(), withConfig(func(c *ai.Config) { c.MaxBackground = 0 })}, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "allows no responses in the background",
		},
		"no store":  {nil, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "no database"},
		"chat only": {[]option{withStore(), withModels(chatOnly)}, errorsv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT, "chat completions only"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t, c.options...)
			a := h.respond(askInBackground)
			requireReason(t, c.reason, a.err)
			require.Equal(t, "background", a.err.Fields[0].Name)
			require.Contains(t, a.err.Message, c.problem)
			require.Empty(t, h.billing.Holds())
			require.Zero(t, h.openai.Stats().Calls)
		})
	}
}

func TestAnAccountHasAFewRunningResponses(t *testing.T) {
	h := newRunning(t, withConfig(func(c *ai.Config) { c.MaxBackground = 2 }))
	h.create(askInBackground)
	m := h.create(askInBackground)
	a := h.respond(askInBackground)
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_RATE_LIMIT_EXCEEDED, a.err)
	require.Equal(t, "background_responses", a.err.Metadata["limit"])
	require.Len(t, h.billing.Holds(), 2)
	h.claims.AccountID = "acct_2"
	h.create(askInBackground)
	h.claims.AccountID = "acct_1"
	require.Nil(t, h.object(cancelResponse, m.ID, "").err)
	h.create(askInBackground)
}

// Of many requests that come at once, exactly as many as the limit allows reach the provider. One that fails does not count.
func TestResponsesThatBeginAtOnceKeepTheLimit(t *testing.T) {
	h := newRunning(t, withConfig(func(c *ai.Config) { c.MaxBackground = 3 }))
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_MODEL_NOT_FOUND, h.respond(strings.Replace(askInBackground, "gpt-4o-mini", "gpt-99", 1)).err)
	var began, refused atomic.Int64
	var calls sync.WaitGroup
	for range 20 {
		calls.Go(func() {
			a := h.respond(askInBackground)
			if a.err == nil {
				began.Add(1)
			} else if a.err.Metadata["limit"] == "background_responses" {
				refused.Add(1)
			}
		})
	}
	calls.Wait()
	require.EqualValues(t, 3, began.Load())
	require.EqualValues(t, 17, refused.Load())
	require.Len(t, h.openai.Responses(), 3)
}

// A response whose row cannot be written must not run: nobody would be billed for it.
func TestAResponseWithoutARowIsCancelled(t *testing.T) {
	h := newRunning(t)
	h.breakStore()
	a := h.respond(strings.Replace(askInBackground, "{", `{"stream":true,`, 1))
	require.NotNil(t, a.err)
	require.Empty(t, h.openai.Responses())
	require.Zero(t, h.billing.Held())
}
