package inbox_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/inbox"
)

// Until the database has answered what time it is, a process takes no event: its clock may be wrong by more than a lease.
func TestNoEventIsTakenBeforeTheClocksWereCompared(t *testing.T) {
	f, way := doubtful(t)
	var asked atomic.Int32
	machine := func() time.Time {
		asked.Add(1)
		return time.Now().Add(-time.Hour)
	}
	in, err := inbox.New(f.db, inbox.Options{Now: func() time.Time { return time.Now().Add(-time.Hour) }, Rand: func() float64 { return 0.999 }})
	require.NoError(t, err)
	in.WithMachineClock(machine)
	times := make(chan time.Time, 1)
	require.NoError(t, in.Handle("s", inbox.Handler{Handle: func(ctx context.Context, j *inbox.Job) error {
		times <- in.Time()
		return apply(ctx, j)
	}}))
	f.put(in, event("a", "x"))
	way.cut.Store(true)
	f.run(in)
	f.eventually(func() bool { return asked.Load() > 2 }, "the time is not asked for again")
	require.Empty(t, times)
	way.cut.Store(false)
	require.Less(t, time.Since(receive(t, times)).Abs(), 30*time.Minute)
	f.await(in, "a", inbox.Done)
}
