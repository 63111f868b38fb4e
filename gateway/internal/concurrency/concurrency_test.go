package concurrency

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBounds(t *testing.T) {
	l := New(3)
	user, key := Caller{Account: "a", User: "u"}, Caller{Account: "a", User: "u", Key: "k"}
	open := func(c Caller, n int) {
		t.Helper()
		for range n {
			require.True(t, l.Open(c))
		}
		require.False(t, l.Open(c), "%v has its bound", c)
	}
	open(user, 3)
	open(key, 3) // a key has a bound of its own
	open(Caller{Account: "a", User: "v"}, 3)
	open(Caller{Account: "a", User: "w"}, 3)
	require.False(t, l.Open(Caller{Account: "a", User: "x"}), "the account has four times the bound")
	require.True(t, l.Open(Caller{Account: "b", User: "x"}), "another account is not affected")
	l.Close(user)
	require.True(t, l.Open(Caller{Account: "a", User: "x"}), "a request has ended")
	require.False(t, l.Open(user), "its place in the account is taken")
}

func TestNoLimit(t *testing.T) {
	l := New(0)
	for range 10_000 {
		require.True(t, l.Open(Caller{Account: "a", User: "u"}))
	}
	l.Close(Caller{Account: "a", User: "u"})
	require.Empty(t, l.callers)
}

// What has ended takes no memory, and concurrent callers never exceed the bound.
func TestManyCallers(t *testing.T) {
	l := New(5)
	var all sync.WaitGroup
	for i := range 50 {
		c := Caller{Account: fmt.Sprint("a", i%3), User: fmt.Sprint("u", i%7)}
		all.Go(func() {
			for range 200 {
				if l.Open(c) {
					l.Close(c)
				}
			}
		})
	}
	all.Wait()
	require.Empty(t, l.callers)
	require.Empty(t, l.accounts)
}
