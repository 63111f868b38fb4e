package upstream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric/noop"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/health"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/provider"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/ai/internal/invoke"
	"github.com/trivet-dev/trivet/services/ai/internal/upstream"
)

const targetsFile = `targets:
  one: {kind: compatible, base_url: "http://one/v1", keys: [ONE_KEY, ONE_KEY_B]}
  two: {kind: compatible, base_url: "http://two/v1", keys: [TWO_KEY]}
  three: {kind: compatible, base_url: "http://three/v1"}
models:
  m: {kind: chat, provider: x, context_tokens: 10, max_output_tokens: 5, default_output_tokens: 5, input: "1", output: "2", targets: [{target: one}, {target: two, priority: 2, model: m-at-two}]}
  solo: {kind: chat, provider: x, context_tokens: 10, max_output_tokens: 5, default_output_tokens: 5, input: "1", output: "2", targets: [{target: two}]}
  spread: {kind: chat, provider: x, context_tokens: 10, max_output_tokens: 5, default_output_tokens: 5, input: "1", output: "2", targets: [{target: one, weight: 3}, {target: two, weight: 1}, {target: three, priority: 9}]}
`

// world is a chain whose targets answer by a script: the answers of each host, one after another; the last one repeats.
type world struct {
	t      *testing.T
	list   *models.List
	chain  *upstream.Chain
	keys   map[string]settings.Secrets
	now    time.Time
	random float64
	log    bytes.Buffer

	script map[string][]reply
	sent   []string // host, key and path of each request
}

// reply is what a target does.
type reply struct {
	status  int
	body    string
	headers map[string]string
	err     error
}

var (
	fine     = reply{status: 200, body: `{"choices":[]}`}
	broken   = reply{status: 500, body: `{"error":{"message":"x","type":"server_error"}}`}
	wrongKey = reply{status: 401, body: `{"error":{"message":"x","code":"invalid_api_key"}}`}
	badInput = reply{status: 400, body: `{"error":{"message":"bad","type":"invalid_request_error"}}`}
	lost     = reply{err: errors.New("connection reset by peer")}
	slow     = reply{err: &net.OpError{Op: "read", Err: timeoutError{}}}
	noDial   = reply{err: &net.OpError{Op: "dial", Err: timeoutError{}}}
)

func limited(headers ...string) reply {
	r := reply{status: 429, body: `{"error":{"message":"slow down","code":"rate_limit_exceeded"}}`, headers: map[string]string{}}
	for i := 0; i < len(headers); i += 2 {
		r.headers[headers[i]] = headers[i+1]
	}
	return r
}

type timeoutError struct{}

func (timeoutError) Error() string   { return "i/o timeout" }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }

func newWorld(t *testing.T, change func(*upstream.Options)) *world {
	t.Helper()
	list, err := models.Parse([]byte(targetsFile))
	require.NoError(t, err)
	w := &world{t: t, list: list, now: time.Unix(1000, 0), script: map[string][]reply{}, keys: map[string]settings.Secrets{
		"ONE_KEY": settings.NewSecrets("one-a", "one-old"), "ONE_KEY_B": settings.NewSecrets("one-b"), "TWO_KEY": settings.NewSecrets("two-a"),
	}}
	base, err := url.Parse("http://default/v1")
	require.NoError(t, err)
	options := upstream.Options{
		Models: list, Default: upstream.Account{Target: models.Target{BaseURL: base}, Secrets: []settings.Secrets{settings.NewSecrets("default-a")}},
		Secrets: func(name string) (settings.Secrets, error) { return w.keys[name], nil },
		Tries:   3, Base: roundTripper(w.answer), Logger: slog.New(slog.NewTextHandler(&w.log, nil)), Meter: noop.NewMeterProvider().Meter(""),
		Now: func() time.Time { return w.now }, Random: func() float64 { return w.random },
	}
	if change != nil {
		change(&options)
	}
	w.chain, err = upstream.NewChain(options)
	require.NoError(t, err)
	t.Cleanup(w.chain.Close)
	return w
}

