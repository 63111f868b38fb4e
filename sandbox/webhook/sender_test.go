package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/trivet-dev/trivet/sandbox/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "whsec_c2VjcmV0"

// endpoint is a transport that notes what arrives and answers as it is told.
type endpoint struct {
	mu     sync.Mutex
	bodies []string
	times  []time.Time
	header []http.Header
	answer func(attempt int) (int, error)
}

func (e *endpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	e.bodies = append(e.bodies, string(raw))
	e.times = append(e.times, time.Now())
	e.header = append(e.header, r.Header)
	n := len(e.bodies)
	e.mu.Unlock()
	status := http.StatusOK
	if e.answer != nil {
		if status, err = e.answer(n); err != nil {
			return nil, err
		}
	}
	if status == 0 { // silence
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Location": {"/elsewhere"}}, Body: io.NopCloser(strings.NewReader("ok")), Request: r}, nil
}

func (e *endpoint) got() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return strings.Join(e.bodies, " ")
}

// open starts a sender with one endpoint behind a transport.
func open(t *testing.T, e *endpoint, settings webhook.Settings) *webhook.Sender {
	t.Helper()
	s, err := webhook.New(webhook.Config{Name: "clerk", Sign: webhook.Svix, Schedule: webhook.SvixSchedule(), Transport: e, Settings: settings})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close(context.WithoutCancel(t.Context()))) })
	_, err = s.Add(webhook.Endpoint{URL: "http://edge.test/hook", Secrets: []string{secret}})
	require.NoError(t, err)
	return s
}

func send(s *webhook.Sender, from, to int) {
	for i := from; i <= to; i++ {
		s.Send(webhook.Event{ID: fmt.Sprintf("msg_%d", i), Type: "user.created", Subject: "user_1", Body: []byte(fmt.Sprint(i))})
	}
}

// TestRetriesFollowTheSchedule sees every attempt at its time, in a time that does not pass.
func TestRetriesFollowTheSchedule(t *testing.T) {
	for name, test := range map[string]struct {
		schedule []time.Duration
		scale    float64
		want     time.Duration // from the first attempt to the last
	}{
		"Svix":         {webhook.SvixSchedule(), 0, 27*time.Hour + 35*time.Minute + 5*time.Second},
		"Svix, scaled": {webhook.SvixSchedule(), 0.001, 99305 * time.Millisecond},
		"Stripe":       {webhook.StripeSchedule(), 1, 65*time.Hour + 35*time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &endpoint{answer: func(int) (int, error) { return http.StatusFound, nil }}
				s, err := webhook.New(webhook.Config{Sign: webhook.Svix, Schedule: test.schedule, Transport: e, Settings: webhook.Settings{RetryScale: test.scale}})
				require.NoError(t, err)
				_, err = s.Add(webhook.Endpoint{URL: "http://edge.test/hook", Secrets: []string{secret}})
				require.NoError(t, err)
				send(s, 1, 1)
				synctest.Wait()
				require.Equal(t, webhook.Pending, s.Deliveries(webhook.Filter{})[0].State)
				time.Sleep(72 * time.Hour)
				synctest.Wait()
				d := s.Deliveries(webhook.Filter{})[0]
				require.Equal(t, webhook.Failed, d.State)
				require.Equal(t, len(test.schedule), d.Attempts)
				require.Equal(t, http.StatusFound, d.Status, "a redirect is not followed and counts as a failure")
				require.Equal(t, "the endpoint answered 302", d.Error)
				require.Len(t, e.times, len(test.schedule))
				require.Equal(t, test.want, e.times[len(e.times)-1].Sub(e.times[0]))
				require.Equal(t, e.header[0].Get("svix-id"), e.header[7].Get("svix-id"))
				require.NotEqual(t, e.header[0].Get("svix-timestamp"), e.header[7].Get("svix-timestamp"), "each attempt has its own signature")
				require.NoError(t, s.Close(t.Context()))
			})
		})
	}
}

func TestSilentAndBrokenEndpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{answer: func(attempt int) (int, error) {
			return map[int]int{1: 0, 3: http.StatusNoContent}[attempt], map[int]error{2: errors.New("connection refused")}[attempt]
		}}
		s := open(t, e, webhook.Settings{})
		send(s, 1, 1)
		time.Sleep(16 * time.Second)
		require.Equal(t, "no answer within 15s", s.Deliveries(webhook.Filter{})[0].Error)
		time.Sleep(10 * time.Second)
		d := s.Deliveries(webhook.Filter{})[0]
		require.Equal(t, "connection refused", d.Error)
		require.Zero(t, d.Status)
		time.Sleep(10 * time.Minute)
		d = s.Deliveries(webhook.Filter{})[0]
		require.Equal(t, webhook.Delivered, d.State)
		require.Empty(t, d.Error)
		require.Zero(t, d.NextAt)
		require.NoError(t, s.Close(t.Context()))
	})
}

