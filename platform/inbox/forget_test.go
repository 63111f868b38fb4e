package inbox_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/inbox"
)

// payload reads what is stored of an event.
func (f *fixture) payload(source, id string) string {
	f.Helper()
	var raw []byte
	require.NoError(f, f.db.Read().QueryRowContext(f.Context(),
		"SELECT payload FROM inbox_payload WHERE seq = (SELECT seq FROM inbox_event WHERE source = $1 AND id = $2)", source, id).Scan(&raw))
	return string(raw)
}

func TestForgetErasesPayloads(t *testing.T) {
	each(t, func(f *fixture) {
		in := f.open()
		put := func(source, id, subject string, state inbox.State) {
			e := event(id, subject)
			e.Source, e.State = source, state
			f.put(in, e)
		}
		put("s", "dead", "alice", inbox.Dead)
		put("s", "ignored", "alice", inbox.Ignored)
		put("s", "pending", "alice", inbox.Pending)
		put("s", "bob", "bob", inbox.Dead)
		put("other", "dead", "alice", inbox.Dead)
		require.NoError(f, f.db.Write(t.Context(), "x", func(ctx context.Context, tx database.Tx) error {
			return inbox.ForgetSubject(ctx, tx, "s", "alice")
		}))
		require.Equal(f, "{}", f.payload("s", "dead"))
		require.Equal(f, "{}", f.payload("s", "ignored"))
		require.JSONEq(f, `{"id":"pending"}`, f.payload("s", "pending"), "its handler still needs it")
		require.JSONEq(f, `{"id":"bob"}`, f.payload("s", "bob"))
		require.JSONEq(f, `{"id":"dead"}`, f.payload("other", "dead"))

		require.NoError(f, f.db.Write(t.Context(), "x", func(ctx context.Context, tx database.Tx) error {
			require.NoError(f, inbox.ForgetEvent(ctx, tx, "s", "unknown"))
			return inbox.ForgetEvent(ctx, tx, "s", "pending")
		}))
		require.Equal(f, "{}", f.payload("s", "pending"))
		require.JSONEq(f, `{"id":"bob"}`, f.payload("s", "bob"))
	})
}