func (w *world) answer(r *http.Request) (*http.Response, error) {
	w.sent = append(w.sent, r.URL.Host+" "+strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	replies := w.script[r.URL.Host]
	if len(replies) == 0 {
		return nil, fmt.Errorf("%s was not expected to be called", r.URL.Host)
	}
	next := replies[0]
	if len(replies) > 1 {
		w.script[r.URL.Host] = replies[1:]
	}
	if next.err != nil {
		return nil, next.err
	}
	h := http.Header{"Content-Type": {"application/json"}}
	for name, value := range next.headers {
		h.Set(name, value)
	}
	return &http.Response{StatusCode: next.status, Header: h, Body: io.NopCloser(strings.NewReader(next.body))}, nil
}

// does scripts a target.
func (w *world) does(host string, replies ...reply) *world { w.script[host] = replies; return w }

// exchanging is an exchange that a test controls.
type exchanging struct {
	fails  error // of Take
	begun  bool  // after Take
	gone   chan struct{}
	routes []string
	moves  []string
	answer *invoke.Answer
	before func() // runs before the first attempt is sent; may be nil
	keeps  bool   // of the last route
}

func (x *exchanging) Body(r *models.Route) []byte {
	x.keeps = r.Model.KeepsChats
	x.routes = append(x.routes, r.Target+" "+r.Name)
	if x.before != nil && len(x.routes) == 1 {
		x.before()
	}
	return []byte("{}")
}

func (x *exchanging) Moved(reason string) { x.moves = append(x.moves, reason) }

func (x *exchanging) Take(a *invoke.Answer) error { x.answer = a; return x.fails }

func (x *exchanging) Begun() bool { return x.begun && x.answer != nil }

func (x *exchanging) Gone() <-chan struct{} { return x.gone }

// call makes a call of a model and returns the hosts and keys that got it.
func (w *world) call(model string, x *exchanging) (sent []string, err error) {
	w.t.Helper()
	m, err := w.list.Get(model)
	require.NoError(w.t, err)
	w.sent = nil
	err = w.chain.Do(w.t.Context(), &invoke.Query{Method: http.MethodPost, Path: "chat/completions", Model: m}, x)
	return w.sent, err
}

// TestWhereACallGoes after each kind of failure of its first target, which has two groups of keys.
func TestWhereACallGoes(t *testing.T) {
	const firstOne, secondOne = "one one-b", "one one-a"
	for name, c := range map[string]struct {
		one   []reply
		want  []string
		moves []string
	}{
		"a good answer":              {[]reply{fine}, []string{firstOne}, nil},
		"an error of the caller's":   {[]reply{badInput}, []string{firstOne}, nil},
		"a broken server":            {[]reply{broken}, []string{firstOne, "two two-a"}, []string{"server_error"}},
		"a lost connection":          {[]reply{lost}, []string{firstOne, "two two-a"}, []string{"failed"}},
		"a timeout":                  {[]reply{slow}, []string{firstOne, "two two-a"}, []string{"timeout"}},
		"no connection":              {[]reply{noDial}, []string{firstOne, "two two-a"}, []string{"failed"}},
		"a model that it lacks":      {[]reply{{status: 404, body: `{"error":{"message":"no such model"}}`}}, []string{firstOne, "two two-a"}, []string{"client_error"}},
		"a firewall's page":          {[]reply{{status: 403, body: "<html>denied</html>", headers: map[string]string{"Content-Type": "text/html"}}}, []string{firstOne, "two two-a"}, []string{"client_error"}},
		"a rejected key":             {[]reply{wrongKey, fine}, []string{firstOne, secondOne}, nil},
		"rejected keys":              {[]reply{wrongKey}, []string{firstOne, secondOne, "one one-old", "two two-a"}, []string{"rejected"}},
		"a rate limit":               {[]reply{limited("Retry-After", "9"), fine}, []string{firstOne, secondOne}, nil},
		"a rate limit of all keys":   {[]reply{limited("Retry-After", "9")}, []string{firstOne, secondOne, "two two-a"}, []string{"rate_limited"}},
		"a request that is too much": {[]reply{limited("X-Ratelimit-Remaining-Tokens", "50", "X-Ratelimit-Reset-Tokens", "1s")}, []string{firstOne, "two two-a"}, []string{"rate_limited"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil).does("one", c.one...).does("two", fine)
			x := &exchanging{}
			sent, err := w.call("m", x)
			require.Equal(t, c.want, sent)
			require.Equal(t, c.moves, x.moves)
			if name == "an error of the caller's" {
				var refused *invoke.RefusedError
				require.ErrorAs(t, err, &refused)
				require.Equal(t, 400, refused.Refusal.Status)
				return
			}
			require.NoError(t, err)
			last := c.want[len(c.want)-1]
			require.Equal(t, last[:3], x.answer.Headers["x-trivet-target"])
			require.Equal(t, last[:3], x.answer.Route.Target)
			if last[:3] == "two" {
				require.Equal(t, "two m-at-two", x.routes[len(x.routes)-1], "the model has its own name there")
			}
		})
	}
}

