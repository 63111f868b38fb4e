package jwks

import (
	"context"
	"time"
)

// Run fetches the keys now and then again and again, until ctx ends: after a good fetch at the refresh interval, after
// a failure sooner. Through failures the keys at hand go on serving.
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
	f, err := r.launch()
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
		return min(demandGap, r.opts.Refresh)
	}
}