func TestFlushSendsPendingDeliveries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{answer: func(attempt int) (int, error) { return map[bool]int{true: 500, false: 200}[attempt == 1], nil }}
		s := open(t, e, webhook.Settings{Concurrency: 1})
		report, err := s.Flush(t.Context())
		require.NoError(t, err)
		require.Zero(t, report, "nothing waits")
		send(s, 1, 1)
		synctest.Wait()
		require.NoError(t, s.Change(webhook.Settings{Paused: true, Shuffle: 100, Delay: time.Hour, Concurrency: 1}))
		send(s, 2, 3)
		report, err = s.Flush(t.Context())
		require.NoError(t, err)
		require.Equal(t, webhook.Report{Delivered: 3}, report, "the retry, and what is held back")
		require.Equal(t, 3, s.Counts()[webhook.Delivered])

		e.answer = func(int) (int, error) { return 503, nil }
		send(s, 4, 4)
		report, err = s.Flush(t.Context())
		require.NoError(t, err)
		require.Equal(t, webhook.Report{Failed: 1}, report)
		require.Equal(t, 1, s.Counts()[webhook.Pending], "it continues by the schedule")

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = s.Flush(ctx)
		require.ErrorIs(t, err, context.Canceled)
		require.NoError(t, s.Close(t.Context()))
		_, err = s.Flush(t.Context())
		require.ErrorContains(t, err, "was closed")
	})
}

func TestAwaitWaitsForOneEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, &endpoint{}, webhook.Settings{Delay: time.Minute})
		send(s, 1, 2)
		start := time.Now()
		report, err := s.Await(t.Context(), "msg_2")
		require.NoError(t, err)
		require.Equal(t, webhook.Report{Delivered: 1}, report)
		require.Equal(t, time.Minute, time.Since(start))
		report, err = s.Await(t.Context(), "msg_2")
		require.NoError(t, err)
		require.Zero(t, report)
		require.NoError(t, s.Close(t.Context()))
	})
}

func TestEndpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{}
		s := open(t, e, webhook.Settings{Paused: true})
		narrow, err := s.Add(webhook.Endpoint{URL: "http://edge.test/narrow", Secrets: []string{secret}, Types: []string{"user.deleted"}})
		require.NoError(t, err)
		require.Equal(t, "clerk-endpoint-2", narrow.ID)
		send(s, 1, 2)
		s.Send(webhook.Event{ID: "msg_3", Type: "user.deleted", Body: []byte("3")})
		require.Equal(t, 4, s.Counts()[webhook.Pending])
		require.True(t, s.Remove("clerk-endpoint-1"))
		require.False(t, s.Remove("clerk-endpoint-1"))
		require.Equal(t, 3, s.Counts()[webhook.Dropped])
		rotated, err := s.Rotate(narrow.ID, "whsec_bmV3", true)
		require.NoError(t, err)
		require.Equal(t, []string{"whsec_bmV3", secret}, rotated.Secrets)
		_, err = s.Flush(t.Context())
		require.NoError(t, err)
		require.Equal(t, "3", e.got())
		require.Len(t, strings.Fields(e.header[0].Get("svix-signature")), 2)

		rotated, err = s.Rotate(narrow.ID, "whsec_bmV3", false)
		require.NoError(t, err)
		require.Len(t, rotated.Secrets, 1)
		_, err = s.Rotate(narrow.ID, "?", false)
		require.ErrorContains(t, err, "base64")
		_, err = s.Rotate("nobody", "whsec_bmV3", false)
		require.ErrorIs(t, err, webhook.ErrUnknown)
		require.Equal(t, rotated, s.Endpoints()[0])

		dropped := s.Deliveries(webhook.Filter{State: webhook.Dropped})
		require.Len(t, dropped, 3)
		_, err = s.Resend(dropped[0].ID)
		require.ErrorIs(t, err, webhook.ErrUnknown, "its endpoint is gone")
		delivered := s.Deliveries(webhook.Filter{State: webhook.Delivered, Type: "user.deleted", EventID: "msg_3"})
		again, err := s.Resend(delivered[0].ID)
		require.NoError(t, err)
		require.Equal(t, "msg_3", again.EventID)
		require.NoError(t, s.Change(webhook.Settings{}))
		synctest.Wait()
		require.Equal(t, "3 3", e.got())
		s.Reset()
		require.Empty(t, s.Deliveries(webhook.Filter{}))
		require.Zero(t, s.Counts()[webhook.Delivered])
		require.Len(t, s.Endpoints(), 1)
		require.NoError(t, s.Close(t.Context()))
	})
}