func TestACallIsRepeatedAtItsOnlyTarget(t *testing.T) {
	for name, c := range map[string]struct {
		two  []reply
		want int
		good bool
	}{
		"a broken server":             {[]reply{broken, fine}, 2, true},
		"twice":                       {[]reply{broken, lost, fine}, 3, true},
		"three times":                 {[]reply{broken}, 3, false},
		"a timeout":                   {[]reply{slow, fine}, 1, false},
		"a connection that timed out": {[]reply{noDial, fine}, 2, true},
		"an error of the caller's":    {[]reply{badInput, fine}, 1, false},
		"a server that forbids it":    {[]reply{{status: 500, body: "{}", headers: map[string]string{"X-Should-Retry": "false"}}, fine}, 1, false},
		"a server that asks for long": {[]reply{{status: 503, body: "{}", headers: map[string]string{"Retry-After": "6"}}, fine}, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			sent, err := newWorld(t, nil).does("two", c.two...).call("solo", &exchanging{})
			require.Len(t, sent, c.want)
			require.Equal(t, c.good, err == nil, "%v", err)
		})
	}
}

func TestEachTargetIsTriedOnceEvenWithOneTry(t *testing.T) {
	w := newWorld(t, func(o *upstream.Options) { o.Tries = 1 }).does("one", broken).does("two", fine)
	sent, err := w.call("m", &exchanging{})
	require.NoError(t, err)
	require.Len(t, sent, 2)
	w.does("two", broken)
	sent, err = w.call("m", &exchanging{})
	require.Error(t, err)
	require.Len(t, sent, 2)
}

// After the caller got a part of an answer, no other target may write into it.
func TestNoOtherTargetAfterTheFirstByte(t *testing.T) {
	fails := errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_ERROR, "It broke off.")
	for begun, want := range map[bool]int{true: 1, false: 3} {
		w := newWorld(t, nil).does("one", fine).does("two", fine)
		sent, err := w.call("m", &exchanging{fails: fails, begun: begun})
		require.ErrorIs(t, err, fails)
		require.Len(t, sent, want)
	}
	timeout := errs.New(errorsv1.ErrorReason_ERROR_REASON_UPSTREAM_TIMEOUT, "It is silent.")
	sent, err := newWorld(t, nil).does("one", fine).does("two", fine).call("m", &exchanging{fails: timeout})
	require.ErrorIs(t, err, timeout)
	require.Equal(t, []string{"one one-b", "two two-a"}, sent, "each has used up its time once")
	other := errors.New("the disk is full")
	sent, err = newWorld(t, nil).does("one", fine).call("m", &exchanging{fails: other})
	require.ErrorIs(t, err, other)
	require.Len(t, sent, 1, "an error that is not the target's is final")
}

