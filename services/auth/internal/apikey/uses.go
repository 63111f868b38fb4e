package apikey

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// flushEvery is how late a last use is written, and fresh how exact it is.
	flushEvery = 15 * time.Second
	fresh      = time.Minute
	// maxUses bounds the uses in memory; more are left out until the next flush.
	maxUses = 10_000
)

// Uses remembers when keys were used and writes it now and then, not per request.
type Uses struct {
	store  Store
	logger *slog.Logger

	mu      sync.Mutex
	pending map[string]Use
}

// NewUses returns an empty memory.
func NewUses(store Store, logger *slog.Logger) *Uses {
	return &Uses{store: store, logger: logger, pending: map[string]Use{}}
}

// note remembers a use, unless the store knows of one that is hardly older.
func (u *Uses) note(k Key, use Use) {
	if use.Hash == nil && use.At.Sub(k.LastUseTime) < fresh {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, known := u.pending[k.ID]; known || len(u.pending) < maxUses {
		u.pending[k.ID] = use
	}
}

// Run writes until ctx ends, and then once more.
func (u *Uses) Run(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-time.After(flushEvery):
			u.flush(ctx)
		case <-ctx.Done():
		}
	}
	u.flush(ctx)
}

// flush gives up nothing that there is room for: what could not be written waits for the next time.
func (u *Uses) flush(ctx context.Context) {
	u.mu.Lock()
	uses := u.pending
	u.pending = map[string]Use{}
	u.mu.Unlock()
	if len(uses) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushEvery)
	defer cancel()
	err := u.store.NoteUses(ctx, uses)
	if err == nil {
		return
	}
	u.logger.WarnContext(ctx, "storing the last uses of API keys failed; the next flush retries", slog.Any("error", err))
	u.mu.Lock()
	defer u.mu.Unlock()
	for id, use := range uses {
		if _, newer := u.pending[id]; !newer && len(u.pending) < maxUses {
			u.pending[id] = use
		}
	}
}
