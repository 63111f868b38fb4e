package health_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	statusv1 "github.com/trivet-dev/trivet/gen/go/trivet/status/v1"
	"github.com/trivet-dev/trivet/platform/health"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A step is good or bad calls, or time that passes, and the state after it.
type step struct {
	good, bad int
	wait      time.Duration
	want      statusv1.Status
}

func TestStateOfAProvider(t *testing.T) {
	const (
		unknown, operational = health.Unknown, health.Operational
		degraded, down       = health.Degraded, health.Down
	)
	cases := map[string][]step{
		"nothing is called":                        {{want: unknown}, {wait: 9 * time.Second, want: unknown}, {wait: time.Second, want: operational}},
		"the first call is answered":               {{good: 1, want: operational}},
		"the first call fails":                     {{bad: 1, want: degraded}, {bad: 1, want: degraded}, {bad: 1, want: down}},
		"few failures among successes":             {{good: 1, want: operational}, {bad: 2, want: operational}, {good: 1, want: operational}},
		"one call in ten fails":                    {{good: 27, want: operational}, {bad: 3, want: degraded}},
		"fewer than one call in ten fails":         {{good: 28, want: operational}, {bad: 3, want: operational}},
		"most calls fail":                          {{good: 4, want: operational}, {bad: 5, want: down}},
		"half of the calls fail":                   {{good: 4, want: operational}, {bad: 4, want: degraded}},
		"it stops answering":                       {{good: 100, want: operational}, {bad: 1, wait: 4 * time.Second, want: operational}, {wait: time.Second, want: degraded}, {bad: 2, want: down}},
		"nobody calls after an outage began":       {{bad: 3, want: down}, {wait: time.Hour, want: down}},
		"nobody calls after one failure":           {{bad: 1, want: degraded}, {wait: time.Hour, want: degraded}},
		"it answers again":                         {{bad: 30, want: down}, {good: 1, want: down}, {wait: 10 * time.Second, good: 1, want: degraded}, {wait: time.Minute, good: 1, want: operational}},
		"failures are forgotten after a minute":    {{good: 5, bad: 3, want: degraded}, {wait: time.Minute, good: 1, want: operational}},
		"failures count for most of a minute":      {{good: 5, bad: 3, want: degraded}, {wait: 50 * time.Second, good: 1, want: degraded}},
		"a success long ago does not hide failure": {{good: 1, want: operational}, {wait: time.Hour, bad: 3, want: down}},
	}
	for name, steps := range cases {
		t.Run(name, func(t *testing.T) {
			now := time.Unix(1_800_000_000, 0)
			p := health.NewProvider(func() time.Time { return now })
			for i, s := range steps {
				// Outcomes come before the wait of their step, unless the step says what happens after a wait.
				if s.bad > 0 && s.wait > 0 && s.wait < 5*time.Second {
					note(p, s.good, s.bad)
					now = now.Add(s.wait)
				} else {
					now = now.Add(s.wait)
					note(p, s.good, s.bad)
				}
				require.Equal(t, s.want, p.Condition().GetStatus(), "step %d", i)
			}
		})
	}
}

func note(p *health.Provider, good, bad int) {
	for range good {
		p.Good()
	}
	for range bad {
		p.Bad()
	}
}

func TestSinceIsWhenTheStateBegan(t *testing.T) {
	start := time.Unix(1_800_000_000, 0).UTC()
	now := start
	p := health.NewProvider(func() time.Time { return now })
	require.Equal(t, start, p.Condition().GetSinceTime().AsTime())
	now = start.Add(3 * time.Second)
	p.Good()
	now = start.Add(time.Hour)
	p.Good()
	require.Equal(t, start.Add(3*time.Second), p.Condition().GetSinceTime().AsTime(), "it has been operational since then")
	now = now.Add(time.Minute)
	down := now
	note(p, 0, 3)
	now = now.Add(time.Hour)
	require.Equal(t, health.Down, p.Condition().GetStatus())
	require.Equal(t, down, p.Condition().GetSinceTime().AsTime())
}

func TestNoteJudgesByStatus(t *testing.T) {
	for status, want := range map[int]statusv1.Status{
		200: health.Operational, 302: health.Operational, 400: health.Operational, 403: health.Operational, 404: health.Operational,
		401: health.Down, 429: health.Down, 500: health.Down, 503: health.Down,
	} {
		p := health.NewProvider(time.Now)
		for range 3 {
			p.Note(status)
		}
		require.Equal(t, want, p.Condition().GetStatus(), "status %d", status)
	}
}

