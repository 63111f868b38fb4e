package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/platform/paging"
)

func TestListFiltersAndPages(t *testing.T) {
	each(t, func(f *fixture) {
		in := f.open()
		for i := range 7 {
			e := event(fmt.Sprint(i), fmt.Sprint("subject", i%2))
			if i >= 5 {
				e.Source, e.Type = "s2", "other.changed"
			}
			if i == 3 {
				e.State = inbox.Dead
			}
			if i == 4 {
				e.State = inbox.Ignored
			}
			f.put(in, e)
			f.clock.advance(time.Second)
		}
		list := func(filter inbox.Filter) string {
			var got []string
			for pages := 0; ; pages++ {
				page, err := in.List(t.Context(), filter)
				require.NoError(f, err)
				require.LessOrEqual(f, pages, 7)
				for _, r := range page.Events {
					require.Empty(f, r.Payload)
					got = append(got, r.ID)
				}
				if filter.PageToken = page.NextPageToken; filter.PageToken == "" {
					return strings.Join(got, "")
				}
			}
		}
		require.Equal(f, "6543210", list(inbox.Filter{}))
		for size := int32(1); size < 9; size++ {
			require.Equal(f, "43210", list(inbox.Filter{Source: "s", PageSize: size}))
		}
		require.Equal(f, "65", list(inbox.Filter{Type: "other.changed"}))
		require.Equal(f, "531", list(inbox.Filter{Subject: "subject1", PageSize: 2}))
		require.Equal(f, "654", list(inbox.Filter{Since: f.clock.now().Add(-3 * time.Second)}))
		for state, want := range map[inbox.State]string{
			inbox.Pending: "65210", inbox.Dead: "3", inbox.Ignored: "4", inbox.Done: "", inbox.Leased: "",
		} {
			require.Equal(f, want, list(inbox.Filter{State: state, PageSize: 3}), state)
		}
		require.Equal(f, "20", list(inbox.Filter{Source: "s", State: inbox.Pending, Subject: "subject0", Type: "thing.changed"}))
		require.Empty(f, list(inbox.Filter{Source: "' OR 1=1 --"}))

		for _, token := range []string{"x", "!", "MS4h", "Mi4x", "MS4"} {
			_, err := in.List(t.Context(), inbox.Filter{PageToken: token})
			require.ErrorIs(f, err, paging.ErrToken, token)
		}
		first, err := in.List(t.Context(), inbox.Filter{Source: "s", PageSize: 1})
		require.NoError(f, err)
		_, err = in.List(t.Context(), inbox.Filter{Source: "s", State: inbox.Dead, PageToken: first.NextPageToken})
		require.ErrorIs(f, err, paging.ErrToken, "a token of another filter")
		odd := paging.List{Name: "inbox events", Filters: []string{"", "", "", "", strconv.FormatInt(time.Time{}.UnixMicro(), 10)}}
		_, err = in.List(t.Context(), inbox.Filter{PageToken: odd.Token(paging.Cursor{ID: "abc"})})
		require.ErrorIs(f, err, paging.ErrToken, "a token without a sequence")
		page, err := in.List(t.Context(), inbox.Filter{PageSize: 1 << 30})
		require.NoError(f, err)
		require.Len(f, page.Events, 7, "a size above the maximum is the maximum")
		_, err = in.List(t.Context(), inbox.Filter{State: "odd"})
		require.ErrorContains(f, err, "State")
	})
}

func TestGetShowsOnlyWhatRedactLeaves(t *testing.T) {
	each(t, func(f *fixture) {
		plain := f.open()
		f.put(plain, event("a", "x"))
		require.Nil(f, f.get(plain, "a").Payload, "nothing unless asked for")
		redacting := f.open(func(o *inbox.Options) {
			o.Redact = func(e inbox.Event) []byte {
				require.JSONEq(f, `{"id":"a"}`, string(e.Payload))
				return []byte(e.Type)
			}
		})
		require.Equal(f, "thing.changed", string(f.get(redacting, "a").Payload))
		_, err := plain.Get(t.Context(), "s", "b")
		require.ErrorIs(f, err, inbox.ErrNotFound)
	})
}