func TestNobodyWaitsForACallerWhoLeft(t *testing.T) {
	gone := make(chan struct{})
	close(gone)
	sent, err := newWorld(t, nil).does("one", broken).call("m", &exchanging{gone: gone})
	require.Error(t, err)
	require.Len(t, sent, 1)

	// One who leaves during the pause owes nothing: every target that was tried has failed.
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *upstream.Options) { o.Backoff, o.Tries = time.Hour, 2 }).does("two", broken)
		w.random = 1
		left := make(chan struct{})
		time.AfterFunc(time.Second, func() { close(left) })
		sent, err := w.call("solo", &exchanging{gone: left})
		require.ErrorIs(t, err, invoke.ErrGone)
		require.Len(t, sent, 1)
	})
}

func TestATargetIsLeftAloneWhileItLimitsTheRate(t *testing.T) {
	for name, headers := range map[string][]string{
		"Retry-After":                  {"Retry-After", "9"},
		"the reset of a used-up limit": {"X-Ratelimit-Remaining-Requests", "0", "X-Ratelimit-Reset-Requests", "9s", "X-Ratelimit-Remaining-Tokens", "50", "X-Ratelimit-Reset-Tokens", "6m0s"},
		"a reset alone":                {"X-Ratelimit-Reset-Tokens", "9"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil).does("two", limited(headers...), fine)
			sent, err := w.call("solo", &exchanging{})
			require.Error(t, err)
			require.Len(t, sent, 1, "it asked for more patience than a call has")
			sent, err = w.call("solo", &exchanging{})
			require.Empty(t, sent)
			e := errs.From(err)
			require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_RATE_LIMIT_EXCEEDED, e.Reason)
			require.Equal(t, 9*time.Second, e.RetryAfter)
			w.now = w.now.Add(9*time.Second - 1)
			sent, _ = w.call("solo", &exchanging{})
			require.Empty(t, sent)
			w.now = w.now.Add(1)
			sent, err = w.call("solo", &exchanging{})
			require.NoError(t, err)
			require.Equal(t, []string{"two two-a"}, sent)
		})
	}

	w := newWorld(t, nil).does("two", limited("Retry-After", "999999"), fine)
	_, _ = w.call("solo", &exchanging{})
	w.now = w.now.Add(10 * time.Minute)
	_, err := w.call("solo", &exchanging{})
	require.NoError(t, err, "a wrong header does not end the use of a target")

	// The limit of one model says nothing about another at the same target.
	w = newWorld(t, nil).does("two", limited("Retry-After", "9"), fine).does("one", broken)
	_, _ = w.call("solo", &exchanging{})
	sent, err := w.call("m", &exchanging{})
	require.NoError(t, err)
	require.Equal(t, "two two-a", sent[len(sent)-1])
}

func TestKeysTakeTurnsAndRejectedOnesRest(t *testing.T) {
	w := newWorld(t, nil).does("one", fine)
	var keys []string
	for range 4 {
		sent, err := w.call("m", &exchanging{})
		require.NoError(t, err)
		keys = append(keys, sent...)
	}
	require.Equal(t, []string{"one one-b", "one one-a", "one one-b", "one one-a"}, keys)

	w.does("one", fine, wrongKey, fine)
	_, _ = w.call("m", &exchanging{}) // with one-b
	sent, err := w.call("m", &exchanging{})
	require.NoError(t, err)
	require.Equal(t, []string{"one one-a", "one one-b"}, sent, "another key takes its place at once")
	require.Contains(t, w.log.String(), "the provider refuses Trivet's own account")
	require.NotContains(t, w.log.String(), "one-a", "no key in the log")
	next := func() []string {
		first, _ := w.call("m", &exchanging{})
		second, _ := w.call("m", &exchanging{})
		return append(first, second...)
	}
	require.ElementsMatch(t, []string{"one one-old", "one one-b"}, next(), "the older key of its setting takes its turns")
	w.now = w.now.Add(time.Minute - 1)
	require.ElementsMatch(t, []string{"one one-old", "one one-b"}, next())
	w.now = w.now.Add(1)
	require.ElementsMatch(t, []string{"one one-a", "one one-b"}, next(), "after a minute it is tried again")

	// With no other key, the rejected one is asked, so that the caller gets the true error.
	w = newWorld(t, nil).does("two", wrongKey)
	_, err = w.call("solo", &exchanging{})
	var refused *invoke.RefusedError
	require.ErrorAs(t, err, &refused)
	require.True(t, refused.Refusal.Ours)
	sent, err = w.call("solo", &exchanging{})
	require.ErrorAs(t, err, &refused)
	require.Equal(t, []string{"two two-a"}, sent)
}

