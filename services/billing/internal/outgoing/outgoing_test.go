package outgoing_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/billing/internal/billingtest"
	"github.com/trivet-dev/trivet/services/billing/internal/notices"
	"github.com/trivet-dev/trivet/services/billing/internal/outgoing"
)

var begin = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

// one is a store with one notice.
type one struct{}

func (one) Notice(_ context.Context, id string) (notices.Notice, error) {
	return notices.Notice{ID: id, AccountID: "org_1", Kind: notices.PaymentFailed, CreateTime: begin, Data: notices.Data{InvoiceID: "in_1"}}, nil
}

type receiver func(r *http.Request) (*http.Response, error)

func (f receiver) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int, retryAfter string) *http.Response {
	h := http.Header{}
	if retryAfter != "" {
		h.Set("Retry-After", retryAfter)
	}
	return &http.Response{StatusCode: status, Header: h, Body: http.NoBody}
}

func sender(t *testing.T, in *inbox.Inbox, now func() time.Time, payURL func(ctx context.Context) (string, error), r receiver) *outgoing.Sender {
	t.Helper()
	s, err := outgoing.New(outgoing.Options{
		Inbox: in, Store: one{}, PayURL: func(ctx context.Context, _ notices.Notice) (string, error) { return payURL(ctx) }, Client: &http.Client{Transport: r},
		URL:       settings.NewLive(settings.NewSecret("https://receiver.example/x")),
		Secrets:   settings.NewLive(settings.NewSecret("whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32))))),
		RetryTime: time.Hour, Now: now,
	})
	require.NoError(t, err)
	return s
}

func newInbox(t *testing.T, now func() time.Time) *inbox.Inbox {
	t.Helper()
	in, err := inbox.New(databasetest.SQLite(t, inbox.Migrations()), inbox.Options{
		Now: now, Rand: func() float64 { return 1 }, Grace: time.Millisecond, Lease: time.Hour, PollInterval: 2 * time.Millisecond, Backoff: inbox.Backoff{Base: time.Millisecond, Cap: time.Millisecond},
	})
	require.NoError(t, err)
	return in
}

func linked(context.Context) (string, error) { return "https://pay.example", nil }

// A Stripe that hangs takes a part of the attempt only: early attempts wait for the link, later ones are sent without it.
func TestAStripeThatHangsLeavesTimeToSend(t *testing.T) {
	var got []map[string]any
	s := sender(t, newInbox(t, time.Now), time.Now, func(ctx context.Context) (string, error) {
		<-ctx.Done()
		return "", ctx.Err()
	}, func(r *http.Request) (*http.Response, error) {
		if err := r.Context().Err(); err != nil {
			return nil, err
		}
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		var body struct{ Data map[string]any }
		if err := json.Unmarshal(raw, &body); err != nil {
			return nil, err
		}
		got = append(got, body.Data)
		return answer(http.StatusNoContent, ""), nil
	})
	synctest.Test(t, func(t *testing.T) {
		attempt := func(n int) error {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // as the inbox does
			defer cancel()
			return s.Attempt(ctx, &inbox.Job{Record: inbox.Record{Event: inbox.Event{ID: "ntc_1"}, Attempts: n, PutTime: time.Now()}})
		}
		require.ErrorContains(t, attempt(4), "read the link that pays the invoice")
		require.Empty(t, got)
		require.NoError(t, attempt(5))
	})
	require.Len(t, got, 1)
	require.Equal(t, "in_1", got[0]["invoiceId"])
	require.NotContains(t, got[0], "payUrl")
}

// A short Retry-After does not remove the growing pause, and a long one is heeded.
func TestPausesGrowWithRetryAfter(t *testing.T) {
	for after, least := range map[string]func(attempt int) time.Duration{
		"1":    outgoing.Growing,
		"7200": func(int) time.Duration { return 2 * time.Hour },
	} {
		t.Run(after, func(t *testing.T) {
			clock := billingtest.NewClock(begin)
			in := newInbox(t, clock.Now)
			_ = sender(t, in, clock.Now, linked, func(*http.Request) (*http.Response, error) { return answer(http.StatusTooManyRequests, after), nil })
			_, err := in.Put(t.Context(), inbox.Event{Source: outgoing.Source, ID: "ntc_1", Type: "billing.payment_failed", Payload: []byte("{}")})
			require.NoError(t, err)
			defer running(t, in)()
			for attempt := 1; attempt <= 8; attempt++ {
				var event inbox.Record
				require.Eventually(t, func() bool {
					event, err = in.Get(t.Context(), outgoing.Source, "ntc_1")
					return err == nil && len(event.Failures) == attempt && event.State == inbox.Pending && event.DueTime.After(clock.Now())
				}, 30*time.Second, 2*time.Millisecond)
				require.Equal(t, least(attempt)+time.Millisecond, event.DueTime.Sub(clock.Now()))
				clock.Set(event.DueTime)
			}
		})
	}
	for attempt, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 12: 2048 * time.Second, 13: time.Hour, 14: time.Hour, 100_000: time.Hour} {
		require.Equal(t, want, outgoing.Growing(attempt), attempt)
	}
}

// An attempt that ends because the process stops says nothing about the receiver, also after the time for retries.
func TestAStopDuringALateAttemptDoesNotCount(t *testing.T) {
	clock := billingtest.NewClock(begin)
	in := newInbox(t, clock.Now)
	held := make(chan struct{}, 1)
	attempts, fails := 0, true
	_ = sender(t, in, clock.Now, linked, func(r *http.Request) (*http.Response, error) {
		if attempts++; attempts < 10 {
			return nil, errors.New("no")
		}
		if !fails {
			return answer(http.StatusOK, ""), nil
		}
		held <- struct{}{}
		<-r.Context().Done()
		return nil, r.Context().Err()
	})
	_, err := in.Put(t.Context(), inbox.Event{Source: outgoing.Source, ID: "ntc_1", Type: "billing.payment_failed", Payload: []byte("{}")})
	require.NoError(t, err)
	state := func() inbox.Record {
		event, err := in.Get(t.Context(), outgoing.Source, "ntc_1")
		require.NoError(t, err)
		return event
	}
	stop := running(t, in)
	for failed := 1; failed <= 9; failed++ {
		require.Eventually(t, func() bool { return len(state().Failures) == failed }, 30*time.Second, 2*time.Millisecond)
		if failed == 9 {
			clock.Add(time.Hour)
		}
		clock.Add(time.Second)
	}
	<-held
	stop()
	require.Equal(t, inbox.Pending, state().State)
	require.Len(t, state().Failures, 9)
	fails = false
	stop = running(t, in)
	require.Eventually(t, func() bool { return state().State == inbox.Done }, 30*time.Second, 2*time.Millisecond)
	stop()
}

// running runs an inbox until stop is called.
func running(t *testing.T, in *inbox.Inbox) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- in.Run(ctx) }()
	return func() {
		cancel()
		require.NoError(t, <-done)
	}
}