func TestRedrive(t *testing.T) {
	each(t, func(f *fixture) {
		var mended atomic.Bool
		in := f.handle(inbox.Handler{MaxAttempts: 1, Handle: func(ctx context.Context, j *inbox.Job) error {
			if !mended.Load() && j.Subject != "fine" {
				return errors.New("not fixed yet")
			}
			return apply(ctx, j)
		}})
		f.put(in, event("a", "x"), event("b", "x"), event("c", "y"), event("d", "fine"))
		for _, id := range []string{"a", "b", "c"} {
			f.await(in, id, inbox.Dead)
		}
		f.await(in, "d", inbox.Done)

		n, skipped, err := in.Redrive(t.Context(), "s", []string{"unknown", "a", "d", "a"})
		require.NoError(f, err)
		require.EqualValues(f, 1, n, "done events stay as they are")
		require.Equal(f, []string{"d", "unknown"}, skipped)
		f.eventually(func() bool { r := f.get(in, "a"); return r.State == inbox.Dead && r.Attempts == 1 }, "it does not die again")

		mended.Store(true)
		n, err = in.RedriveAll(t.Context(), "another source")
		require.NoError(f, err)
		require.Zero(f, n)
		n, err = in.RedriveAll(t.Context(), "s")
		require.NoError(f, err)
		require.EqualValues(f, 3, n)
		for _, id := range []string{"a", "b", "c"} {
			r := f.await(in, id, inbox.Done)
			require.Equal(f, 1, r.Attempts)
			require.Empty(f, r.LastError)
			require.Equal(f, "not fixed yet", r.Failures[0].Error, "what was wrong stays visible")
		}
		require.Equal(f, []string{"a", "b"}, f.effects("x"))
	})
}

// TestRedriveKeepsToItsSource: ids are unique within a source only.
func TestRedriveKeepsToItsSource(t *testing.T) {
	each(t, func(f *fixture) {
		in := f.open()
		for _, source := range []string{"s", "s2"} {
			e := event("a", "x")
			e.Source, e.State, e.LastError = source, inbox.Dead, "why"
			f.put(in, e)
		}
		f.clock.advance(time.Second)
		n, skipped, err := in.Redrive(t.Context(), "s", []string{"a"})
		require.NoError(f, err)
		require.EqualValues(f, 1, n)
		require.Empty(f, skipped)
		r := f.get(in, "a")
		require.Equal(f, inbox.Pending, r.State)
		require.Zero(f, r.EndTime)
		require.Equal(f, f.clock.now(), r.DueTime)
		other, err := in.Get(t.Context(), "s2", "a")
		require.NoError(f, err)
		require.Equal(f, inbox.Dead, other.State)
		require.Equal(f, f.clock.now().Add(-time.Second), other.EndTime)
	})
}

// TestRedriveAllTakesEachOnce although all die again at once.
func TestRedriveAllTakesEachOnce(t *testing.T) {
	each(t, func(f *fixture) {
		var attempts atomic.Int32
		in := f.handle(inbox.Handler{MaxAttempts: 1, Handle: func(context.Context, *inbox.Job) error {
			attempts.Add(1)
			return errors.New("still not")
		}})
		const events = 450
		for _, id := range ids("e", events) {
			e := event(id, id)
			e.State = inbox.Dead
			f.put(in, e)
		}
		n, err := in.RedriveAll(t.Context(), "s")
		require.NoError(f, err)
		require.EqualValues(f, events, n)
		f.eventually(func() bool {
			counts, err := in.Counts(t.Context())
			require.NoError(f, err)
			return len(counts) == 1 && counts[0].State == inbox.Dead && counts[0].Events == events
		}, "they do not die again")
		require.EqualValues(f, events, attempts.Load())
	})
}

func TestCounts(t *testing.T) {
	each(t, func(f *fixture) {
		h := f.hung()
		in := f.handle(inbox.Handler{Handle: h.handle})
		begun := f.clock.now()
		f.put(in, event("a", "x"))
		receive(t, h.entered)
		f.clock.advance(time.Second)
		dead := event("c", "x")
		dead.State = inbox.Dead
		other := event("d", "x")
		other.Source = "s2"
		f.put(in, event("b", "x"), event("b2", "x"), dead, other)
		counts, err := in.Counts(t.Context())
		require.NoError(f, err)
		later := begun.Add(time.Second)
		require.Equal(f, []inbox.Count{
			{Source: "s", State: inbox.Dead, Events: 1, Oldest: later},
			{Source: "s", State: inbox.Leased, Events: 1, Oldest: begun},
			{Source: "s", State: inbox.Pending, Events: 2, Oldest: later},
			{Source: "s2", State: inbox.Pending, Events: 1, Oldest: later},
		}, counts)
		h.release()
	})
}

