package inbox_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/platform/settings"
)

const (
	// childURL makes the test's program a process that puts and handles events in that database until it is killed.
	childURL = "INBOX_TEST_CHILD_URL"
	// childRound is part of its events' ids.
	childRound = "INBOX_TEST_CHILD_ROUND"
	// childFrozen makes it a process that holds one event until it gets a line.
	childFrozen = "INBOX_TEST_CHILD_FROZEN"
	putters     = 16
)

// child tells of each event that was acknowledged.
func child(ctx context.Context, acknowledged io.Writer) int {
	err := func() error {
		db, err := database.Open(ctx, database.Config{URL: settings.NewSecret(os.Getenv(childURL)), Schema: schema.Service, Beside: true})
		if err != nil {
			return err
		}
		if os.Getenv(childFrozen) != "" {
			return holdOne(ctx, db, acknowledged)
		}
		in, err := inbox.New(db, inbox.Options{Lease: time.Second, Backoff: inbox.Backoff{Base: time.Millisecond}})
		if err != nil {
			return err
		}
		if err := in.Handle("s", inbox.Handler{Handle: faulty}); err != nil {
			return err
		}
		var all sync.WaitGroup
		for p := range putters {
			all.Go(func() { putForEver(ctx, in, p, acknowledged) })
		}
		defer all.Wait()
		return in.Run(ctx)
	}()
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// faulty applies events, one of ten only the second time.
func faulty(ctx context.Context, j *inbox.Job) error {
	if rand.IntN(10) == 0 {
		return errors.New("not this time")
	}
	return apply(ctx, j)
}

func putForEver(ctx context.Context, in *inbox.Inbox, putter int, acknowledged io.Writer) {
	for n := 0; ; n++ {
		id := fmt.Sprintf("%s-%d-%d", os.Getenv(childRound), putter, n)
		if _, err := in.Put(ctx, event(id, fmt.Sprint(putter))); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return
		}
		fmt.Fprintln(acknowledged, id) // one write: lines do not mix
	}
}

// TestKill kills processes while they put and handle events. What they had acknowledged is applied exactly once, in order.
// INBOX_TEST_KILLS says how often (default 4 times for each database).
func TestKill(t *testing.T) {
	kills := 4
	if n, err := strconv.Atoi(os.Getenv("INBOX_TEST_KILLS")); err == nil {
		kills = n
	}
	each(t, func(f *fixture) {
		var acknowledged []string
		for round := range kills {
			acknowledged = append(acknowledged, f.killedAfter(round, 100+rand.IntN(500))...)
		}
		in, err := inbox.New(f.db, inbox.Options{Now: func() time.Time { return time.Now().Add(time.Hour) }}) // leases have run out
		require.NoError(f, err)
		require.NoError(f, in.Handle("s", inbox.Handler{Handle: apply}))
		f.run(in)
		for left := f.left(in); left > 0; {
			before := left
			f.eventually(func() bool { left = f.left(in); return left < before }, "%d events are not handled", before)
		}

		applied := map[string]int{}
		for putter := range putters {
			last := [2]int{-1, -1}
			for _, id := range f.effects(fmt.Sprint(putter)) {
				applied[id]++
				var at [2]int
				_, err := fmt.Sscanf(id, fmt.Sprintf("%%d-%d-%%d", putter), &at[0], &at[1])
				require.NoError(f, err)
				require.True(f, at[0] > last[0] || at[0] == last[0] && at[1] == last[1]+1, "%s came after %v", id, last)
				last = at
			}
		}
		for _, id := range acknowledged {
			require.Equal(f, 1, applied[id], "%s was acknowledged", id)
		}
		t.Logf("%d kills, %d events acknowledged, %d applied", kills, len(acknowledged), len(applied))
	})
}

// left is how many events are not at their end.
func (f *fixture) left(in *inbox.Inbox) (n int64) {
	f.Helper()
	counts, err := in.Counts(f.Context())
	require.NoError(f, err)
	for _, c := range counts {
		n += c.Events
	}
	return n
}

// killedAfter runs a process until it has acknowledged some events, kills it, and returns what it acknowledged.
func (f *fixture) killedAfter(round, events int) (acknowledged []string) {
	f.Helper()
	process := exec.CommandContext(f.Context(), os.Args[0])
	process.Env = append(os.Environ(), childURL+"="+f.url, childRound+"="+strconv.Itoa(round))
	var trouble strings.Builder
	process.Stderr = &trouble
	out, err := process.StdoutPipe()
	require.NoError(f, err)
	require.NoError(f, process.Start())
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if acknowledged = append(acknowledged, lines.Text()); len(acknowledged) == events {
			require.NoError(f, process.Process.Kill())
		}
	}
	require.Error(f, process.Wait())
	require.GreaterOrEqual(f, len(acknowledged), events, "it ended by itself: %s", trouble.String())
	return acknowledged
}
