package inbox_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/inbox"
)

// holdOne says when it handles an event, applies it when it gets a line, and says how that ended.
func holdOne(ctx context.Context, db *database.DB, out io.Writer) error {
	in, err := inbox.New(db, inbox.Options{})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	err = in.Handle("s", inbox.Handler{Handle: func(_ context.Context, j *inbox.Job) error {
		defer stop()
		_, _ = fmt.Fprintln(out, "entered")
		if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
			return err
		}
		err := apply(context.Background(), j)
		_, _ = fmt.Fprintln(out, "ended:", err)
		return err
	}})
	if err != nil {
		return err
	}
	return in.Run(ctx)
}

// TestAFrozenProcessHoldsNoEvent freezes a process while it handles an event. Its lease ends within 3 s, another process applies the event, and the
// frozen one cannot when it continues.
func TestAFrozenProcessHoldsNoEvent(t *testing.T) {
	each(t, func(f *fixture) {
		other, err := inbox.New(f.db, inbox.Options{})
		require.NoError(f, err)
		require.NoError(f, other.Handle("s", inbox.Handler{Handle: apply}))
		f.put(other, event("a", "x"), event("b", "x"))
		process := exec.CommandContext(f.Context(), os.Args[0])
		process.Env = append(os.Environ(), childURL+"="+f.url, childFrozen+"=1")
		process.Stderr = f.Output()
		in, err := process.StdinPipe()
		require.NoError(f, err)
		out, err := process.StdoutPipe()
		require.NoError(f, err)
		require.NoError(f, process.Start())
		lines := bufio.NewScanner(out)
		require.True(f, lines.Scan())
		require.Equal(f, "entered", lines.Text())
		require.NoError(f, process.Process.Signal(syscall.SIGSTOP))
		require.False(f, f.due("x").After(time.Now().Add(3*time.Second)), "the lease is longer")

		f.run(other)
		f.await(other, "b", inbox.Done)
		require.Equal(f, 2, f.get(other, "a").Attempts)

		require.NoError(f, process.Process.Signal(syscall.SIGCONT))
		_, err = fmt.Fprintln(in)
		require.NoError(f, err)
		require.True(f, lines.Scan())
		require.Equal(f, "ended: "+inbox.ErrLeaseLost.Error(), lines.Text())
		_ = process.Wait() // whatever its exit status
		require.Equal(f, []string{"a", "b"}, f.effects("x"))
	})
}

// TestClocksOfProcessesMayDiffer: a process whose machine's clock is wrong by more than a lease takes no lease of another that works, and no
// other takes its own. All processes of a SQLite file are on one machine, which has one clock.
func TestClocksOfProcessesMayDiffer(t *testing.T) {
	for _, wrong := range []time.Duration{time.Minute, -time.Minute} {
		t.Run(wrong.String(), func(t *testing.T) {
			each(t, func(f *fixture) {
				if f.db.Dialect() != database.Postgres {
					return
				}
				machine := func() time.Time { return time.Now().Add(wrong) }
				h := f.hung()
				handle := func(ctx context.Context, j *inbox.Job) error {
					if j.Subject == "quick" {
						return apply(ctx, j)
					}
					return h.handle(ctx, j)
				}
				start := func(source string, now func() time.Time) *inbox.Inbox {
					in, err := inbox.New(f.db, inbox.Options{Now: now, Lease: 30 * time.Second})
					require.NoError(f, err)
					in.WithMachineClock(now)
					require.NoError(f, in.Handle("s", inbox.Handler{Handle: handle}))
					require.NoError(f, in.Handle(source, inbox.Handler{Handle: handle}))
					f.run(in)
					return in
				}
				// claims has each process look for work, by an event that no other may handle.
				claims := func(in *inbox.Inbox, source string) {
					f.put(in, inbox.Event{Source: source, ID: "q", Type: "thing.changed", Subject: "quick", Payload: []byte("{}")})
					f.eventually(func() bool {
						r, err := in.Get(f.Context(), source, "q")
						return err == nil && r.State == inbox.Done
					}, "%s is not handled", source)
				}
				right := start("right", time.Now)
				f.put(right, event("a", "x"))
				receive(t, h.entered)
				other := start("wrong", machine)
				claims(other, "wrong")
				f.put(other, event("b", "y"))
				receive(t, h.entered)
				claims(right, "right")
				for id, subject := range map[string]string{"a": "x", "b": "y"} {
					require.Equal(f, 1, f.get(right, id).Attempts, "%s was taken from another that works", id)
					require.Less(f, time.Until(f.due(subject)).Abs(), 45*time.Second, "the lease is by the server's clock")
				}
				require.Less(f, time.Until(other.Time()).Abs(), 30*time.Second)
				h.release()
				require.NoError(f, receive(t, h.result))
				require.NoError(f, receive(t, h.result))
			})
		})
	}
}