// TestRetention: first the payloads go, then the rows; what is not at its end, or dead, stays.
func TestRetention(t *testing.T) {
	each(t, func(f *fixture) {
		in := f.open(func(o *inbox.Options) {
			o.Redact = func(e inbox.Event) []byte { return e.Payload }
			o.Retention, o.PayloadRetention = 100*time.Hour, 10*time.Hour
		})
		require.NoError(f, in.Handle("s", inbox.Handler{MaxAttempts: 1, Handle: func(ctx context.Context, j *inbox.Job) error {
			if j.ID == "dead" {
				return errors.New("no")
			}
			return apply(ctx, j)
		}}))
		require.NoError(f, in.Handle("short", inbox.Handler{Handle: apply, Retention: time.Hour}))
		stop := f.run(in)
		ignored, short := event("ignored", "x"), event("short", "x")
		ignored.State = inbox.Ignored
		short.Source = "short"
		f.put(in, short, ignored, event("dead", "x"))
		const done = 450 // more than two batches
		for _, id := range ids("e", done) {
			f.put(in, event(id, id))
		}
		f.await(in, "dead", inbox.Dead)
		f.eventually(func() bool { return len(f.effects("")) == done+1 }, "not all were handled")
		stop()
		f.put(in, event("pending", "x"))

		prune := func(after time.Duration) int64 {
			f.clock.advance(after)
			n, err := in.Prune(t.Context())
			require.NoError(f, err)
			return n
		}
		require.Zero(f, prune(time.Hour-time.Microsecond))
		require.EqualValues(f, 1, prune(time.Microsecond))
		_, err := in.Get(t.Context(), "short", "short")
		require.ErrorIs(f, err, inbox.ErrNotFound)

		require.NotEmpty(f, f.get(in, "e0").Payload)
		require.EqualValues(f, done+1, prune(9*time.Hour))
		require.Empty(f, f.get(in, "e0").Payload)
		require.Equal(f, inbox.Done, f.get(in, "e0").State)
		duplicate, err := in.Put(t.Context(), event("e0", "x"))
		require.NoError(f, err)
		require.True(f, duplicate, "still known")
		require.Zero(f, prune(0))

		require.EqualValues(f, done+1, prune(90*time.Hour))
		page, err := in.List(t.Context(), inbox.Filter{})
		require.NoError(f, err)
		require.Equal(f, []string{"pending", "dead"}, listed(page.Events))
		require.NotEmpty(f, f.get(in, "dead").Payload, "an operator may still want it")
		var payloads int
		require.NoError(f, f.db.Reader().QueryRowContext(t.Context(), "SELECT count(*) FROM inbox_payload").Scan(&payloads))
		require.Equal(f, 2, payloads)
	})
}

func listed(records []inbox.Record) (list []string) {
	for r := range slices.Values(records) {
		list = append(list, r.ID)
	}
	return list
}

func TestOptionsAreChecked(t *testing.T) {
	each(t, func(f *fixture) {
		_, err := inbox.New(nil, inbox.Options{})
		require.ErrorContains(f, err, "database")
		_, err = inbox.New(f.db, inbox.Options{Workers: -1, Backoff: inbox.Backoff{Base: time.Hour, Cap: time.Minute}, PayloadRetention: 40 * 24 * time.Hour})
		require.ErrorContains(f, err, "Workers is -1")
		require.ErrorContains(f, err, "Backoff.Cap is 1m0s")
		require.ErrorContains(f, err, "Retention is 720h0m0s, must be at least 960h0m0s")
		_, err = inbox.New(f.db, inbox.Options{Lease: time.Second, Heartbeat: time.Second})
		require.ErrorContains(f, err, "Lease is 1s, must be at least 1.000000001s")
		in := f.open()
		require.ErrorContains(f, in.Handle("s", inbox.Handler{}), "nil")
		require.ErrorContains(f, in.Handle("S", inbox.Handler{Handle: apply}), "Source")
		require.NoError(f, in.Handle("s", inbox.Handler{Handle: apply}))
		require.ErrorContains(f, in.Handle("s", inbox.Handler{Handle: apply}), "already")
	})
}
