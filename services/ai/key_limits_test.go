package ai_test

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
	billingv1 "github.com/trivet-dev/trivet/gen/go/trivet/billing/v1"
	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/passport"
	"github.com/trivet-dev/trivet/platform/redistest"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/ai"
)

// TestExactlyTheLimitOfAKeyPasses: of 60 calls of a key at once, 20 reach the provider, also on two replicas that share a Redis.
func TestExactlyTheLimitOfAKeyPasses(t *testing.T) {
	url := settings.NewSecret(redistest.New(t).URL())
	shared := withConfig(func(c *ai.Config) { c.Redis = url })
	for name, limits := range map[string]passport.Claims{
		"api_key_requests_per_minute": {RequestsPerMinute: 20},
		"api_key_requests_per_day":    {RequestsPerDay: 20},
	} {
		for replicas, all := range map[string][]*fixture{
			"one process": {newFixture(t)}, "two replicas with Redis": {newFixture(t, shared), newFixture(t, shared)},
		} {
			t.Run(name+", "+replicas, func(t *testing.T) {
				before := make([]int64, len(all))
				for i, h := range all {
					before[i] = h.openai.Stats().Calls
					h.claims.AccountID = "acct_" + name
					h.claims.APIKeyID, h.claims.RequestsPerMinute, h.claims.RequestsPerDay = "key_"+name, limits.RequestsPerMinute, limits.RequestsPerDay
				}
				var passed, refused atomic.Int64
				var callers sync.WaitGroup
				room := make(chan struct{}, 8)
				for i := range 60 {
					callers.Go(func() {
						room <- struct{}{}
						defer func() { <-room }()
						_, err := all[i%len(all)].Chat(t.Context(), &aiv1.ChatRequest{Model: "gpt-4o-mini", Messages: user("hi")})
						switch e := errs.From(err); {
						case err == nil:
							passed.Add(1)
						case e.Reason == errorsv1.ErrorReason_ERROR_REASON_RATE_LIMIT_EXCEEDED && e.Metadata["limit"] == name && e.RetryAfter > 0:
							refused.Add(1)
						default:
							t.Errorf("unexpected error: %v", err)
						}
					})
				}
				callers.Wait()
				sent := int64(0)
				for i, h := range all {
					sent += h.openai.Stats().Calls - before[i]
					require.NotContains(t, h.logged.String(), "level=ERROR")
				}
				require.EqualValues(t, 20, sent)
				require.EqualValues(t, 20, passed.Load())
				require.EqualValues(t, 40, refused.Load())
			})
		}
	}
}

// TestTokensOfAKeyAreCorrected: a call counts with what it could use until it has ended, then with what it used.
func TestTokensOfAKeyAreCorrected(t *testing.T) {
	h := newFixture(t, withReply(5))
	h.billing.Plan = &billingv1.GetEntitlementsResponse{Limits: &billingv1.Limits{RequestsPerMinute: 90, TokensPerMinute: 1_000_000}}
	h.claims.APIKeyID, h.claims.TokensPerMinute = "key_1", 600
	h.claims.ParentLimits = []passport.KeyLimit{{APIKeyID: "key_0", TokensPerMinute: 700, RequestsPerDay: 50}}
	const ask = `{"model":"gpt-4o-mini","max_tokens":500,"messages":[{"role":"user","content":"hi"}]}`
	left := int64(600)
	for range 5 { // each could use 500
		a := h.chat(ask)
		require.Nil(t, a.err)
		got := ofLimits(a.head.GetHeaders())
		require.Equal(t, "600", got["x-ratelimit-limit-tokens"])
		require.Equal(t, "50", got["x-ratelimit-limit-requests"], "the tightest of the plan, the key and the key that made it")
		now := number(t, got["x-ratelimit-remaining-tokens"])
		require.Less(t, now, left)
		require.Less(t, left-now, int64(600))
		left = now
	}
	h.claims.TokensPerMinute = 10
	a := h.chat(ask)
	requireReason(t, errorsv1.ErrorReason_ERROR_REASON_RATE_LIMIT_EXCEEDED, a.err)
	require.Equal(t, "api_key_tokens_per_minute", a.err.Metadata["limit"])
	require.Equal(t, "10", a.err.Metadata["allowed"])
}

// keyCaller returns the context of an API key's call, and what the caller gets.
func (b *bubble) keyCaller(claims passport.Claims) (context.Context, context.CancelFunc) {
	claims.UserID, claims.AccountID = "user_1", "acct_1"
	return context.WithCancel(passport.NewContext(b.t.Context(), &claims))
}

// open makes a call that runs until it is left; it returns when the caller has the first bytes, or with the error.
func (b *bubble) open(claims passport.Claims, endpoint aiv1.Endpoint, body string) (leave func(), err error) {
	ctx, cancel := b.keyCaller(claims)
	begun, ended := make(chan struct{}), make(chan error, 1)
	once := sync.OnceFunc(func() { close(begun) })
	go func() {
		ended <- b.server.Relay(&aiv1.RelayRequest{Endpoint: endpoint, Body: []byte(body)}, &callerStream{ctx: ctx, take: func([]byte) error {
			once()
			return ctx.Err()
		}})
	}()
	select {
	case <-begun:
		return func() {
			cancel()
			<-ended //nolint:errcheck // it says that the caller left
		}, nil
	case err := <-ended:
		cancel()
		return nil, err
	}
}

