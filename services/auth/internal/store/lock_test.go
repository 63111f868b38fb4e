package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/settings"
	"github.com/trivet-dev/trivet/services/auth/internal/apikey"
	"github.com/trivet-dev/trivet/services/auth/internal/directory"
	"github.com/trivet-dev/trivet/services/auth/internal/store"
	"github.com/trivet-dev/trivet/services/auth/internal/store/storetest"
)

// replicas are two processes on one PostgreSQL. SQLite has one process with one writer, so transactions never meet there.
type replicas struct {
	t          *testing.T
	one, other *database.DB
}

func newReplicas(t *testing.T) *replicas {
	t.Helper()
	config := database.Config{URL: settings.NewSecret(databasetest.PostgresURL(t)), Schema: "auth"}
	return &replicas{t: t, one: databasetest.Open(t, config, migrations(t)), other: databasetest.Open(t, config, database.Migrations{})}
}

// act is a write in a transaction.
type act func(ctx context.Context, w *store.Writing) error

// meet runs first in a transaction that commits only when second, in another process, has ended or waits for it; after that
// it runs then, if it is given, in the first transaction. It returns how often the first had to run.
func (r *replicas) meet(first act, second func(s *store.Store) error, then act) (runs int) {
	r.t.Helper()
	a, b := store.New(r.one, time.Now, nil), store.New(r.other, time.Now, nil)
	ended := make(chan error, 1)
	var once sync.Once
	require.NoError(r.t, r.one.Write(r.t.Context(), "first", func(ctx context.Context, tx database.Tx) error {
		runs++
		if err := first(ctx, a.Within(tx)); err != nil {
			return err
		}
		once.Do(func() { go func() { ended <- second(b) }() })
		require.Eventually(r.t, func() bool { return len(ended) > 0 || r.waiting() }, 30*time.Second, time.Millisecond)
		if then == nil {
			return nil
		}
		return then(ctx, a.Within(tx))
	}))
	require.NoError(r.t, <-ended)
	return runs
}

// waiting reports whether a session waits for a lock.
func (r *replicas) waiting() bool {
	var n int
	err := r.other.Reader().QueryRowContext(r.t.Context(),
		"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").Scan(&n)
	return err == nil && n > 0
}

func (r *replicas) count(query string) (n int) {
	r.t.Helper()
	require.NoError(r.t, r.one.Reader().QueryRowContext(r.t.Context(), query).Scan(&n))
	return n
}

// A membership that is written while its user or organization is deleted does not survive, whichever transaction commits first,
// and whether or not the two were known before.
func TestAMembershipIsWrittenWhileItsUserOrOrganizationIsDeleted(t *testing.T) {
	at := storetest.Now()
	m := directory.Membership{OrganizationID: "org_1", UserID: "user_1", Role: "admin", CreateTime: at, UpdateTime: at}
	in := directory.Introduction{UserID: "user_1", Email: "ada@example.test", OrganizationID: "org_1", Role: "admin", At: at}
	join := func(ctx context.Context, w *store.Writing) error { _, err := w.PutMembership(ctx, m); return err }
	ends := map[string]act{
		"organization": func(ctx context.Context, w *store.Writing) error {
			_, err := w.DeleteOrganization(ctx, "org_1", at.Add(time.Second))
			return err
		},
		"user": func(ctx context.Context, w *store.Writing) error {
			_, err := w.DeleteUser(ctx, "user_1", at.Add(time.Second))
			return err
		},
	}
	for name, end := range ends {
		for _, known := range []bool{false, true} {
			setup := func(t *testing.T) *replicas {
				t.Helper()
				r := newReplicas(t)
				if known {
					s := store.New(r.one, time.Now, nil)
					_, err := s.PutOrganization(t.Context(), directory.Organization{ID: "org_1", CreateTime: at, UpdateTime: at})
					require.NoError(t, err)
					_, err = s.PutUser(t.Context(), directory.User{ID: "user_1", CreateTime: at, UpdateTime: at})
					require.NoError(t, err)
				}
				return r
			}
			t.Run(name+map[bool]string{false: " unknown", true: " known"}[known], func(t *testing.T) {
				for order, meet := range map[string]func(r *replicas){
					"joins first": func(r *replicas) {
						r.meet(join, func(s *store.Store) error { return within(t.Context(), r.other, s, end) }, nil)
					},
					"ends first": func(r *replicas) {
						r.meet(end, func(s *store.Store) error { return within(t.Context(), r.other, s, join) }, nil)
					},
					"introduced meanwhile": func(r *replicas) {
						r.meet(end, func(s *store.Store) error { return s.Introduce(t.Context(), in) }, nil)
					},
				} {
					t.Run(order, func(t *testing.T) {
						r := setup(t)
						meet(r)
						require.Zero(t, r.count("SELECT count(*) FROM membership WHERE delete_time IS NULL"))
						if name == "user" {
							require.Zero(t, r.count("SELECT count(*) FROM user_email"))
						}
					})
				}
			})
		}
	}
}

