package connect

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A stream that is refused and a call that looks for a stream do not wait for each other.
func TestStreamsAreRefusedWhileCallsLookForOne(t *testing.T) {
	t.Parallel()
	refused := status.Error(codes.Unimplemented, "no")
	b := newBatcher(nil, "")
	t.Cleanup(b.end)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 5000 {
			l := newLane(b)
			b.open = []*lane{l}
			var both sync.WaitGroup
			both.Go(func() { l.fail(refused) })
			both.Go(func() {
				for range 10 {
					b.mu.Lock()
					b.best(time.Now(), nil)
					b.mu.Unlock()
				}
			})
			both.Wait()
		}
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("they wait for each other")
	}
}

// acceptedLane is a stream that a replica has accepted.
func acceptedLane(t *testing.T, b *batcher, p balancer.Picker) *lane {
	t.Helper()
	own, ok := p.(*picker)
	require.True(t, ok)
	l := newLane(b)
	b.open = append(b.open, l)
	b.choose(own, l.pick)
	l.accepted = true
	return l
}

func TestAStreamGoesToAReplicaWithoutOne(t *testing.T) {
	t.Parallel()
	b := newBatcher(nil, "")
	t.Cleanup(b.end)
	p := (&pickers{}).Build(ready(&connection{}, &connection{}, &connection{}))
	for range 4 {
		old := b.open
		for _, l := range old {
			l.opened = time.Time{}
		}
		chosen := map[*replica]bool{}
		for range 3 {
			chosen[acceptedLane(t, b, p).pick.picked.Load().replica] = true
			picked(t, p, 2) // the third replica has its turn again
		}
		require.Len(t, chosen, 3)
		b.open = b.open[len(old):]
	}
}

// A stream that tries a suspect replica stays open while it waits for the replica, and no further stream is opened for it.
func TestAStreamThatTriesAReplicaStays(t *testing.T) {
	t.Parallel()
	b := newBatcher(nil, "")
	t.Cleanup(b.end)
	p := (&pickers{}).Build(ready(&connection{}, &connection{}))
	good, trying := acceptedLane(t, b, p), acceptedLane(t, b, p)
	trying.accepted = false
	trying.pick.picked.Load().replica.suspect()
	require.Same(t, good, b.lane(nil))
	require.Same(t, good, b.lane(nil))
	require.Equal(t, rankTrying, trying.rank(time.Now()))
	require.Len(t, b.open, 2)

	trying.accepted = true
	require.Same(t, good, b.lane(nil))
	require.Equal(t, rankOver, trying.rank(time.Now()), "a stream whose replica stops to answer is left")
	require.Len(t, b.open, 2, "a suspect replica gets no stream until it is tried again")
}