func TestPrioritiesAndWeights(t *testing.T) {
	for random, want := range map[float64][]string{
		0: {"one", "two", "three"}, 0.74: {"one", "two", "three"}, 0.75: {"two", "one", "three"}, 0.99: {"two", "one", "three"},
	} {
		w := newWorld(t, nil).does("one", broken).does("two", broken).does("three", fine)
		w.random = random
		x := &exchanging{}
		_, err := w.call("spread", x)
		require.NoError(t, err)
		var order []string
		for _, r := range x.routes {
			order = append(order, strings.Fields(r)[0])
		}
		require.Equal(t, want, order, random)
	}
}

func TestARequestMayBePinnedToATarget(t *testing.T) {
	w := newWorld(t, nil).does("two", broken)
	m, err := w.list.Get("m")
	require.NoError(t, err)
	require.Error(t, w.chain.Do(t.Context(), &invoke.Query{Method: http.MethodGet, Path: "responses/r", Model: m, Target: "two"}, &exchanging{}))
	require.Equal(t, []string{"two two-a", "two two-a", "two two-a"}, w.sent)
	err = w.chain.Do(t.Context(), &invoke.Query{Method: http.MethodGet, Path: "responses/r", Model: m, Target: "three"}, &exchanging{})
	require.ErrorIs(t, err, invoke.ErrNoTarget)
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, errs.From(err).Reason)
}

func TestATargetThatFailsIsNotCalledForAWhile(t *testing.T) {
	w := newWorld(t, func(o *upstream.Options) { o.Tries, o.Breaker = 1, provider.Breaker{Failures: 2, Pause: time.Hour} }).does("two", broken)
	for range 2 {
		sent, _ := w.call("solo", &exchanging{})
		require.Len(t, sent, 1)
	}
	sent, err := w.call("solo", &exchanging{})
	require.Empty(t, sent)
	require.ErrorIs(t, err, invoke.ErrNoTarget)
	e := errs.From(err)
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_SERVICE_UNAVAILABLE, e.Reason)
	require.Positive(t, e.RetryAfter)
	w.does("one", fine)
	sent, err = w.call("m", &exchanging{})
	require.NoError(t, err)
	require.Equal(t, []string{"one one-b"}, sent, "the breaker is the target's own")
}