func within(ctx context.Context, db *database.DB, s *store.Store, do act) error {
	return db.Write(ctx, "second", func(ctx context.Context, tx database.Tx) error { return do(ctx, s.Within(tx)) })
}

// A user who joins while the role changes has the new permissions.
func TestAMembershipIsWrittenWhileItsRoleChanges(t *testing.T) {
	at := storetest.Now()
	r := newReplicas(t)
	m := directory.Membership{OrganizationID: "org_1", UserID: "user_1", Role: "admin", CreateTime: at, UpdateTime: at}
	r.meet(
		func(ctx context.Context, w *store.Writing) error { _, err := w.PutMembership(ctx, m); return err },
		func(s *store.Store) error {
			_, err := s.PutRole(t.Context(), directory.Role{ID: "role_1", Name: "admin", Permissions: []string{"org:new:do"}, UpdateTime: at.Add(1)})
			return err
		}, nil)
	got, err := store.New(r.one, time.Now, nil).MembershipState(t.Context(), "org_1", "user_1")
	require.NoError(t, err)
	require.Equal(t, []string{"org:new:do"}, got.Permissions)
}

// Whichever transaction commits first, the membership has ended.
func TestAMembershipIsWrittenWhileItEnds(t *testing.T) {
	at := storetest.Now()
	m := directory.Membership{ID: "orgmem_1", OrganizationID: "org_1", UserID: "user_1", Role: "admin", CreateTime: at, UpdateTime: at}
	join := func(ctx context.Context, w *store.Writing) error { _, err := w.PutMembership(ctx, m); return err }
	end := func(ctx context.Context, w *store.Writing) error {
		_, err := w.EndMembership(ctx, directory.MembershipDeleted{ID: m.ID})
		return err
	}
	for name, acts := range map[string][2]act{"joins first": {join, end}, "ends first": {end, join}} {
		t.Run(name, func(t *testing.T) {
			r := newReplicas(t)
			r.meet(acts[0], func(s *store.Store) error { return within(t.Context(), r.other, s, acts[1]) }, nil)
			require.Zero(t, r.count("SELECT count(*) FROM membership WHERE delete_time IS NULL"))
		})
	}
}

// The ids of ended memberships are deleted when the inbox can no longer have events about them.
func TestEndedIDsAreForgotten(t *testing.T) {
	databasetest.Each(t, migrations(t), func(t *testing.T, db *database.DB) {
		now := storetest.Now()
		s := store.New(db, func() time.Time { return now }, nil)
		left := func() (n int) {
			require.NoError(t, s.Prune(t.Context(), now))
			require.NoError(t, db.Reader().QueryRowContext(t.Context(), "SELECT count(*) FROM ended_membership").Scan(&n))
			return n
		}
		_, err := s.EndMembership(t.Context(), directory.MembershipDeleted{ID: "orgmem_1"})
		require.NoError(t, err)
		now = now.Add(365 * 24 * time.Hour)
		require.Equal(t, 1, left())
		now = now.Add(48 * time.Hour)
		require.Zero(t, left())
	})
}

