package jwks

import (
	"context"
	"time"
)

// Run fetches the keys now and at each refresh interval, until ctx ends. After a failure it tries again sooner; meanwhile
// the last keys keep serving.
func (r *Remote) Run(ctx context.Context) {
	for {
		if r.background(ctx) != nil {
			return // ctx ended or the set was closed
		}
		select {
		case <-time.After(r.pause()):
		case <-ctx.Done():
			return
		}
	}
}

func (r *Remote) background(ctx context.Context) error {
	r.mu.Lock()
	f, err := r.fly()
	r.mu.Unlock()
	if err != nil {
		return err
	}
	return f.wait(ctx)
}

// pause is the time until the next background fetch.
func (r *Remote) pause() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.lastErr == nil:
		return r.opts.Refresh
	case r.usable() == nil:
		return r.coldBackoff()
	default:
		return min(retryGap, r.opts.Refresh)
	}
}
