package store

import (
	"context"

	"github.com/trivet-dev/trivet/services/auth/internal/store/db"
)

// TouchKey lets tests lock a key's row, as revoking the key does.
func (w *Writing) TouchKey(ctx context.Context, id string) error {
	return w.q.TouchAPIKey(ctx, db.TouchAPIKeyParams{ID: id, At: nullMicros(w.store.now())})
}