// TestWhyATargetIsPassedOver: a target that is not called is left, too, and a call that stays at its target moves nowhere.
func TestWhyATargetIsPassedOver(t *testing.T) {
	for name, c := range map[string]struct {
		before reply
		moves  []string
	}{
		"its breaker is open": {broken, []string{"open"}}, "it limits the rate": {limited("Retry-After", "9"), []string{"rate_limited"}}, "it rejects the keys": {wrongKey, []string{"rejected"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(o *upstream.Options) { o.Breaker = provider.Breaker{Failures: 1, Pause: time.Hour} }).does("one", c.before).does("two", fine)
			_, err := w.call("m", &exchanging{})
			require.NoError(t, err)
			x := &exchanging{}
			sent, err := w.call("m", x)
			require.NoError(t, err)
			require.Equal(t, []string{"two two-a"}, sent)
			require.Equal(t, c.moves, x.moves)
		})
	}
	w := newWorld(t, nil).does("one", limited("Retry-After", "9")).does("two", fine)
	_, err := w.call("spread", &exchanging{})
	require.NoError(t, err)
	w.does("two", broken, fine).does("three", broken)
	x := &exchanging{}
	sent, err := w.call("spread", x)
	require.NoError(t, err)
	require.Equal(t, []string{"two two-a", "three ", "two two-a"}, sent)
	require.Equal(t, []string{"rate_limited", "server_error", "server_error"}, x.moves, "the first target is not why the third one is left")
	w = newWorld(t, nil).does("one", broken).does("two", broken, fine)
	x = &exchanging{}
	sent, err = w.call("m", x)
	require.Error(t, err)
	require.Equal(t, []string{"one one-b", "two two-a", "one one-a"}, sent)
	require.Equal(t, []string{"server_error", "server_error"}, x.moves, "back to the first one")
	x = &exchanging{}
	_, err = newWorld(t, nil).does("two", broken, fine).call("solo", x)
	require.NoError(t, err)
	require.Empty(t, x.moves, "the same target again")
}

// TestAFullTargetIsPassedOver: a call goes to the next target while the first one has as many calls as it may, whether that is
// known before the call is sent or only then. The place of a call is free again once its answer was read.
func TestAFullTargetIsPassedOver(t *testing.T) {
	list, err := models.Parse([]byte(strings.Replace(targetsFile, "{kind: compatible, base_url: \"http://one/v1\",", "{kind: compatible, base_url: \"http://one/v1\", max_concurrent: 1,", 1)))
	require.NoError(t, err)
	for name, late := range map[string]bool{"it is full": false, "another call takes the last place": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(o *upstream.Options) { o.Models = list }).does("one", fine).does("two", fine)
			held := &exchanging{}
			take := func() {
				_, err := w.call("m", held)
				require.NoError(t, err)
				require.Equal(t, "one", held.answer.Route.Target)
			}
			x := &exchanging{}
			if late {
				x.before = take
			} else {
				take()
			}
			sent, err := w.call("m", x)
			require.NoError(t, err)
			require.Equal(t, "two two-a", sent[len(sent)-1])
			require.Equal(t, "two", x.answer.Route.Target)
			require.Equal(t, []string{"busy"}, x.moves)

			require.NoError(t, held.answer.Body.Close())
			sent, err = w.call("m", &exchanging{})
			require.NoError(t, err)
			require.Len(t, sent, 1)
			require.Contains(t, sent[0], "one ")
		})
	}
}

func TestRetriesAreAShareOfTheCalls(t *testing.T) {
	w := newWorld(t, nil).does("two", broken)
	total := 0
	const calls = 100
	for range calls {
		sent, _ := w.call("solo", &exchanging{})
		total += len(sent)
	}
	require.LessOrEqual(t, total-calls, 20+calls/5, "a provider that fails is not asked three times as much")
	require.GreaterOrEqual(t, total-calls, 20)
}

func TestTargetsFollowThePriceList(t *testing.T) {
	w := newWorld(t, nil).does("one", limited("Retry-After", "500")).does("two", fine).does("four", fine)
	_, err := w.call("m", &exchanging{})
	require.NoError(t, err)
	changed, err := models.Parse([]byte(strings.Replace(strings.Replace(targetsFile, "//two/", "//four/", 1), "one-b", "x", 1)))
	require.NoError(t, err)
	require.NoError(t, w.chain.Check(changed))
	w.list.Replace(changed)
	sent, err := w.call("solo", &exchanging{})
	require.NoError(t, err)
	require.Equal(t, []string{"four two-a"}, sent)

	delete(w.keys, "TWO_KEY")
	require.ErrorContains(t, w.chain.Check(changed), "target two: its key is not set: set TWO_KEY or TWO_KEY_FILE")
	again, err := models.Parse([]byte(targetsFile))
	require.NoError(t, err)
	w.list.Replace(again)
	sent, err = w.call("solo", &exchanging{})
	require.NoError(t, err)
	require.Equal(t, []string{"four two-a"}, sent, "targets without keys change nothing")
	require.Contains(t, w.log.String(), "the earlier ones stay")
}

