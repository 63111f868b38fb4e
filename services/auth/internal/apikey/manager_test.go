package apikey_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
	"github.com/trivet-dev/trivet/platform/models"
	"github.com/trivet-dev/trivet/platform/paging"
	"github.com/trivet-dev/trivet/services/auth/internal/apikey"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a store that counts writes and can fail.
type memory struct {
	mu     sync.Mutex
	keys   map[string]apikey.Key // by hash
	uses   map[string]apikey.Use
	writes int
	down   error  // of KeyByHash
	full   error  // of NoteUses
	noting func() // called by NoteUses when set
}

func newMemory() *memory {
	return &memory{keys: map[string]apikey.Key{}, uses: map[string]apikey.Use{}}
}

func (m *memory) AddKey(_ context.Context, k apikey.Key, hash []byte, _ int) error {
	m.keys[string(hash)] = k
	return nil
}

func (m *memory) AddKeyOnce(ctx context.Context, k apikey.Key, hash []byte, maxLive int, _ apikey.Once) error {
	return m.AddKey(ctx, k, hash, maxLive)
}

func (m *memory) KeyByHash(_ context.Context, hash []byte) (apikey.Key, error) {
	k, ok := m.keys[string(hash)]
	if !ok {
		return k, apikey.ErrNotFound
	}
	return k, m.down
}

func (m *memory) KeyByID(_ context.Context, _, id string) (apikey.Key, error) {
	for _, k := range m.keys {
		if k.ID == id {
			return k, nil
		}
	}
	return apikey.Key{}, apikey.ErrNotFound
}

func (m *memory) Ancestors(ctx context.Context, id string) ([]apikey.Key, error) {
	k, err := m.KeyByID(ctx, "", id)
	var above []apikey.Key
	for err == nil && k.ParentID != "" {
		if k, err = m.KeyByID(ctx, "", k.ParentID); err == nil {
			above = append(above, k)
		}
	}
	return above, m.down
}

func (m *memory) TakeOverKey(ctx context.Context, account, id, userID, role string) (apikey.Key, error) {
	k, err := m.KeyByID(ctx, account, id)
	k.UserID, k.Role = userID, role
	return k, err
}

func (m *memory) UpdateKey(
	ctx context.Context, account, id, callerID string, decide func(key, caller []apikey.Key) (apikey.Key, error),
) (apikey.Key, error) {
	line := func(id string) []apikey.Key {
		k, err := m.KeyByID(ctx, account, id)
		if err != nil {
			return nil
		}
		above, _ := m.Ancestors(ctx, id)
		return append([]apikey.Key{k}, above...)
	}
	key := line(id)
	if key == nil {
		return apikey.Key{}, apikey.ErrNotFound
	}
	next, err := decide(key, line(callerID))
	if err != nil {
		return apikey.Key{}, err
	}
	for hash, k := range m.keys {
		if k.ID == id {
			m.keys[hash] = next
		}
	}
	return next, nil
}

func (m *memory) Keys(context.Context, string, paging.Cursor, int) ([]apikey.Key, error) {
	return nil, nil
}

func (m *memory) RevokeKey(context.Context, string, string, time.Time) error { return nil }

func (m *memory) NoteUses(ctx context.Context, uses map[string]apikey.Use) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err // as a database would
	}
	m.writes++
	if m.noting != nil {
		m.noting()
	}
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

func manager(t *testing.T, m *memory, secrets ...string) (*apikey.Manager, *apikey.Uses) {
	t.Helper()
	hasher, err := apikey.NewHasher(secrets)
	require.NoError(t, err)
	uses := apikey.NewUses(m, slog.New(slog.DiscardHandler))
	list, err := models.Default()
	require.NoError(t, err)
	return apikey.NewManager(apikey.Options{
		Store: m, Hasher: hasher, Mode: apikey.Live, Uses: uses, Models: list, MaxLive: 100, Now: time.Now,
	}), uses
}