func TestInvalidParameters(t *testing.T) {
	s := open(t, &endpoint{}, webhook.Settings{})
	for want, e := range map[string]webhook.Endpoint{
		"absolute http":  {URL: "ftp://x", Secrets: []string{secret}},
		"must be an abs": {URL: "/hook", Secrets: []string{secret}},
		"a password":     {URL: "http://a:b@x/", Secrets: []string{secret}},
		"1 to 4 secrets": {URL: "http://x/"},
		"base64":         {URL: "http://x/", Secrets: []string{"whsec_?"}},
	} {
		_, err := s.Add(e)
		require.ErrorContains(t, err, want)
	}
	for want, settings := range map[string]webhook.Settings{
		"retry_scale":   {RetryScale: 2},
		"concurrency":   {Concurrency: 65},
		"lose_next":     {LoseNext: -1},
		"lose_fraction": {LoseFraction: 1.1},
		"double_fracti": {DoubleFraction: -0.1},
		"delay_ms":      {Delay: 2 * time.Hour},
		"shuffle":       {Shuffle: -1},
	} {
		require.ErrorContains(t, s.Change(settings), want)
		_, err := webhook.New(webhook.Config{Settings: settings})
		require.ErrorContains(t, err, want)
	}
	for range webhook.MaxEndpoints - 1 {
		_, err := s.Add(webhook.Endpoint{URL: "http://x/", Secrets: []string{secret}})
		require.NoError(t, err)
	}
	_, err := s.Add(webhook.Endpoint{URL: "http://x/", Secrets: []string{secret}})
	require.ErrorContains(t, err, "limit of 16")
}

func TestQueueAndHistoryAreBounded(t *testing.T) {
	s := open(t, &endpoint{}, webhook.Settings{Paused: true})
	send(s, 1, webhook.MaxPending+5)
	require.Equal(t, webhook.MaxPending, s.Counts()[webhook.Pending])
	require.Equal(t, 5, s.Counts()[webhook.Dropped])
	_, err := s.Flush(t.Context())
	require.NoError(t, err)
	require.Equal(t, webhook.MaxPending, s.Counts()[webhook.Delivered])
	require.Len(t, s.Deliveries(webhook.Filter{Limit: 2 * webhook.MaxPending}), webhook.MaxFinished)
}

// TestOverARealSocket sees what an endpoint sees.
func TestOverARealSocket(t *testing.T) {
	got := make(chan *http.Request, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(strings.NewReader(string(raw)))
		got <- r
		w.WriteHeader(http.StatusAccepted)
	}))
	defer server.Close()
	s, err := webhook.New(webhook.Config{Name: "stripe", Sign: webhook.Stripe, Schedule: webhook.StripeSchedule(), UserAgent: "Stripe/1.0"})
	require.NoError(t, err)
	_, err = s.Add(webhook.Endpoint{URL: server.URL + "/hook", Secrets: []string{"whsec_x"}})
	require.NoError(t, err)
	s.Send(webhook.Event{ID: "evt_1", Type: "customer.created", Body: []byte(`{"id":"evt_1"}`)})
	r := <-got
	require.Equal(t, "/hook", r.URL.Path)
	require.Equal(t, "application/json; charset=utf-8", r.Header.Get("Content-Type"))
	require.Equal(t, "Stripe/1.0", r.Header.Get("User-Agent"))
	require.Regexp(t, `^t=\d+,v1=[0-9a-f]{64}$`, r.Header.Get("Stripe-Signature"))
	require.NoError(t, s.Close(t.Context()))
}

// TestCloseEndsRunningAttempts closes while an endpoint is silent.
func TestCloseEndsRunningAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, &endpoint{answer: func(int) (int, error) { return 0, nil }}, webhook.Settings{})
		send(s, 1, 3)
		synctest.Wait()
		require.Equal(t, 3, s.Counts()[webhook.Sending])
		require.NoError(t, s.Close(t.Context()))
		send(s, 4, 4)
		require.Empty(t, s.Deliveries(webhook.Filter{EventID: "msg_4"}), "a closed sender takes nothing")
	})
}
