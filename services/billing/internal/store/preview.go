package store

import (
	"context"

	"github.com/trivet-dev/trivet/services/billing/internal/checkout"
	"github.com/trivet-dev/trivet/services/billing/internal/store/db"
)

// SavePreview replaces the account's preview; see checkout.Store.
func (s *Store) SavePreview(ctx context.Context, accountID string, p checkout.Preview) error {
	text, err := checkout.EncodePreview(p)
	if err != nil {
		return err
	}
	return s.write(ctx, accountID, func(ctx context.Context, q *db.Queries) error {
		return q.PutPreview(ctx, db.PutPreviewParams{AccountID: accountID, Preview: text})
	})
}

// Preview reads the account's preview; ledger.ErrNotFound for none.
func (s *Store) Preview(ctx context.Context, accountID string) (checkout.Preview, error) {
	text, err := s.read.GetPreview(ctx, accountID)
	if err != nil {
		return checkout.Preview{}, translate(err)
	}
	return checkout.DecodePreview(text)
}

// DropPreview deletes the account's preview.
func (s *Store) DropPreview(ctx context.Context, accountID string) error {
	return s.write(ctx, accountID, func(ctx context.Context, q *db.Queries) error { return q.DropPreview(ctx, accountID) })
}