const (
	first  = "11111111111111111111111111111111"
	second = "22222222222222222222222222222222"
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
		k, _ := manager(t, m, first)
		made, secret, err := k.Create(t.Context(), apikey.Maker{AccountID: "a", UserID: "u"}, apikey.Spec{Name: "n", ExpireTime: time.Now().Add(time.Hour)})
		require.NoError(t, err)
		got, err := k.Verify(t.Context(), secret)
		require.NoError(t, err)
		require.Equal(t, apikey.Verified{Key: made}, got)

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
		k, _ := manager(t, m, first)
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

// family makes keys that descend from one another, the oldest first, and returns their secrets.
func family(t *testing.T, k *apikey.Manager, specs ...apikey.Spec) (keys []apikey.Key, secrets []string) {
	t.Helper()
	by := apikey.Maker{AccountID: "a", OrganizationID: "a", UserID: "u"}
	for n, spec := range specs {
		spec.Name, spec.Scopes = "key "+strconv.Itoa(n), []string{apikey.ScopeManageKeys}
		made, secret, err := k.Create(t.Context(), by, spec)
		require.NoError(t, err)
		require.Equal(t, by.APIKeyID, made.ParentID)
		keys, secrets = append(keys, made), append(secrets, secret)
		by.APIKeyID = made.ID
	}
	return keys, secrets
}

func TestAKeyEndsWithItsAncestors(t *testing.T) {
	for name, end := range map[string]func(*apikey.Key){
		"revoked":                          func(k *apikey.Key) { k.RevokeTime = time.Now() },
		"revoked by a clock that is ahead": func(k *apikey.Key) { k.RevokeTime = time.Now().Add(time.Minute) },
		"expired":                          func(k *apikey.Key) { k.ExpireTime = time.Now() },
		"revoked before it expires": func(k *apikey.Key) {
			k.RevokeTime, k.ExpireTime = time.Now(), time.Now().Add(time.Hour)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for ended := range 3 {
					m := newMemory()
					k, _ := manager(t, m, first)
					keys, secrets := family(t, k, make([]apikey.Spec, 4)...)
					for hash, key := range m.keys {
						if key.ID == keys[ended].ID {
							end(&key)
							m.keys[hash] = key
						}
					}
					for n, secret := range secrets {
						got, err := k.Verify(t.Context(), secret)
						if n > ended {
							requireRefused(t, apikey.VerdictParent, err)
							continue
						}
						require.Equal(t, n == ended, err != nil)
						if err == nil {
							require.Len(t, got.Ancestors, n)
						}
					}
					_, err := k.TakeOver(t.Context(), apikey.Maker{AccountID: "a", UserID: "boss"}, keys[3].ID)
					require.ErrorIs(t, err, apikey.ErrEnded)
					_, err = k.TakeOver(t.Context(), apikey.Maker{AccountID: "a", UserID: "boss"}, keys[ended].ID)
					require.ErrorIs(t, err, apikey.ErrEnded)
				}
			})
		})
	}
}

func TestAKeyWhoseAncestorsCannotBeReadHasNoVerdict(t *testing.T) {
	m := newMemory()
	k, _ := manager(t, m, first)
	_, secrets := family(t, k, apikey.Spec{}, apikey.Spec{})
	m.down = errors.New("down")
	_, err := k.Verify(t.Context(), secrets[1])
	require.ErrorIs(t, err, m.down)
	m.down = nil
	for hash, key := range m.keys {
		if key.ParentID == "" {
			delete(m.keys, hash)
		}
	}
	_, err = k.Verify(t.Context(), secrets[1])
	requireRefused(t, apikey.VerdictParent, err)
}

func TestTheFirstEndOfAFamilyCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		k, _ := manager(t, m, first)
		early, late := time.Now().Add(time.Minute), time.Now().Add(time.Hour)
		_, secrets := family(t, k, apikey.Spec{ExpireTime: late}, apikey.Spec{ExpireTime: early}, apikey.Spec{ExpireTime: early})
		for n, want := range []time.Time{late, early, early} {
			got, err := k.Verify(t.Context(), secrets[n])
			require.NoError(t, err)
			require.True(t, got.End().Equal(want), n)
		}
		for hash, key := range m.keys { // as no key can be made today, but older versions may have
			if key.ParentID != "" {
				key.ExpireTime = time.Time{}
				m.keys[hash] = key
			}
		}
		got, err := k.Verify(t.Context(), secrets[2])
		require.NoError(t, err)
		require.True(t, got.End().Equal(late))
	})
}

