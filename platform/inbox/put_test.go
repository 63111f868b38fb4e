package inbox_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/inbox"
)

func TestPutStoresOnce(t *testing.T) {
	each(t, func(f *fixture) {
		in := f.open(func(o *inbox.Options) {
			o.Redact = func(e inbox.Event) []byte { return append([]byte("R "), e.Payload...) }
		})
		f.put(in, event("a", "x"))
		begun := f.clock.now()
		f.clock.advance(time.Second)
		other := event("a", "y")
		other.Payload = []byte("other")
		duplicate, err := in.Put(t.Context(), other)
		require.NoError(f, err)
		require.True(f, duplicate)
		other.Source = "s2"
		duplicate, err = in.Put(t.Context(), other)
		require.NoError(f, err)
		require.False(f, duplicate, "an id belongs to its source")

		got := f.get(in, "a")
		require.Positive(f, got.Sequence)
		got.Sequence = 0
		want := event("a", "x")
		want.State, want.Payload = inbox.Pending, []byte(`R {"id":"a"}`)
		require.Equal(f, inbox.Record{Event: want, PutTime: begun, DueTime: begun}, got)
	})
}

func TestConcurrentDuplicatesAreOneEvent(t *testing.T) {
	each(t, func(f *fixture) {
		in := f.handle(inbox.Handler{Handle: apply})
		var fresh atomic.Int32
		var all sync.WaitGroup
		for range 32 {
			all.Go(func() {
				if duplicate, err := in.Put(t.Context(), event("a", "x")); err != nil {
					f.Error(err)
				} else if !duplicate {
					fresh.Add(1)
				}
			})
		}
		all.Wait()
		require.EqualValues(f, 1, fresh.Load())
		f.await(in, "a", inbox.Done)
		require.Equal(f, []string{"a"}, f.effects(""))
	})
}

func TestPutRefusesWhatCantBeStored(t *testing.T) {
	each(t, func(f *fixture) {
		in := f.open(func(o *inbox.Options) { o.MaxPayload = 10 })
		for name, c := range map[string]struct {
			change func(*inbox.Event)
			says   string
		}{
			"no source":    {func(e *inbox.Event) { e.Source = "" }, "Source"},
			"odd source":   {func(e *inbox.Event) { e.Source = "A b" }, "Source"},
			"no id":        {func(e *inbox.Event) { e.ID = "" }, "ID is empty"},
			"long id":      {func(e *inbox.Event) { e.ID = strings.Repeat("x", 256) }, "ID"},
			"NUL":          {func(e *inbox.Event) { e.Type = "a\x00b" }, "Type"},
			"not UTF-8":    {func(e *inbox.Event) { e.Subject = "a\xffb" }, "Subject"},
			"long payload": {func(e *inbox.Event) { e.Payload = make([]byte, 11) }, "11 bytes, the maximum is 10"},
			"odd state":    {func(e *inbox.Event) { e.State = inbox.Done }, "State"},
		} {
			e := inbox.Event{Source: "s", ID: "a"}
			c.change(&e)
			_, err := in.Put(t.Context(), e)
			require.ErrorIs(f, err, inbox.ErrInvalid, name)
			require.ErrorContains(f, err, c.says, name)
		}
		page, err := in.List(t.Context(), inbox.Filter{})
		require.NoError(f, err)
		require.Empty(f, page.Events)
	})
}

func TestDeadAndIgnoredArriveAtTheirEnd(t *testing.T) {
	each(t, func(f *fixture) {
		in := f.handle(inbox.Handler{Handle: apply})
		dead, ignored := event("dead", "x"), event("ignored", "x")
		dead.State, dead.LastError = inbox.Dead, strings.Repeat("é", 600)+"\xff\x00"
		ignored.State, ignored.LastError = inbox.Ignored, "another account's"
		f.put(in, dead, ignored, event("a", "x"))
		f.await(in, "a", inbox.Done)
		got := f.get(in, "dead")
		require.Equal(f, inbox.Dead, got.State)
		require.LessOrEqual(f, len(got.LastError), 1024)
		require.Contains(f, got.LastError, "éé")
		require.Equal(f, f.clock.now(), got.EndTime)
		require.Zero(f, got.DueTime)
		require.Equal(f, inbox.Ignored, f.get(in, "ignored").State)
		require.Equal(f, []string{"a"}, f.effects(""))
	})
}

func TestPutTxIsPartOfTheWrite(t *testing.T) {
	refused := errors.New("refused")
	each(t, func(f *fixture) {
		in := f.handle(inbox.Handler{Handle: apply})
		write := func(id string, then error) error {
			return f.db.Write(t.Context(), "account", func(ctx context.Context, tx database.Tx) error {
				if _, err := in.PutTx(ctx, tx, event(id, "x")); err != nil {
					return err
				}
				return then
			})
		}
		require.ErrorIs(f, write("undone", refused), refused)
		require.NoError(f, write("a", nil))
		f.await(in, "a", inbox.Done) // woken without a poll
		require.NoError(f, write("a", nil), "a duplicate changes nothing")
		_, err := in.Get(t.Context(), "s", "undone")
		require.ErrorIs(f, err, inbox.ErrNotFound)
		require.Equal(f, []string{"a"}, f.effects(""))
	})
}

