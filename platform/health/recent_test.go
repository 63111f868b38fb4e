package health_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"

	statusv1 "github.com/trivet-dev/trivet/gen/go/trivet/status/v1"
	"github.com/trivet-dev/trivet/platform/health"
	"github.com/trivet-dev/trivet/platform/provider"
)

func TestFiguresOfTheWindow(t *testing.T) {
	now := time.Date(2026, 11, 29, 8, 0, 0, 0, time.UTC)
	p := health.NewProvider(func() time.Time { return now })
	require.Empty(t, p.Condition().GetFigures().GetP95Latency())
	require.Equal(t, health.Window, p.Condition().GetFigures().GetWindow().AsDuration())

	figures := func() *statusv1.Figures { return p.Condition().GetFigures() }
	want := func(calls, failures, limited int32) {
		t.Helper()
		require.Equal(t, []int32{calls, failures, limited}, []int32{figures().GetCalls(), figures().GetFailures(), figures().GetRateLimitHits()})
	}
	p.Ended(provider.End{Failed: true, RateLimited: true, Latency: time.Second})
	now = now.Add(health.Window / 2)
	p.Ended(provider.End{Latency: time.Second})
	p.Ended(provider.End{Failed: true, Latency: time.Second})
	want(3, 2, 1)
	now = now.Add(health.Window/2 - time.Second)
	want(3, 2, 1)
	now = now.Add(time.Second)
	want(2, 1, 0)
	now = now.Add(health.Window)
	want(0, 0, 0)
	require.Nil(t, figures().GetP95Latency())

	now = now.Add(-time.Hour) // the clock was set back: what it counted before is in the future
	p.Ended(provider.End{Latency: time.Second})
	want(1, 0, 0)
}

func TestPercentileOfLatencies(t *testing.T) {
	ms := time.Millisecond
	for _, c := range []struct {
		name      string
		latencies map[time.Duration]int
		want      time.Duration
	}{
		{"one call is at the end of its interval", map[time.Duration]int{400 * ms: 1}, 500 * ms},
		{"a bound belongs to the interval below it", map[time.Duration]int{500 * ms: 1}, 500 * ms},
		{"one slow call of 20 is above the percentile", map[time.Duration]int{80 * ms: 19, 20 * time.Second: 1}, 100 * ms},
		{"two slow calls of 20 are not", map[time.Duration]int{80 * ms: 18, 20 * time.Second: 2}, 20 * time.Second},
		{"calls of an interval are spread evenly", map[time.Duration]int{300 * ms: 100}, 487500 * time.Microsecond},
		{"what is above all bounds counts as the last", map[time.Duration]int{time.Hour: 10}, 5 * time.Minute},
		{"zero", map[time.Duration]int{0: 1}, ms},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := health.NewProvider(func() time.Time { return time.Unix(1, 0) })
			for latency, n := range c.latencies {
				for range n {
					p.Ended(provider.End{Latency: latency})
				}
			}
			require.Equal(t, durationpb.New(c.want).AsDuration(), p.Condition().GetFigures().GetP95Latency().AsDuration())
		})
	}
}