// New keys are used from the next call on, and those of a target only all together: when one cannot be read, none changes.
func TestKeysAreReadAgain(t *testing.T) {
	w := newWorld(t, nil).does("two", fine).does("default", fine)
	require.Equal(t, []string{"ONE_KEY", "ONE_KEY_B", "TWO_KEY"}, w.chain.KeyNames())
	ask := func() string {
		sent, err := w.call("solo", &exchanging{})
		require.NoError(t, err)
		return sent[0]
	}
	probe := func() string {
		w.sent = nil
		w.chain.Probe(t.Context(), health.NewProvider(time.Now))
		return w.sent[0]
	}
	require.Equal(t, "default default-a", probe())
	w.keys["TWO_KEY"] = settings.NewSecrets("two-b", "two-a")
	require.Equal(t, "two two-a", ask(), "not before Rotate")
	require.NoError(t, w.chain.Rotate([]settings.Secrets{settings.NewSecrets("default-b")}))
	require.Equal(t, "two two-b", ask())
	require.Equal(t, "default default-b", probe())
	require.Equal(t, "the key …", w.chain.Redact("the key two-b"))

	w.keys["TWO_KEY"] = settings.NewSecrets("two-c")
	delete(w.keys, "ONE_KEY_B")
	require.ErrorContains(t, w.chain.Rotate([]settings.Secrets{settings.NewSecrets("default-c")}), "set ONE_KEY_B or ONE_KEY_B_FILE")
	require.Equal(t, "two two-b", ask())
	require.Equal(t, "default default-b", probe())
}

// The keys of other integrations are never sent to a model's server.
func TestKeysOfOthersAreRefused(t *testing.T) {
	for _, name := range []string{"STRIPE_SECRET_KEY", "CLERK_SECRET_KEY", "TRIVET_INTERNAL_SECRET", "DATABASE_URL"} {
		list, err := models.Parse([]byte(strings.Replace(targetsFile, "TWO_KEY", name, 1)))
		require.NoError(t, err)
		w := newWorld(t, nil)
		w.keys[name] = settings.NewSecrets("secret")
		require.ErrorContains(t, w.chain.Check(list), "target two: the setting "+name+" is not for keys of targets", name)
	}
	require.NoError(t, newWorld(t, nil).chain.Check(newWorld(t, nil).list))
}

