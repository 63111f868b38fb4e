package store

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/idempotency"
	"github.com/trivet-dev/trivet/platform/paging"
	"github.com/trivet-dev/trivet/services/auth/internal/apikey"
	"github.com/trivet-dev/trivet/services/auth/internal/revocation"
	"github.com/trivet-dev/trivet/services/auth/internal/store/db"
)

var _ apikey.Store = (*Store)(nil)

// AddKey stores a new key.
func (s *Store) AddKey(ctx context.Context, k apikey.Key, hash []byte, maxLive int) error {
	return s.addKey(ctx, k, hash, maxLive, func(context.Context, *db.Queries) error { return nil })
}

// AddKeyOnce stores a new key with the idempotency key of its request.
func (s *Store) AddKeyOnce(ctx context.Context, k apikey.Key, hash []byte, maxLive int, once apikey.Once) error {
	return s.addKey(ctx, k, hash, maxLive, func(ctx context.Context, q *db.Queries) error { return s.takeCreationKey(ctx, q, k, once) })
}

// takeCreationKey stores an idempotency key, unless it made another key. The account's keys are locked. It also deletes what is
// too old to count.
func (s *Store) takeCreationKey(ctx context.Context, q *db.Queries, k apikey.Key, once apikey.Once) error {
	now := s.now()
	made, err := q.GetCreationKey(ctx, once.Key)
	if err == nil {
		err = once.CheckRepeated(made.APIKeyID, made.RequestDigest, toTime(made.CreateTime), now)
	} else if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	if err != nil {
		return err
	}
	if err := q.DeleteCreationKeys(ctx, micros(now.Add(-idempotency.Kept))); err != nil {
		return err
	}
	return q.AddCreationKey(ctx, db.AddCreationKeyParams{ID: once.Key, RequestDigest: once.RequestDigest, APIKeyID: k.ID, CreateTime: micros(now)})
}

// addKey stores a new key after first, which may refuse it.
func (s *Store) addKey(ctx context.Context, k apikey.Key, hash []byte, maxLive int, first func(context.Context, *db.Queries) error) error {
	scopes, err := encode(k.Scopes)
	if err != nil {
		return err
	}
	models, err := encode(k.Models)
	if err != nil {
		return err
	}
	return s.writeKeys(ctx, k.AccountID, func(ctx context.Context, q *db.Queries) error {
		if err := first(ctx, q); err != nil {
			return err
		}
		if err := s.checkKey(ctx, q, k, maxLive); err != nil {
			return err
		}
		return q.AddAPIKey(ctx, db.AddAPIKeyParams{
			ID: k.ID, Hash: hash, Prefix: k.Prefix, Name: k.Name, AccountID: k.AccountID, OrganizationID: k.OrganizationID,
			UserID: k.UserID, Role: k.Role, Scopes: scopes, Models: models, SpendLimitNanoUSD: k.SpendLimitNanoUSD,
			SpendPeriodSeconds: int64(k.SpendPeriod / time.Second), RequestsPerMinute: k.RequestsPerMinute,
			CreateTime: micros(k.CreateTime), ExpireTime: nullMicros(k.ExpireTime), ParentID: k.ParentID,
			RequestsPerDay: k.RequestsPerDay, TokensPerMinute: k.TokensPerMinute, ConcurrentStreams: k.ConcurrentStreams,
		})
	})
}

// writeKeys changes an account's keys. It locks them, so that the keys which fn reads cannot change before the commit.
func (s *Store) writeKeys(ctx context.Context, accountID string, fn func(ctx context.Context, q *db.Queries) error) error {
	return s.write(ctx, accountID, func(ctx context.Context, q *db.Queries) error {
		if s.database.Dialect() == database.Postgres {
			if err := q.LockKeys(ctx, accountID); err != nil {
				return err
			}
		}
		return fn(ctx, q)
	})
}

// checkKey decides whether a key may be added now: there is room for it, and the keys that it descends from still work.
func (s *Store) checkKey(ctx context.Context, q *db.Queries, k apikey.Key, maxLive int) error {
	live, err := q.CountLiveAPIKeys(ctx, db.CountLiveAPIKeysParams{AccountID: k.AccountID, Now: nullMicros(s.now())})
	if err != nil {
		return err
	}
	if live >= int64(maxLive) {
		return apikey.ErrTooMany
	}
	if k.ParentID == "" {
		return nil
	}
	above, err := line(ctx, q, k.AccountID, k.ParentID)
	if err != nil {
		return err
	}
	for _, key := range above {
		if end := key.End(); !end.IsZero() && (!key.RevokeTime.IsZero() || !s.now().Before(end)) {
			return apikey.ErrParentEnded
		}
	}
	return k.Within(above)
}

