package provider

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fixedBreaker returns a breaker and the clock that it reads.
func fixedBreaker(failures int) (*breaker, *time.Time) {
	now := time.Unix(1000, 0)
	return newBreaker(Breaker{Failures: failures}, func() time.Time { return now }), &now
}

func (b *breaker) calls(t *testing.T, r result, n int) {
	t.Helper()
	for range n {
		p, _, ok := b.acquire()
		require.True(t, ok)
		b.done(p, r)
	}
}

func (b *breaker) refuses(t *testing.T, wait time.Duration) {
	t.Helper()
	_, got, ok := b.acquire()
	require.False(t, ok)
	require.Equal(t, wait, got)
	require.Equal(t, wait, b.wait())
}

func TestBreakerOpensAndCloses(t *testing.T) {
	b, now := fixedBreaker(3)
	b.calls(t, bad, 2)
	require.Equal(t, Closed, b.state())
	b.calls(t, bad, 1)
	require.Equal(t, Open, b.state())
	b.refuses(t, 5*time.Second)
	*now = now.Add(5*time.Second - 1)
	b.refuses(t, 1)
	*now = now.Add(1)
	require.Equal(t, HalfOpen, b.state())
	trial, _, ok := b.acquire()
	require.True(t, ok)
	b.refuses(t, 5*time.Second) // the end of the trial is awaited
	require.Equal(t, HalfOpen, b.state())
	b.done(trial, bad)
	b.refuses(t, 10*time.Second) // twice as long
	*now = now.Add(10 * time.Second)
	b.calls(t, bad, 1)
	b.refuses(t, 20*time.Second)
	*now = now.Add(20 * time.Second)
	b.calls(t, good, 1)
	require.Equal(t, Closed, b.state())
	b.calls(t, bad, 3)
	b.refuses(t, 5*time.Second) // the pause begins anew
}

func TestBreakerPauseIsBounded(t *testing.T) {
	b, now := fixedBreaker(1)
	b.calls(t, bad, 1)
	for range 10 {
		*now = now.Add(b.wait())
		b.calls(t, bad, 1)
	}
	b.refuses(t, time.Minute)
}

func TestATrialWhoseCallerLeavesSaysNothing(t *testing.T) {
	b, now := fixedBreaker(1)
	b.calls(t, bad, 1)
	*now = now.Add(5 * time.Second)
	b.calls(t, neither, 1)
	require.Equal(t, HalfOpen, b.state(), "the next call tries")
	b.calls(t, good, 1)
	require.Equal(t, Closed, b.state())
}

func TestBreakerNeedsHalfOfTheCallsToFail(t *testing.T) {
	b, _ := fixedBreaker(3)
	b.calls(t, good, 5)
	b.calls(t, bad, 4)
	require.Equal(t, Closed, b.state(), "4 of 9")
	b.calls(t, bad, 1)
	require.Equal(t, Open, b.state(), "5 of 10")
}

func TestBreakerForgetsOldCalls(t *testing.T) {
	b, now := fixedBreaker(3)
	b.calls(t, bad, 2)
	*now = now.Add(10 * time.Second) // the window before this one still counts
	b.calls(t, bad, 1)
	require.Equal(t, Open, b.state())

	b, now = fixedBreaker(3)
	b.calls(t, bad, 2)
	*now = now.Add(20 * time.Second)
	b.calls(t, bad, 2)
	require.Equal(t, Closed, b.state())
	b.calls(t, neither, 50)
	b.calls(t, bad, 1)
	require.Equal(t, Open, b.state(), "calls that say nothing do not count")
}

// A call that began before a change of state says nothing about the state after it.
func TestLateResultsDoNotCount(t *testing.T) {
	b, now := fixedBreaker(1)
	early, _, _ := b.acquire()
	b.calls(t, bad, 1)
	*now = now.Add(5 * time.Second)
	trial, _, ok := b.acquire()
	require.True(t, ok)
	b.done(early, good)
	require.Equal(t, HalfOpen, b.state())
	b.done(trial, good)
	b.done(early, bad)
	require.Equal(t, Closed, b.state())
}

// A stream counts as good with its head, and once more if it breaks.
func TestAStreamThatBreaksCountsAsBad(t *testing.T) {
	b, _ := fixedBreaker(2)
	for range 2 {
		p, _, _ := b.acquire()
		b.done(p, good)
		p = b.passed()
		b.done(p, good)
		require.Equal(t, Closed, b.state())
	}
	for range 2 {
		b.done(b.passed(), bad)
	}
	require.Equal(t, Open, b.state(), "2 of 2 calls failed in the end")
}
