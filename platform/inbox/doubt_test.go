package inbox_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/platform/settings"
)

// lossy is a way to PostgreSQL that can lose the answer to a commit: the commit took place, and its caller is not told.
type lossy struct {
	network, address string
	lose             atomic.Bool // the answer to the next commit
	lost             atomic.Int32
	cut              atomic.Bool // nothing is answered
}

// throughLossy returns an address of the database that leads through a lossy way.
func throughLossy(t *testing.T, to string) (*lossy, string) {
	t.Helper()
	at, err := url.Parse(to)
	require.NoError(t, err)
	l := &lossy{network: "tcp", address: at.Host}
	query := at.Query()
	if folder := query.Get("host"); folder != "" {
		port := query.Get("port")
		if port == "" {
			port = "5432"
		}
		l.network, l.address = "unix", folder+"/.s.PGSQL."+port
		query.Del("host")
		query.Del("port")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() { l.serve(client) })
		}
	})
	t.Cleanup(func() { _ = listener.Close(); all.Wait() })
	query.Set("sslmode", "disable")
	at.Host, at.RawQuery = listener.Addr().String(), query.Encode()
	return l, at.String()
}

func (l *lossy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial(l.network, l.address)
	if err != nil {
		return
	}
	defer server.Close()
	var losing atomic.Bool
	var both sync.WaitGroup
	both.Go(func() {
		pump(server, client, func(chunk []byte) bool {
			if bytes.Contains(chunk, []byte("commit\x00")) && l.lose.CompareAndSwap(true, false) {
				losing.Store(true)
			}
			return true
		})
		_ = server.Close()
	})
	pump(client, server, func(chunk []byte) bool {
		if losing.Load() && bytes.Contains(chunk, []byte("COMMIT\x00")) {
			l.lost.Add(1)
			return false
		}
		return !l.cut.Load()
	})
	_ = client.Close()
	_ = server.Close()
	both.Wait()
}

// pump copies until an end, or until look says no.
func pump(to io.Writer, from io.Reader, look func(chunk []byte) bool) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil || !look(buffer[:n]) {
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// doubtful opens an inbox over a lossy way. Its clock stands still, so nothing is found by a lease that runs out.
func doubtful(t *testing.T) (*fixture, *lossy) {
	t.Helper()
	way, at := throughLossy(t, databasetest.PostgresURL(t))
	db := databasetest.Open(t, database.Config{URL: settings.NewSecret(at), Schema: schema.Service, Lanes: 1}, schema)
	return &fixture{T: t, db: db, url: at, clock: newClock()}, way
}

func TestAClaimInDoubtIsWorkedOn(t *testing.T) {
	f, way := doubtful(t)
	in := f.open()
	require.NoError(t, in.Handle("s", inbox.Handler{Handle: apply}))
	f.put(in, event("a", "x"), event("b", "y"))
	way.lose.Store(true)
	f.run(in)
	f.await(in, "a", inbox.Done)
	f.await(in, "b", inbox.Done)
	require.EqualValues(t, 1, way.lost.Load(), "the claim's commit was in doubt")
	require.Len(t, f.effects(""), 2)
}

func TestAnOutcomeInDoubtDoesNotHoldUpItsSubject(t *testing.T) {
	for name, handle := range map[string]func(ctx context.Context, j *inbox.Job) error{
		"nothing to commit": func(context.Context, *inbox.Job) error { return nil },
		"an effect":         apply,
	} {
		t.Run(name, func(t *testing.T) {
			f, way := doubtful(t)
			var runs sync.Map
			in := f.open()
			require.NoError(t, in.Handle("s", inbox.Handler{Handle: func(ctx context.Context, j *inbox.Job) error {
				count, _ := runs.LoadOrStore(j.ID, &atomic.Int32{})
				count.(*atomic.Int32).Add(1) //nolint:forcetypeassert // the test's own
				way.lose.Store(j.ID == "a" && way.lost.Load() == 0)
				err := handle(ctx, j)
				if errors.Is(err, database.ErrCommitUnknown) {
					require.Equal(t, "a", j.ID)
				}
				return err
			}}))
			f.put(in, event("a", "x"), event("b", "x"), event("c", "x"))
			f.run(in)
			for _, id := range []string{"a", "b", "c"} {
				f.await(in, id, inbox.Done)
				count, _ := runs.Load(id)
				require.EqualValues(t, 1, count.(*atomic.Int32).Load(), id) //nolint:forcetypeassert // the test's own
			}
			require.EqualValues(t, 1, way.lost.Load())
			if name == "an effect" {
				require.Equal(t, []string{"a", "b", "c"}, f.effects("x"), "each once, in order")
			}
		})
	}
}

// While payloads cannot be read, attempts do not count and do not follow each other without a pause.
func TestAnUnreadablePayloadPausesTheEvent(t *testing.T) {
	each(t, func(f *fixture) {
		rename := func(from, to string) {
			require.NoError(f, f.db.Write(t.Context(), "", func(ctx context.Context, tx database.Tx) error {
				_, err := tx.ExecContext(ctx, "ALTER TABLE "+from+" RENAME TO "+to)
				return err
			}))
		}
		handled := make(chan string, 1)
		in := f.open(func(o *inbox.Options) { o.Backoff.Base = 7 * time.Second })
		require.NoError(f, in.Handle("s", inbox.Handler{Handle: func(_ context.Context, j *inbox.Job) error {
			handled <- string(j.Payload)
			return nil
		}}))
		f.put(in, event("a", "x"))
		rename("inbox_payload", "hidden")
		f.run(in)
		f.eventually(func() bool {
			r := f.get(in, "a")
			return r.State == inbox.Pending && r.DueTime.Equal(f.clock.now().Add(7*time.Second))
		}, "it is not given back with a pause")
		require.Zero(f, f.get(in, "a").Attempts, "the handler has not run")
		require.Empty(f, handled)
		rename("hidden", "inbox_payload")
		f.clock.advance(7 * time.Second)
		in.Wake()
		require.JSONEq(f, `{"id":"a"}`, receive(f, handled))
		f.await(in, "a", inbox.Done)
	})
}