// line returns a key of an account and the keys that it descends from, in a transaction.
func line(ctx context.Context, q *db.Queries, accountID, id string) ([]apikey.Key, error) {
	row, err := q.GetAPIKey(ctx, db.GetAPIKeyParams{ID: id, AccountID: accountID})
	if err != nil {
		return nil, notFound(err, apikey.ErrNotFound)
	}
	above, err := q.ListAPIKeyAncestors(ctx, id)
	if err != nil {
		return nil, err
	}
	return each(append([]db.APIKey{row}, above...), apiKey)
}

// KeyByHash finds a key by its hash.
func (s *Store) KeyByHash(ctx context.Context, hash []byte) (apikey.Key, error) {
	row, err := s.read.GetAPIKeyByHash(ctx, hash)
	if err != nil {
		return apikey.Key{}, notFound(err, apikey.ErrNotFound)
	}
	return apiKey(row)
}

// KeyByID finds a key of an account.
func (s *Store) KeyByID(ctx context.Context, accountID, id string) (apikey.Key, error) {
	row, err := s.read.GetAPIKey(ctx, db.GetAPIKeyParams{ID: id, AccountID: accountID})
	if err != nil {
		return apikey.Key{}, notFound(err, apikey.ErrNotFound)
	}
	return apiKey(row)
}

// Keys pages through an account's keys.
func (s *Store) Keys(ctx context.Context, accountID string, after paging.Cursor, limit int) ([]apikey.Key, error) {
	at, id := newest(after)
	rows, err := s.read.ListAPIKeys(ctx, db.ListAPIKeysParams{
		AccountID: accountID, BeforeTime: micros(at), BeforeID: id, PageSize: int64(limit),
	})
	if err != nil {
		return nil, err
	}
	return each(rows, apiKey)
}

// Ancestors returns the keys that a key descends from, its parent first.
func (s *Store) Ancestors(ctx context.Context, id string) ([]apikey.Key, error) {
	rows, err := s.read.ListAPIKeyAncestors(ctx, id)
	if err != nil {
		return nil, err
	}
	return each(rows, apiKey)
}

// RevokeKey revokes a key with the keys that it made, and tells every replica.
func (s *Store) RevokeKey(ctx context.Context, accountID, id string, at time.Time) error {
	return s.changeTree(ctx, accountID, id, func(ctx context.Context, q *db.Queries) ([]string, error) {
		return q.RevokeAPIKeyTree(ctx, db.RevokeAPIKeyTreeParams{ID: id, AccountID: accountID, RevokeTime: nullMicros(at)})
	})
}

// TakeOverKey gives a key, with the keys that it made, another owner, and tells every replica.
func (s *Store) TakeOverKey(ctx context.Context, accountID, id, userID, role string) (apikey.Key, error) {
	err := s.changeTree(ctx, accountID, id, func(ctx context.Context, q *db.Queries) ([]string, error) {
		return q.TakeOverAPIKeyTree(ctx, db.TakeOverAPIKeyTreeParams{ID: id, AccountID: accountID, UserID: userID, Role: role})
	})
	if err != nil {
		return apikey.Key{}, err
	}
	key, err := s.KeyByID(ctx, accountID, id)
	if err == nil && !key.RevokeTime.IsZero() {
		return apikey.Key{}, apikey.ErrEnded // it was revoked meanwhile, and changed nothing
	}
	return key, err
}

// UpdateKey changes the name and the limits of a key as decide says, and tells every replica.
func (s *Store) UpdateKey(
	ctx context.Context, accountID, id, callerID string, decide func(key, caller []apikey.Key) (apikey.Key, error),
) (apikey.Key, error) {
	err := s.changeTree(ctx, accountID, id, func(ctx context.Context, q *db.Queries) ([]string, error) {
		key, err := line(ctx, q, accountID, id)
		if err != nil {
			return nil, err
		}
		var caller []apikey.Key
		if callerID != "" {
			if caller, err = line(ctx, q, accountID, callerID); err != nil {
				return nil, err
			}
		}
		next, err := decide(key, caller)
		if err != nil {
			return nil, err
		}
		return updateKey(ctx, q, key[0], next)
	})
	if err != nil {
		return apikey.Key{}, err
	}
	return s.KeyByID(ctx, accountID, id)
}

