package inbox_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/platform/settings"
)

// other opens a fixture on the same database as another process would: connections of its own, the same clock.
func (f *fixture) other() *fixture {
	f.Helper()
	db := databasetest.Open(f, database.Config{URL: settings.NewSecret(f.url), Schema: schema.Service, Synchronous: "NORMAL"}, database.Migrations{})
	return &fixture{T: f.T, db: db, url: f.url, clock: f.clock}
}

// TestOtherProcessesAreWoken: what a process can't handle itself, another takes without polling (it would poll in an hour).
func TestOtherProcessesAreWoken(t *testing.T) {
	url := databasetest.PostgresURL(t)
	db := databasetest.Open(t, database.Config{URL: settings.NewSecret(url), Schema: schema.Service}, schema)
	f := &fixture{T: t, db: db, url: url, clock: newClock()}
	g := f.other()

	h := f.hung()
	full := f.handle(inbox.Handler{Handle: h.handle}, one)
	f.put(full, event("a", "x"))
	receive(t, h.entered) // its only worker is busy now

	elsewhere := g.open()
	require.NoError(t, elsewhere.Handle("s", inbox.Handler{Handle: apply}))
	require.NoError(t, elsewhere.Handle("only-elsewhere", inbox.Handler{Handle: apply}), "no handler for it in the first")
	g.run(elsewhere)

	f.put(full, event("b", "y"))
	f.await(full, "b", inbox.Done)
	f.put(full, inbox.Event{Source: "only-elsewhere", ID: "c"})
	f.eventually(func() bool {
		r, err := full.Get(t.Context(), "only-elsewhere", "c")
		require.NoError(t, err)
		return r.State == inbox.Done
	}, "nobody was told")
	h.release()
}

// TestPollIsTheNet: an event without a signal, as after a crash between commit and notification, or from another
// process on the same SQLite file.
func TestPollIsTheNet(t *testing.T) {
	each(t, func(f *fixture) {
		in := f.handle(inbox.Handler{Handle: apply}, func(o *inbox.Options) { o.PollInterval = 10 * time.Millisecond })
		f.settled(in)
		silent := f.open() // it does not run, so it tells nobody
		f.put(silent, event("a", "x"))
		f.await(in, "a", inbox.Done)
	})
}

// TestServerRestarts: outcomes and claims outlast a database that goes away for a moment.
func TestServerRestarts(t *testing.T) {
	server := databasetest.NewServer(t, false)
	db := databasetest.Open(t, database.Config{URL: settings.NewSecret(server.NewDatabase(t)), Schema: schema.Service}, schema)
	f := &fixture{T: t, db: db, clock: newClock()}
	h := f.hung()
	in := f.open(func(o *inbox.Options) { o.PollInterval = 50 * time.Millisecond })
	require.NoError(t, in.Handle("s", inbox.Handler{Handle: func(ctx context.Context, j *inbox.Job) error {
		if j.ID == "a" && j.Attempts == 1 {
			return h.handle(ctx, j)
		}
		return apply(ctx, j)
	}}))
	f.run(in)
	f.put(in, event("a", "x"), event("b", "x"))
	receive(t, h.entered)
	server.Stop()
	h.release()
	require.True(t, database.IsUnavailable(receive(t, h.result)))
	require.NoError(t, server.Start())
	// The failed attempt is recorded as soon as the server is back: no lease has to run out.
	f.eventually(func() bool { r, err := in.Get(t.Context(), "s", "a"); return err == nil && r.State == inbox.Pending }, "not recorded")
	f.clock.advance(time.Second)
	in.Wake()
	f.await(in, "b", inbox.Done)
	require.Equal(t, []string{"a", "b"}, f.effects(""))
}