// TestKeysOfTwoReplicas: the limit of live keys holds exactly, and no key outlives the key that makes it, whichever process
// adds or revokes first.
func TestKeysOfTwoReplicas(t *testing.T) {
	const most = 7
	r := newReplicas(t)
	stores := []*store.Store{store.New(r.one, time.Now, nil), store.New(r.other, time.Now, nil)}
	newKey := func(n int, account, parent string) (apikey.Key, []byte) {
		id := fmt.Sprintf("key_%s_%d", account, n)
		return apikey.Key{ID: id, AccountID: account, UserID: "user_1", ParentID: parent, CreateTime: time.Now()}, []byte(id)
	}
	var made atomic.Int64
	var all sync.WaitGroup
	for n := range 40 {
		all.Go(func() {
			k, hash := newKey(n, "org_1", "")
			err := stores[n%2].AddKey(t.Context(), k, hash, most)
			if err == nil {
				made.Add(1)
			} else if !errors.Is(err, apikey.ErrTooMany) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, most, made.Load())
	require.Equal(t, most, r.count("SELECT count(*) FROM api_key WHERE account_id = 'org_1'"))

	parent, hash := newKey(0, "org_2", "")
	require.NoError(t, stores[0].AddKey(t.Context(), parent, hash, 100))
	for n := range 20 {
		all.Go(func() {
			k, hash := newKey(n+1, "org_2", parent.ID)
			if err := stores[n%2].AddKey(t.Context(), k, hash, 100); err != nil && !errors.Is(err, apikey.ErrParentEnded) {
				t.Error(err)
			}
		})
	}
	require.NoError(t, stores[1].RevokeKey(t.Context(), "org_2", parent.ID, time.Now()))
	all.Wait()
	require.Zero(t, r.count("SELECT count(*) FROM api_key WHERE account_id = 'org_2' AND revoke_time IS NULL"))
}

// Erasing a user and revoking one of the user's keys at the same time does not deadlock.
func TestErasureAndRevocationDoNotDeadlock(t *testing.T) {
	r := newReplicas(t)
	a := store.New(r.one, time.Now, nil)
	require.NoError(t, a.AddKey(t.Context(), apikey.Key{ID: "key_1", AccountID: "user_1", UserID: "user_1", CreateTime: time.Now()}, []byte("hash"), 100))
	begun := 0
	put := func(context.Context, database.Tx, string, time.Time) error { begun++; return nil }
	revoked := r.meet(
		func(ctx context.Context, w *store.Writing) error { return w.TouchKey(ctx, "key_1") },
		func(s *store.Store) error { return s.BeginErasure(t.Context(), "user_1", false, put) },
		func(ctx context.Context, w *store.Writing) error { return w.RevokeSession(ctx, "sess_1") },
	)
	require.Equal(t, 1, revoked, "PostgreSQL ends one of two that wait for each other, and it runs again")
	require.Equal(t, 1, begun)
}

// A tombstone holds no personal data.
func TestTombstonesHoldNothing(t *testing.T) {
	databasetest.Each(t, migrations(t), func(t *testing.T, db *database.DB) {
		s := store.New(db, storetest.Now, nil)
		at := storetest.Now()
		for _, id := range []string{"user_1", "user_2"} {
			_, err := s.PutUser(t.Context(), directory.User{
				ID: id, PrimaryEmail: "ada@example.test", Emails: []string{"ada@example.test", "a@example.test"}, FirstName: "Ada", LastName: "L",
				ImageURL: "https://img.example.test", ExternalID: "x", PublicMetadata: []byte(`{"a":1}`), CreateTime: at, UpdateTime: at,
			})
			require.NoError(t, err)
		}
		_, err := s.DeleteUser(t.Context(), "user_1", at)
		require.NoError(t, err)
		var texts, metadata, emails string
		require.NoError(t, db.Reader().QueryRowContext(t.Context(),
			`SELECT primary_email || first_name || last_name || image_url || external_id, public_metadata, emails FROM app_user WHERE id = 'user_1'`).
			Scan(&texts, &metadata, &emails))
		require.Empty(t, texts)
		require.Equal(t, "{}", metadata)
		require.Equal(t, "[]", emails)
		var addresses int
		require.NoError(t, db.Reader().QueryRowContext(t.Context(), `SELECT count(*) FROM user_email WHERE user_id = 'user_1'`).Scan(&addresses))
		require.Zero(t, addresses)
		require.NoError(t, db.Reader().QueryRowContext(t.Context(), `SELECT count(*) FROM user_email WHERE user_id = 'user_2'`).Scan(&addresses))
		require.Equal(t, 2, addresses)

		_, err = s.PutOrganization(t.Context(), directory.Organization{
			ID: "org_1", Name: "Acme", Slug: "acme", ImageURL: "https://img.example.test", PublicMetadata: []byte(`{"a":1}`), CreateTime: at, UpdateTime: at,
		})
		require.NoError(t, err)
		_, err = s.DeleteOrganization(t.Context(), "org_1", at)
		require.NoError(t, err)
		require.NoError(t, db.Reader().QueryRowContext(t.Context(),
			`SELECT name || slug || image_url, public_metadata FROM organization WHERE id = 'org_1'`).Scan(&texts, &metadata))
		require.Empty(t, texts)
		require.Equal(t, "{}", metadata)
	})
}