func TestAddressesOfAzure(t *testing.T) {
	for version, want := range map[string]string{
		"":                             "https://res.openai.azure.com/openai/v1/chat/completions",
		", api_version: 2024-10-21":    "https://res.openai.azure.com/openai/deployments/my%20dep/chat/completions?api-version=2024-10-21",
		", api_version: 2025-01.a-pre": "https://res.openai.azure.com/openai/deployments/my%20dep/chat/completions?api-version=2025-01.a-pre",
	} {
		list, err := models.Parse([]byte(`targets:
  az: {kind: azure, base_url: "https://res.openai.azure.com/", keys: [AZ_KEY]` + version + `}
models:
  m: {kind: chat, provider: x, context_tokens: 10, max_output_tokens: 5, default_output_tokens: 5, input: "1", output: "2", targets: [{target: az, model: my dep}]}
`))
		require.NoError(t, err)
		var got *http.Request
		c, err := upstream.NewChain(upstream.Options{
			Models: list, Default: upstream.Account{Target: models.Target{BaseURL: &url.URL{Scheme: "http", Host: "x"}}},
			Secrets: func(string) (settings.Secrets, error) { return settings.NewSecrets("az-key"), nil },
			Base: roundTripper(func(r *http.Request) (*http.Response, error) {
				got = r
				return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
			}),
			Logger: slog.New(slog.DiscardHandler), Meter: noop.NewMeterProvider().Meter(""), Now: time.Now,
		})
		require.NoError(t, err)
		m, err := list.Get("m")
		require.NoError(t, err)
		require.NoError(t, c.Do(context.Background(), &invoke.Query{Method: http.MethodPost, Path: "chat/completions", Model: m}, &exchanging{}))
		require.Equal(t, want, got.URL.String())
		require.Equal(t, []string{"az-key"}, got.Header["Api-Key"])
		require.NoError(t, c.Do(context.Background(), &invoke.Query{Method: http.MethodGet, Path: "responses/resp_1", Target: "az"}, &exchanging{}))
		before, _, _ := strings.Cut(want, "deployments/")
		before = strings.TrimSuffix(before, "chat/completions")
		require.Equal(t, before+"responses/resp_1", "https://"+got.URL.Host+got.URL.Path, "responses have no deployment in the path")
		require.Equal(t, version != "", got.URL.Query().Has("api-version"))
		require.NotContains(t, slices.Collect(maps.Keys(got.Header)), "Authorization")
		c.Close()
	}
}

// TestOnlyOpenAIKeepsChats by itself; other servers may refuse the field that says that it must not.
func TestOnlyOpenAIKeepsChats(t *testing.T) {
	for address, want := range map[string]bool{
		"https://api.openai.com/v1": true, "https://eu.api.openai.com/v1": true, "https://API.OpenAI.com:443/v1": true,
		"https://res.openai.azure.com": false, "https://xapi.openai.com/v1": false, "https://api.openai.com.example.test/v1": false, "http://127.0.0.1:1/v1": false,
	} {
		base, err := url.Parse(address)
		require.NoError(t, err)
		for _, targets := range []string{"", ", targets: [{target: openai}]"} {
			list, err := models.Parse([]byte(`models: {m: {kind: chat, provider: x, context_tokens: 10, max_output_tokens: 5, default_output_tokens: 5, input: "1", output: "2"` + targets + `}}`))
			require.NoError(t, err)
			c, err := upstream.NewChain(upstream.Options{
				Models: list, Default: upstream.Account{Target: models.Target{BaseURL: base}, Secrets: []settings.Secrets{settings.NewSecrets("sk")}},
				Base: roundTripper(func(*http.Request) (*http.Response, error) {
					return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
				}),
				Logger: slog.New(slog.DiscardHandler), Meter: noop.NewMeterProvider().Meter(""), Now: time.Now,
			})
			require.NoError(t, err)
			m, err := list.Get("m")
			require.NoError(t, err)
			x := &exchanging{}
			require.NoError(t, c.Do(t.Context(), &invoke.Query{Method: http.MethodPost, Path: "chat/completions", Model: m}, x))
			require.Equal(t, want, x.keeps, address)
			c.Close()
		}
	}
}

// TestObjectsAreAskedForAtTheirTarget, whatever models the target serves.
func TestObjectsAreAskedForAtTheirTarget(t *testing.T) {
	w := newWorld(t, nil).does("one", badInput).does("three", fine)
	x := &exchanging{}
	q := &invoke.Query{Method: http.MethodDelete, Path: "responses/resp_1", Target: "three"}
	require.NoError(t, w.chain.Do(t.Context(), q, x))
	require.Equal(t, []string{"three "}, w.sent)
	require.Equal(t, []string{"three "}, x.routes)

	q.Target = "gone"
	err := w.chain.Do(t.Context(), q, &exchanging{})
	require.ErrorIs(t, err, invoke.ErrNoTarget)
	require.ErrorContains(t, err, "No target serves this object any more")
	require.Len(t, w.sent, 1, "no other target is asked")
}
