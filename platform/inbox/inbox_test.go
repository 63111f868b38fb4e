package inbox_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/inbox"
)

func TestMain(m *testing.M) {
	if os.Getenv(childURL) != "" {
		os.Exit(child(context.Background(), os.Stdout))
	}
	goleak.VerifyTestMain(m)
}

// schema is the inbox and, beside it, a table where handlers leave what they did, in order.
var schema = database.Migrations{Service: "inbox", FS: withEffects(inbox.Migrations().FS)}

func withEffects(files fs.FS) fs.FS {
	all := fstest.MapFS{
		"sqlite/00099_effect.sql":   {Data: []byte("-- +goose Up\nCREATE TABLE effect (n INTEGER PRIMARY KEY, source TEXT, subject TEXT, event TEXT);\n")},
		"postgres/00099_effect.sql": {Data: []byte("-- +goose Up\nCREATE TABLE effect (n BIGINT GENERATED ALWAYS AS IDENTITY, source TEXT, subject TEXT, event TEXT);\n")},
	}
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(files, name)
		all[name] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil {
		panic(err)
	}
	return all
}

// each runs test on both databases.
func each(t *testing.T, test func(f *fixture)) {
	t.Helper()
	var url string
	databasetest.Each(t, schema, func(t *testing.T, db *database.DB) {
		test(&fixture{T: t, db: db, url: url, clock: newClock()})
	}, func(c *database.Config) { url = c.URL.Reveal() })
}

type fixture struct {
	*testing.T
	db    *database.DB
	url   string
	clock *clock
	// beforeStop is called when the test ends, before the inboxes are stopped: a failed test must not leave handlers hanging.
	beforeStop []func()
}

// clock is a time that stands still unless it is moved.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// half is a random number that isn't.
func half() float64 { return 0.5 }

// open makes an inbox whose polling never comes to help.
func (f *fixture) open(change ...func(*inbox.Options)) *inbox.Inbox {
	f.Helper()
	// Without heartbeats: a handler that hangs is as good as one whose process died.
	options := inbox.Options{
		Now: f.clock.now, Rand: half, PollInterval: time.Hour, Grace: 10 * time.Second, Lease: time.Minute, Heartbeat: time.Minute - 1,
	}
	for _, c := range change {
		c(&options)
	}
	in, err := inbox.New(f.db, options)
	require.NoError(f, err)
	return in
}

// run runs an inbox until stop is called, or the test ends.
func (f *fixture) run(in *inbox.Inbox) (stop func()) {
	f.Helper()
	ctx, cancel := context.WithCancel(f.Context())
	done := make(chan error, 1)
	go func() { done <- in.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(f, <-done)
	})
	f.Cleanup(func() {
		for _, release := range f.beforeStop {
			release()
		}
		stop()
	})
	return stop
}

// handle opens and runs an inbox with one handler for the source "s".
func (f *fixture) handle(h inbox.Handler, change ...func(*inbox.Options)) *inbox.Inbox {
	f.Helper()
	in := f.open(change...)
	require.NoError(f, in.Handle("s", h))
	f.run(in)
	return in
}

// event is an event of the source "s".
func event(id, subject string) inbox.Event {
	return inbox.Event{Source: "s", ID: id, Type: "thing.changed", Subject: subject, Payload: []byte(`{"id":"` + id + `"}`)}
}

func (f *fixture) put(in *inbox.Inbox, events ...inbox.Event) {
	f.Helper()
	for _, e := range events {
		duplicate, err := in.Put(f.Context(), e)
		require.NoError(f, err)
		require.False(f, duplicate)
	}
}

// apply completes a job with its event as the effect.
func apply(ctx context.Context, j *inbox.Job) error { return j.Complete(ctx, effect(j)) }

func effect(j *inbox.Job) func(ctx context.Context, tx database.Tx) error {
	return func(ctx context.Context, tx database.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO effect (source, subject, event) VALUES ($1, $2, $3)", j.Source, j.Subject, j.ID)
		return err
	}
}

// effects lists the applied events of a subject ("" for all) in order.
func (f *fixture) effects(subject string) (events []string) {
	f.Helper()
	rows, err := f.db.Reader().QueryContext(f.Context(), "SELECT event FROM effect WHERE $1 = '' OR subject = $1 ORDER BY n", subject)
	require.NoError(f, err)
	defer rows.Close()
	for rows.Next() {
		var e string
		require.NoError(f, rows.Scan(&e))
		events = append(events, e)
	}
	require.NoError(f, rows.Err())
	return events
}

func (f *fixture) get(in *inbox.Inbox, id string) inbox.Record {
	f.Helper()
	r, err := in.Get(f.Context(), "s", id)
	require.NoError(f, err)
	return r
}

// await waits until an event is in a state.
func (f *fixture) await(in *inbox.Inbox, id string, state inbox.State) inbox.Record {
	f.Helper()
	var r inbox.Record
	f.eventually(func() bool {
		r = f.get(in, id)
		return r.State == state
	}, "%s is not %s", id, state)
	return r
}

func (f *fixture) eventually(ok func() bool, message string, args ...any) {
	f.Helper()
	require.Eventually(f, ok, 30*time.Second, time.Millisecond, append([]any{message}, args...)...)
}

// receive takes a value that a handler sends.
func receive[T any](t testing.TB, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(30 * time.Second):
		t.Fatal("nothing came")
	}
	return v
}

func ids(prefix string, n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("%s%d", prefix, i))
	}
	return list
}