func TestAFamilyHasABound(t *testing.T) {
	k, _ := manager(t, newMemory(), first)
	keys, _ := family(t, k, make([]apikey.Spec, 9)...)
	_, _, err := k.Create(t.Context(), apikey.Maker{AccountID: "a", UserID: "u", APIKeyID: keys[8].ID},
		apikey.Spec{Name: "n", Scopes: []string{apikey.ScopeManageKeys}})
	require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, errs.ReasonOf(err))
	require.Contains(t, err.Error(), "at most 8")
}

func TestOnlyAPersonTakesOver(t *testing.T) {
	k, _ := manager(t, newMemory(), first)
	keys, _ := family(t, k, apikey.Spec{})
	for _, by := range []apikey.Maker{{AccountID: "a", UserID: "boss", APIKeyID: "key_x"}, {AccountID: "a", UserID: "boss", ActorID: "user_x"}} {
		_, err := k.TakeOver(t.Context(), by, keys[0].ID)
		require.Equal(t, errorsv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, errs.ReasonOf(err))
	}
	_, err := k.TakeOver(t.Context(), apikey.Maker{AccountID: "a", UserID: "boss"}, "key_none")
	require.ErrorIs(t, err, apikey.ErrNotFound)
	got, err := k.TakeOver(t.Context(), apikey.Maker{AccountID: "a", UserID: "boss", Role: "admin"}, keys[0].ID)
	require.NoError(t, err)
	require.Equal(t, "boss", got.UserID)
	require.Equal(t, "admin", got.Role, "the role of the new owner, not of the old one")
}

// Uses that cannot be written wait, and still count against the bound.
func TestUsesThatWaitAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.full = errors.New("disk full")
		uses := apikey.NewUses(m, slog.New(slog.DiscardHandler))
		used := func(from int) {
			for n := range 10_000 {
				uses.Note(apikey.Key{ID: strconv.Itoa(from + n)}, apikey.Use{At: time.Now()})
			}
		}
		m.noting = func() { used(10_000) }
		used(0)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { uses.Run(ctx); close(ended) }()
		time.Sleep(20 * time.Second)
		m.mu.Lock()
		m.full, m.noting = nil, nil
		m.mu.Unlock()
		stop()
		<-ended
		require.Equal(t, 10_000, len(m.uses)) //nolint:testifylint // Len would print them all
	})
}

// Memory is bounded for any number of keys that are used between two flushes.
func TestUsesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		uses := apikey.NewUses(m, slog.New(slog.DiscardHandler))
		for n := range 10_010 {
			uses.Note(apikey.Key{ID: strconv.Itoa(n)}, apikey.Use{At: time.Now()})
		}
		later := time.Now().Add(time.Second)
		uses.Note(apikey.Key{ID: "1"}, apikey.Use{At: later})
		ctx, stop := context.WithCancel(t.Context())
		stop()
		uses.Run(ctx)
		require.Len(t, m.uses, 10_000)
		require.True(t, m.uses["1"].At.Equal(later), "known keys are updated when it is full")
		require.NotContains(t, m.uses, "10005")
	})
}

func TestServerSecretRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		old, _ := manager(t, m, first)
		made, secret, err := old.Create(t.Context(), apikey.Maker{AccountID: "a", UserID: "u"}, apikey.Spec{Name: "n"})
		require.NoError(t, err)
		both, uses := manager(t, m, second, first)
		_, err = both.Verify(t.Context(), secret)
		require.NoError(t, err)
		ctx, stop := context.WithCancel(t.Context())
		stop()
		uses.Run(ctx) // writes once more at its end
		require.NotEmpty(t, m.uses[made.ID].Hash, "hashed again under the newest secret")
		onlyNew, _ := manager(t, m, second)
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
		k, uses := manager(t, m, first)
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