func TestTransportNotesWhatTheProviderDid(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
	defer server.Close()
	call := func(ctx context.Context, p *health.Provider, url string) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		require.NoError(t, err)
		response, err := health.Transport{Next: http.DefaultTransport, Provider: p}.RoundTrip(r)
		if err == nil {
			require.NoError(t, response.Body.Close())
		}
	}
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections() //nolint:forcetypeassert // it is one

	p := health.NewProvider(time.Now)
	left, cancel := context.WithCancel(t.Context())
	cancel()
	call(left, p, server.URL)
	require.Equal(t, health.Unknown, p.Condition().GetStatus(), "a caller that left says nothing")
	call(t.Context(), p, server.URL)
	require.Equal(t, health.Degraded, p.Condition().GetStatus())
	call(t.Context(), p, "http://127.0.0.1:1")
	call(t.Context(), p, "http://127.0.0.1:1")
	require.Equal(t, health.Down, p.Condition().GetStatus(), "no connection counts")
}

func TestRunAsksAnIdleProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := health.NewProvider(time.Now)
		var asked atomic.Int32
		var fails atomic.Bool
		done := make(chan struct{})
		go func() {
			defer close(done)
			p.Run(ctx, 30*time.Second, func(context.Context) {
				asked.Add(1)
				if fails.Load() {
					p.Bad()
				} else {
					p.Good()
				}
			})
		}()
		time.Sleep(time.Second)
		synctest.Wait()
		require.EqualValues(t, 1, asked.Load(), "soon after the start")
		require.Equal(t, health.Operational, p.Condition().GetStatus())
		time.Sleep(60 * time.Second)
		synctest.Wait()
		require.EqualValues(t, 3, asked.Load(), "then every interval")
		for range 6 {
			time.Sleep(10 * time.Second)
			p.Good()
		}
		synctest.Wait()
		require.EqualValues(t, 3, asked.Load(), "never while other calls tell")
		fails.Store(true)
		time.Sleep(60 * time.Second)
		synctest.Wait()
		require.Equal(t, health.Down, p.Condition().GetStatus())
		fails.Store(false)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		require.NotZero(t, asked.Load())
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.NotEqual(t, health.Down, p.Condition().GetStatus(), "its return is noticed within seconds")
		cancel()
		<-done
	})
}

// A probe that says nothing changes no state, and is not repeated at once.
func TestProbesThatSayNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute+time.Second)
		defer cancel()
		p := health.NewProvider(time.Now)
		p.Bad()
		asked := 0
		p.Run(ctx, 30*time.Second, func(context.Context) {
			asked++
			p.Same()
		})
		require.Equal(t, health.Degraded, p.Condition().GetStatus())
		require.Equal(t, 30, asked, "every two seconds while it is not operational")
	})
}

func TestSilenceAtTheStartIsDownAfterTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := health.NewProvider(time.Now)
		done := make(chan struct{})
		go func() {
			defer close(done)
			p.Run(ctx, time.Hour, func(ctx context.Context) {
				<-ctx.Done()
				<-time.After(time.Minute) // a call that ignores its end
			})
		}()
		time.Sleep(9 * time.Second)
		require.Equal(t, health.Unknown, p.Condition().GetStatus())
		time.Sleep(2 * time.Second)
		require.Equal(t, health.Down, p.Condition().GetStatus())
		cancel()
		<-done
	})
}

func TestRunWithoutProbesWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		p := health.NewProvider(time.Now)
		p.Run(ctx, 0, func(context.Context) { t.Error("asked") })
		require.Equal(t, health.Operational, p.Condition().GetStatus(), "nothing is wrong as far as anybody knows")
	})
}

func TestStateOfAService(t *testing.T) {
	fine := func(context.Context) error { return nil }
	broken := func(context.Context) error { return errors.New("broken") }
	hangs := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	type checks = map[string]func(context.Context) error
	for name, tc := range map[string]struct {
		checks checks
		want   statusv1.Status
	}{
		"no check":                  {nil, health.Operational},
		"all pass":                  {checks{"x.database": fine, "x.write": fine}, health.Operational},
		"the store takes no writes": {checks{"x.database": fine, "x.write": broken}, health.Degraded},
		"the store is away":         {checks{"x.database": broken, "x.write": fine}, health.Down},
		"both":                      {checks{"x.database": broken, "x.write": broken}, health.Down},
		"the store hangs":           {checks{"x.database": hangs, "x.write": fine}, health.Down},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := health.NewService(time.Now, "x.database", func() map[string]func(context.Context) error { return tc.checks })
				got, err := s.Condition(t.Context())
				require.NoError(t, err)
				require.Equal(t, tc.want, got.GetStatus())
			})
		})
	}
}

func TestChecksRunOnceASecondForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ran atomic.Int32
		release := make(chan struct{})
		s := health.NewService(time.Now, "x", func() map[string]func(context.Context) error {
			return map[string]func(context.Context) error{"x": func(context.Context) error { ran.Add(1); <-release; return nil }}
		})
		for range 20 {
			go func() { _, _ = s.Condition(t.Context()) }()
		}
		synctest.Wait()
		require.EqualValues(t, 1, ran.Load())
		left, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := s.Condition(left)
		require.ErrorIs(t, err, context.Canceled, "a caller that left does not wait")
		close(release)
		synctest.Wait()
		require.EqualValues(t, 1, ran.Load())
		time.Sleep(time.Second)
		_, err = s.Condition(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 2, ran.Load())
	})
}