// updateKey writes what changed of a key and returns the keys whose limits replicas must read again: the key and all that
// descend from it, because passports carry the limits of the keys above, too.
func updateKey(ctx context.Context, q *db.Queries, key, next apikey.Key) ([]string, error) {
	err := q.UpdateAPIKey(ctx, db.UpdateAPIKeyParams{
		ID: key.ID, AccountID: key.AccountID, Name: next.Name, RequestsPerMinute: next.RequestsPerMinute, RequestsPerDay: next.RequestsPerDay,
		TokensPerMinute: next.TokensPerMinute, ConcurrentStreams: next.ConcurrentStreams,
	})
	if err != nil || next.Limits == key.Limits {
		return nil, err
	}
	return q.CapAPIKeyTree(ctx, db.CapAPIKeyTreeParams{
		ID: key.ID, AccountID: key.AccountID, RequestsPerMinute: next.RequestsPerMinute, RequestsPerDay: next.RequestsPerDay,
		TokensPerMinute: next.TokensPerMinute, ConcurrentStreams: next.ConcurrentStreams,
	})
}

// changeTree changes a key and those that it made. The revocations come last: see addRevocation.
func (s *Store) changeTree(
	ctx context.Context, accountID, id string, change func(ctx context.Context, q *db.Queries) ([]string, error),
) error {
	var changed []string
	err := s.writeKeys(ctx, accountID, func(ctx context.Context, q *db.Queries) (err error) {
		if changed, err = change(ctx, q); err != nil {
			return err
		}
		for _, id := range changed {
			if err := s.addRevocation(ctx, q, revocation.Revocation{APIKeyID: id}, s.now()); err != nil {
				return err
			}
		}
		if len(changed) > 0 {
			return nil
		}
		known, err := q.HasAPIKey(ctx, db.HasAPIKeyParams{ID: id, AccountID: accountID})
		if err == nil && !known {
			err = apikey.ErrNotFound
		}
		return err
	})
	if err == nil && len(changed) > 0 {
		s.revoked()
	}
	return err
}

// NoteUses writes last uses.
func (s *Store) NoteUses(ctx context.Context, uses map[string]apikey.Use) error {
	return s.write(ctx, "api key uses", func(ctx context.Context, q *db.Queries) error {
		for _, id := range slices.Sorted(maps.Keys(uses)) { // in one order, so that replicas do not wait for each other
			use := uses[id]
			if err := q.TouchAPIKey(ctx, db.TouchAPIKeyParams{ID: id, At: nullMicros(use.At)}); err != nil {
				return err
			}
			if use.Hash == nil {
				continue
			}
			if err := q.RehashAPIKey(ctx, db.RehashAPIKeyParams{ID: id, Hash: use.Hash}); err != nil {
				return err
			}
		}
		return nil
	})
}

func apiKey(row db.APIKey) (apikey.Key, error) {
	scopes, err := decode(row.Scopes)
	if err != nil {
		return apikey.Key{}, err
	}
	models, err := decode(row.Models)
	return apikey.Key{
		ID: row.ID, Prefix: row.Prefix, Name: row.Name, AccountID: row.AccountID, OrganizationID: row.OrganizationID,
		UserID: row.UserID, Role: row.Role, Scopes: scopes, Models: models, SpendLimitNanoUSD: row.SpendLimitNanoUSD,
		SpendPeriod: time.Duration(row.SpendPeriodSeconds) * time.Second,
		Limits: apikey.Limits{
			RequestsPerMinute: row.RequestsPerMinute, RequestsPerDay: row.RequestsPerDay, TokensPerMinute: row.TokensPerMinute,
			ConcurrentStreams: row.ConcurrentStreams,
		},
		CreateTime: toTime(row.CreateTime), ExpireTime: toTimeOrZero(row.ExpireTime), LastUseTime: toTimeOrZero(row.LastUseTime),
		RevokeTime: toTimeOrZero(row.RevokeTime), ParentID: row.ParentID,
	}, err
}
