package store

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/trivet-dev/trivet/services/auth/internal/apikey"
	"github.com/trivet-dev/trivet/services/auth/internal/page"
	"github.com/trivet-dev/trivet/services/auth/internal/revocation"
	"github.com/trivet-dev/trivet/services/auth/internal/store/db"
)

var _ apikey.Store = (*Store)(nil)

// AddKey stores a new key.
func (s *Store) AddKey(ctx context.Context, k apikey.Key, hash []byte) error {
	scopes, err := encode(k.Scopes)
	if err != nil {
		return err
	}
	models, err := encode(k.Models)
	if err != nil {
		return err
	}
	return s.write(ctx, k.AccountID, func(ctx context.Context, q *db.Queries) error {
		live, err := q.CountLiveApiKeys(ctx, k.AccountID)
		if err != nil {
			return err
		}
		if live >= apikey.MaxLive {
			return apikey.ErrTooMany
		}
		return q.AddApiKey(ctx, db.AddApiKeyParams{
			ID: k.ID, Hash: hash, Prefix: k.Prefix, Name: k.Name, AccountID: k.AccountID, OrganizationID: k.OrganizationID,
			UserID: k.UserID, Role: k.Role, Scopes: scopes, Models: models, SpendLimitNanoUsd: k.SpendLimitNanoUSD,
			SpendPeriodSeconds: int64(k.SpendPeriod / time.Second), RequestsPerMinute: k.RequestsPerMinute,
			CreateTime: k.CreateTime, ExpireTime: nullTime(k.ExpireTime),
		})
	})
}

// KeyByHash finds a key by its hash.
func (s *Store) KeyByHash(ctx context.Context, hash []byte) (apikey.Key, error) {
	row, err := s.read.GetApiKeyByHash(ctx, hash)
	if err != nil {
		return apikey.Key{}, notFound(err, apikey.ErrNotFound)
	}
	return apiKey(row)
}

// KeyByID finds a key of an account.
func (s *Store) KeyByID(ctx context.Context, accountID, id string) (apikey.Key, error) {
	row, err := s.read.GetApiKey(ctx, db.GetApiKeyParams{ID: id, AccountID: accountID})
	if err != nil {
		return apikey.Key{}, notFound(err, apikey.ErrNotFound)
	}
	return apiKey(row)
}

// Keys pages through an account's keys.
func (s *Store) Keys(ctx context.Context, accountID string, after page.Cursor, limit int) ([]apikey.Key, error) {
	at, id := newest(after)
	rows, err := s.read.ListApiKeys(ctx, db.ListApiKeysParams{
		AccountID: accountID, BeforeTime: at, BeforeID: id, PageSize: int64(limit),
	})
	if err != nil {
		return nil, err
	}
	return each(rows, apiKey)
}

// RevokeKey revokes a key and tells every replica.
func (s *Store) RevokeKey(ctx context.Context, accountID, id string, at time.Time) error {
	var revoked bool
	err := s.write(ctx, accountID, func(ctx context.Context, q *db.Queries) error {
		rows, err := q.RevokeApiKey(ctx, db.RevokeApiKeyParams{ID: id, AccountID: accountID, At: nullTime(at)})
		if err != nil {
			return err
		}
		if revoked = rows > 0; revoked {
			return s.addRevocation(ctx, q, revocation.Revocation{APIKeyID: id}, at)
		}
		known, err := q.HasApiKey(ctx, db.HasApiKeyParams{ID: id, AccountID: accountID})
		if err == nil && !known {
			err = apikey.ErrNotFound
		}
		return err
	})
	if err == nil && revoked {
		s.revoked()
	}
	return err
}

// NoteUses writes last uses.
func (s *Store) NoteUses(ctx context.Context, uses map[string]apikey.Use) error {
	return s.write(ctx, "api key uses", func(ctx context.Context, q *db.Queries) error {
		for _, id := range slices.Sorted(maps.Keys(uses)) { // in one order, so that replicas don't lock each other out
			use := uses[id]
			if err := q.TouchApiKey(ctx, db.TouchApiKeyParams{ID: id, At: nullTime(use.At)}); err != nil {
				return err
			}
			if use.Hash == nil {
				continue
			}
			if err := q.RehashApiKey(ctx, db.RehashApiKeyParams{ID: id, Hash: use.Hash}); err != nil {
				return err
			}
		}
		return nil
	})
}

func apiKey(row db.ApiKey) (apikey.Key, error) {
	scopes, err := decode(row.Scopes)
	if err != nil {
		return apikey.Key{}, err
	}
	models, err := decode(row.Models)
	return apikey.Key{
		ID: row.ID, Prefix: row.Prefix, Name: row.Name, AccountID: row.AccountID, OrganizationID: row.OrganizationID,
		UserID: row.UserID, Role: row.Role, Scopes: scopes, Models: models, SpendLimitNanoUSD: row.SpendLimitNanoUsd,
		SpendPeriod: time.Duration(row.SpendPeriodSeconds) * time.Second, RequestsPerMinute: row.RequestsPerMinute,
		CreateTime: row.CreateTime, ExpireTime: row.ExpireTime.Time, LastUseTime: row.LastUseTime.Time,
		RevokeTime: row.RevokeTime.Time,
	}, err
}
