package provider_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/trivet-dev/trivet/platform/provider"
)

// A call that is not HTTP counts, is logged and is refused like one that is.
func TestCallsThatAreNotHTTP(t *testing.T) {
	var log bytes.Buffer
	var ends []provider.End
	transport, err := provider.New(provider.Config{
		Integration: "email", MaxConcurrent: 1, Breaker: provider.Breaker{Failures: 3, Pause: time.Hour},
		Ended: func(e provider.End) { ends = append(ends, e) },
	}, slog.New(slog.NewTextHandler(&log, nil)), noop.Meter{})
	require.NoError(t, err)
	broken := errors.New("cannot reach the mail server")
	for _, c := range []struct {
		reply    *provider.Reply
		err      error
		want     string
		failed   bool
		limited  bool
		isLogged string
	}{
		{&provider.Reply{Code: 250}, nil, "outcome=success", false, false, "status=250"},
		{&provider.Reply{Code: 550, Verdict: provider.Refused}, errors.New("refused"), "outcome=client_error", false, false, "status=550"},
		{&provider.Reply{Code: 451, Verdict: provider.Limited}, errors.New("later"), "outcome=rate_limited", true, true, "status=451"},
		{&provider.Reply{Code: 421, Verdict: provider.Broken}, errors.New("broken"), "outcome=server_error", true, false, "status=421"},
		{nil, context.DeadlineExceeded, "outcome=timeout", true, false, "status=0"},
		{nil, broken, "outcome=failed", true, false, `error="cannot reach the mail server"`},
	} {
		log.Reset()
		ends = nil
		require.Equal(t, c.err, transport.Do(t.Context(), "send", func(ctx context.Context) (*provider.Reply, error) {
			busy := (*provider.BusyError)(nil)
			require.ErrorAs(t, transport.Do(ctx, "send", nil), &busy, "the limit of concurrent calls applies")
			log.Reset()
			ends = nil
			return c.reply, c.err
		}))
		require.Contains(t, log.String(), c.want)
		require.Contains(t, log.String(), c.isLogged)
		require.Contains(t, log.String(), "integration=email method=send")
		require.Len(t, ends, 1)
		require.Equal(t, [2]bool{c.failed, c.limited}, [2]bool{ends[0].Failed, ends[0].RateLimited})
	}
	open := (*provider.OpenError)(nil)
	require.ErrorAs(t, transport.Do(t.Context(), "send", nil), &open, "three failures open the breaker")
	require.Positive(t, transport.Wait())
}

// A call that panics gives its place back: the next call is made.
func TestCallsThatPanic(t *testing.T) {
	var ends []provider.End
	transport, err := provider.New(provider.Config{
		Integration: "email", MaxConcurrent: 1, Ended: func(e provider.End) { ends = append(ends, e) },
	}, slog.New(slog.DiscardHandler), noop.Meter{})
	require.NoError(t, err)
	for range 2 {
		require.PanicsWithValue(t, "x", func() {
			_ = transport.Do(t.Context(), "send", func(context.Context) (*provider.Reply, error) { panic("x") })
		})
	}
	require.Len(t, ends, 2)
	require.True(t, ends[0].Failed)
	require.NoError(t, transport.Do(t.Context(), "send", func(context.Context) (*provider.Reply, error) { return &provider.Reply{Code: 250}, nil }))
}
