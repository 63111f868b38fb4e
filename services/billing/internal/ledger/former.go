package ledger

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// former tells which holds a version before this one can have made, under other ids.
type former struct {
	// started is when this process began.
	started time.Time

	mu sync.Mutex
	// looked is true once the database was checked, and found is true if it had holds then. All calls wait for the check, so those holds are
	// of an earlier process.
	looked atomic.Bool
	found  bool
}

// possible tells whether an earlier version can have made the hold of a call that began at a time.
func (f *former) possible(ctx context.Context, store Store, began time.Time) (bool, error) {
	if began.After(f.started.Add(clockSkew)) {
		return false, nil
	}
	if !f.looked.Load() {
		if err := f.look(ctx, store); err != nil {
			return false, err
		}
	}
	return f.found, nil
}

func (f *former) look(ctx context.Context, store Store) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.looked.Load() {
		return nil
	}
	found, err := store.AnyHold(ctx)
	if err != nil {
		return err
	}
	f.found = found
	f.looked.Store(true)
	return nil
}