// TestHandlersPutMore: an effect may put further work, as an outbox does.
func TestHandlersPutMore(t *testing.T) {
	each(t, func(f *fixture) {
		in := f.open()
		require.NoError(f, in.Handle("s", inbox.Handler{Handle: func(ctx context.Context, j *inbox.Job) error {
			return j.Complete(ctx, func(ctx context.Context, tx database.Tx) error {
				_, err := in.PutTx(ctx, tx, inbox.Event{Source: "out", ID: j.ID})
				return err
			})
		}}))
		require.NoError(f, in.Handle("out", inbox.Handler{Handle: apply}))
		f.run(in)
		for _, id := range ids("e", 20) {
			f.put(in, event(id, "x"))
		}
		f.eventually(func() bool { return len(f.effects("")) == 20 }, "not all were handled")
	})
}

func TestPutOnAClosedDatabaseFails(t *testing.T) {
	each(t, func(f *fixture) {
		in := f.open()
		require.NoError(f, f.db.Close(t.Context()))
		_, err := in.Put(t.Context(), event("a", "x"))
		require.True(f, database.IsUnavailable(err), "%v", err)
	})
}

// TestWhatIsOverIsNotReady: workers must not look at what is kept only.
func TestWhatIsOverIsNotReady(t *testing.T) {
	each(t, func(f *fixture) {
		in := f.open()
		for _, state := range []inbox.State{inbox.Dead, inbox.Ignored} {
			e := event(string(state), "x")
			e.State = state
			f.put(in, e)
		}
		var ready int
		require.NoError(f, f.db.Reader().QueryRowContext(t.Context(), "SELECT count(*) FROM inbox_event WHERE ready").Scan(&ready))
		require.Zero(f, ready)
		f.put(in, event("a", "x"))
		require.NoError(f, f.db.Close(t.Context()))
		duplicate, err := in.Put(t.Context(), event("a", "x"))
		require.ErrorIs(f, err, database.ErrClosed)
		require.False(f, duplicate)
	})
}

// TestAResendRedrives: a provider that is asked to send again what died, or what was not ours, gets it handled. What is done,
// or waits, is a duplicate.
func TestAResendRedrives(t *testing.T) {
	each(t, func(f *fixture) {
		in := f.handle(inbox.Handler{Handle: func(ctx context.Context, j *inbox.Job) error {
			if string(j.Payload) == "bad" {
				return inbox.Permanent(errors.New("bad"))
			}
			return apply(ctx, j)
		}}, func(o *inbox.Options) { o.Redact = func(e inbox.Event) []byte { return e.Payload } })
		resend := func(e inbox.Event) inbox.Record {
			duplicate, err := in.Put(t.Context(), e)
			require.NoError(f, err)
			require.True(f, duplicate)
			return f.get(in, e.ID)
		}
		for _, state := range []inbox.State{inbox.Dead, inbox.Ignored} {
			unread := inbox.Event{Source: "s", ID: "was " + string(state), Type: "malformed", Payload: []byte("?"), State: state, LastError: "why"}
			f.put(in, unread)
			require.Equal(f, state, resend(unread).State, "it has come as it was")
			resend(event(unread.ID, "x"))
			r := f.await(in, unread.ID, inbox.Done)
			require.Equal(f, "thing.changed", r.Type)
			require.Equal(f, "x", r.Subject)
			require.JSONEq(f, `{"id":"`+unread.ID+`"}`, string(r.Payload))
			require.Equal(f, 1, r.Attempts)
			resend(event(unread.ID, "y"))
			require.Equal(f, "x", f.get(in, unread.ID).Subject, "what is done stays as it is")
		}
		require.Equal(f, []string{"was dead", "was ignored"}, f.effects("x"))

		bad := event("bad", "x")
		bad.Payload = []byte("bad")
		f.put(in, bad)
		f.await(in, "bad", inbox.Dead)
		resend(bad)
		f.eventually(func() bool { r := f.get(in, "bad"); return r.State == inbox.Dead && len(r.Failures) == 2 }, "it does not die again")
		require.Equal(f, 1, f.get(in, "bad").Attempts, "its attempts begin anew")
		f.clock.advance(365 * 24 * time.Hour)
		_, err := in.Prune(t.Context())
		require.NoError(f, err)
		require.Equal(f, inbox.Dead, f.get(in, "bad").State, "it is not thrown away as what it was before")
	})
}
