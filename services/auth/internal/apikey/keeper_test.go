package apikey_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/trivet-dev/trivet/services/auth/internal/apikey"
	"github.com/trivet-dev/trivet/services/auth/internal/page"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a store that counts writes and fails as told.
type memory struct {
	mu     sync.Mutex
	keys   map[string]apikey.Key // by hash
	uses   map[string]apikey.Use
	writes int
	down   error // of KeyByHash
	full   error // of NoteUses
}

func newMemory() *memory {
	return &memory{keys: map[string]apikey.Key{}, uses: map[string]apikey.Use{}}
}

func (m *memory) AddKey(_ context.Context, k apikey.Key, hash []byte) error {
	m.keys[string(hash)] = k
	return nil
}

func (m *memory) KeyByHash(_ context.Context, hash []byte) (apikey.Key, error) {
	k, ok := m.keys[string(hash)]
	if !ok {
		return k, apikey.ErrNotFound
	}
	return k, m.down
}

func (m *memory) KeyByID(context.Context, string, string) (apikey.Key, error) {
	return apikey.Key{}, apikey.ErrNotFound
}

func (m *memory) Keys(context.Context, string, page.Cursor, int) ([]apikey.Key, error) {
	return nil, nil
}

func (m *memory) RevokeKey(context.Context, string, string, time.Time) error { return nil }

func (m *memory) NoteUses(_ context.Context, uses map[string]apikey.Use) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writes++
	if m.full != nil {
		return m.full
	}
	maps.Copy(m.uses, uses)
	return nil
}

func (m *memory) seen(id string) (writes int, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.writes, m.uses[id].At
}

func (m *memory) fill(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.full = err
}

func keeper(t *testing.T, m *memory, secrets ...string) (*apikey.Keeper, *apikey.Uses) {
	t.Helper()
	hasher, err := apikey.NewHasher(secrets)
	require.NoError(t, err)
	uses := apikey.NewUses(m, slog.New(slog.DiscardHandler))
	return apikey.NewKeeper(m, hasher, apikey.Live, uses, time.Now), uses
}

var (
	first  = strings.Repeat("1", 32) //nolint:gochecknoglobals // a constant
	second = strings.Repeat("2", 32) //nolint:gochecknoglobals // a constant
)

func requireRefused(t *testing.T, want apikey.Verdict, err error) {
	t.Helper()
	var refusal *apikey.Refusal
	require.ErrorAs(t, err, &refusal)
	require.Equal(t, want, refusal.Verdict)
}

func TestVerify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		k, _ := keeper(t, m, first)
		made, secret, err := k.Create(t.Context(), apikey.Maker{AccountID: "a", UserID: "u"}, apikey.Spec{Name: "n", ExpireTime: time.Now().Add(time.Hour)})
		require.NoError(t, err)
		got, err := k.Verify(t.Context(), secret)
		require.NoError(t, err)
		require.Equal(t, made, got)

		_, other, err := k.Create(t.Context(), apikey.Maker{AccountID: "a", UserID: "u"}, apikey.Spec{Name: "n"})
		require.NoError(t, err)
		clear(m.keys)
		_, err = k.Verify(t.Context(), other)
		requireRefused(t, apikey.VerdictUnknown, err)
	})
}

func TestExpiryAndRevocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		k, _ := keeper(t, m, first)
		_, secret, err := k.Create(t.Context(), apikey.Maker{AccountID: "a", UserID: "u"}, apikey.Spec{Name: "n", ExpireTime: time.Now().Add(time.Minute)})
		require.NoError(t, err)
		time.Sleep(time.Minute - 1)
		_, err = k.Verify(t.Context(), secret)
		require.NoError(t, err)
		time.Sleep(time.Nanosecond)
		_, err = k.Verify(t.Context(), secret)
		requireRefused(t, apikey.VerdictExpired, err)
		for hash, key := range m.keys {
			key.RevokeTime = time.Now()
			m.keys[hash] = key
		}
		_, err = k.Verify(t.Context(), secret)
		requireRefused(t, apikey.VerdictRevoked, err)
		m.down = errors.New("down")
		_, err = k.Verify(t.Context(), secret)
		require.ErrorIs(t, err, m.down, "no verdict without the store")
	})
}

func TestServerSecretRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		old, _ := keeper(t, m, first)
		made, secret, err := old.Create(t.Context(), apikey.Maker{AccountID: "a", UserID: "u"}, apikey.Spec{Name: "n"})
		require.NoError(t, err)
		both, uses := keeper(t, m, second, first)
		_, err = both.Verify(t.Context(), secret)
		require.NoError(t, err)
		ctx, stop := context.WithCancel(t.Context())
		stop()
		uses.Run(ctx) // writes once more at its end
		require.NotEmpty(t, m.uses[made.ID].Hash, "hashed again under the newest secret")
		onlyNew, _ := keeper(t, m, second)
		_, err = onlyNew.Verify(t.Context(), secret)
		requireRefused(t, apikey.VerdictUnknown, err)
		m.keys[string(m.uses[made.ID].Hash)] = made
		_, err = onlyNew.Verify(t.Context(), secret)
		require.NoError(t, err)
	})
}

func TestUsesAreWrittenLazily(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		k, uses := keeper(t, m, first)
		made, secret, err := k.Create(t.Context(), apikey.Maker{AccountID: "a", UserID: "u"}, apikey.Spec{Name: "n"})
		require.NoError(t, err)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { uses.Run(ctx); close(ended) }()
		for range 1000 {
			_, err := k.Verify(t.Context(), secret)
			require.NoError(t, err)
		}
		writes, _ := m.seen(made.ID)
		require.Zero(t, writes)
		time.Sleep(16 * time.Second)
		writes, last := m.seen(made.ID)
		require.Equal(t, 1, writes, "one write for a thousand uses")

		m.fill(errors.New("disk full"))
		_, err = k.Verify(t.Context(), secret)
		require.NoError(t, err)
		time.Sleep(time.Minute)
		m.fill(nil)
		time.Sleep(16 * time.Second)
		_, later := m.seen(made.ID)
		require.True(t, later.After(last), "what could not be written is not lost")

		time.Sleep(time.Second)
		_, err = k.Verify(t.Context(), secret)
		require.NoError(t, err)
		stop()
		<-ended
		_, end := m.seen(made.ID)
		require.True(t, end.After(later), "and once more at the end")
	})
}