// streams are the calls of an endpoint: one with a stream and one without, the first event, the answer in one piece, and how long a
// stream is read after its caller has left.
type streams struct {
	endpoint      aiv1.Endpoint
	stream, whole string
	event         string
	kind, answer  string
	read          time.Duration
}

// TestAnAbortedStreamGivesItsPlaceBack, and calls that are not streams take none: of the key, of the key that made it, of the plan.
func TestAnAbortedStreamGivesItsPlaceBack(t *testing.T) {
	talk := streams{chatEndpoint, request("gpt-4o", `,"stream":true`), request("gpt-4o", ""), delta(" hello"), "application/json", wholeAnswer(13, 1), time.Second}
	draw := streams{generations, drawStream, strings.Replace(drawStream, `"stream":true,"partial_images":2`, `"n":2`, 1), partialImage, "application/json", `{"data":[{}]}`, 11 * time.Minute}
	speak := streams{speech, speakStream, spoken, spokenEvents, "audio/mpeg", "sound", time.Second}
	key, plan := passport.Claims{APIKeyID: "key_1", ConcurrentStreams: 2}, &billingv1.Limits{ConcurrentStreams: 2}
	for name, c := range map[string]struct {
		streams
		claims passport.Claims
		plan   *billingv1.Limits
	}{
		"api_key_concurrent_streams":            {talk, key, nil},
		"api_key_concurrent_streams, of parent": {talk, passport.Claims{APIKeyID: "key_1", ParentLimits: []passport.KeyLimit{{APIKeyID: "key_0", ConcurrentStreams: 2}}}, nil},
		"concurrent_streams":                    {talk, passport.Claims{}, plan},
		"api_key_concurrent_streams, of images": {draw, key, nil},
		"concurrent_streams, of images":         {draw, passport.Claims{}, plan},
		"api_key_concurrent_streams, of speech": {speak, key, nil},
		"concurrent_streams, of speech":         {speak, passport.Claims{}, plan},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t, func(e *exchange) {
					if strings.Contains(e.body, `"stream":true`) || strings.Contains(e.body, `"stream_format":"sse"`) {
						e.start("text/event-stream")
						e.say(c.event)
						e.wait(time.Hour)
						return
					}
					e.start(c.kind)
					e.say(c.answer)
				}, nil)
				b.billing.Plan = &billingv1.GetEntitlementsResponse{Limits: c.plan}
				var leave []func()
				for range 2 {
					l, err := b.open(c.claims, c.endpoint, c.stream)
					require.NoError(t, err)
					leave = append(leave, l)
				}
				refused := func() {
					t.Helper()
					_, err := b.open(c.claims, c.endpoint, c.stream)
					e := errs.From(err)
					require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_RATE_LIMIT_EXCEEDED, e.Reason)
					limit, _, _ := strings.Cut(name, ",")
					require.Equal(t, map[string]string{"limit": limit, "allowed": "2", "remaining": "0"}, e.Metadata)
					require.Equal(t, time.Second, e.RetryAfter)
				}
				refused()
				for range 3 {
					done, err := b.open(c.claims, c.endpoint, c.whole)
					require.NoError(t, err, "a call that is not a stream")
					done()
				}
				refused()
				leave[0]()
				time.Sleep(c.read)
				synctest.Wait()
				again, err := b.open(c.claims, c.endpoint, c.stream)
				require.NoError(t, err, "the place of the caller who left")
				refused()
				again()
				leave[1]()
				time.Sleep(c.read)
				b.stop()
			})
		})
	}
}

// TestTheDayOfAKeyEndsAtMidnightInUTC.
func TestTheDayOfAKeyEndsAtMidnightInUTC(t *testing.T) {
	now := time.Date(2026, 11, 23, 23, 59, 59, 0, time.UTC)
	h := newFixture(t, func(p *plan) { p.now = func() time.Time { return now } })
	h.claims.APIKeyID, h.claims.RequestsPerDay = "key_1", 2
	for day := range 2 {
		for n := range 2 {
			a := h.chat(hello)
			require.Nil(t, a.err)
			require.Equal(t, strconv.Itoa(1-n), a.head.GetHeaders()["x-ratelimit-remaining-requests"])
		}
		a := h.chat(hello)
		requireReason(t, errorsv1.ErrorReason_ERROR_REASON_RATE_LIMIT_EXCEEDED, a.err)
		require.Equal(t, "api_key_requests_per_day", a.err.Metadata["limit"])
		if day == 0 {
			require.Equal(t, time.Second, a.err.RetryAfter)
			now = now.Add(time.Second)
		}
	}
}
