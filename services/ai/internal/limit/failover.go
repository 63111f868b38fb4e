package limit

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/trivet-dev/trivet/platform/errs"
)

// pause is how long Redis is left alone after it did not answer.
const pause = 5 * time.Second

// Failover is a Limiter that counts in Redis and, while Redis does not answer, in this process. No call waits for a Redis
// that is known to be away.
type Failover struct {
	redis  *Redis
	memory *Memory
	log    *slog.Logger
	now    func() time.Time

	mu    sync.Mutex
	away  bool
	until time.Time // when the next call may ask Redis; only while it is away
}

// NewFailover returns a limiter of both.
func NewFailover(redis *Redis, memory *Memory, log *slog.Logger, now func() time.Time) *Failover {
	return &Failover{redis: redis, memory: memory, log: log, now: now}
}

// Admit implements Limiter.
func (f *Failover) Admit(ctx context.Context, ask Ask) (Ticket, error) {
	if !f.usable() {
		return f.memory.Admit(ctx, ask)
	}
	ticket, err := f.redis.take(ctx, ask)
	if _, refused := errors.AsType[*errs.Error](err); err == nil || refused {
		f.answered(ctx)
		if err != nil {
			return nil, err
		}
		return &watchedTicket{ticket, f}, nil
	}
	f.failed(ctx, err)
	return f.memory.Admit(ctx, ask)
}

// usable reports whether Redis may be asked. While it is away, one call in each pause asks.
func (f *Failover) usable() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.away {
		return true
	}
	now := f.now()
	if now.Before(f.until) {
		return false
	}
	f.until = now.Add(pause)
	return true
}

func (f *Failover) answered(ctx context.Context) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away {
		f.away = false
		f.log.InfoContext(ctx, "Redis answers again; limits are shared between replicas")
	}
}

func (f *Failover) failed(ctx context.Context, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.until = f.now().Add(pause)
	if f.away {
		return
	}
	f.away = true
	f.log.ErrorContext(ctx, "Redis does not answer; each replica counts limits for itself until it does: check REDIS_URL", slog.Any("error", err))
}

// Run renews the running calls until ctx ends.
func (f *Failover) Run(ctx context.Context) {
	ticker := time.NewTicker(RenewEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if !f.usable() {
				continue
			}
			if err := f.redis.Renew(ctx); err != nil && ctx.Err() == nil {
				f.failed(ctx, err)
			}
		}
	}
}

// Close closes the connections to Redis. It does nothing on a nil Failover.
func (f *Failover) Close() error {
	if f == nil {
		return nil
	}
	return f.redis.Close()
}

// watchedTicket is a ticket of Redis that is not given back to a Redis that is away.
type watchedTicket struct {
	*redisTicket
	failover *Failover
}

// Done implements Ticket.
func (t *watchedTicket) Done(used int64) {
	if !t.failover.usable() {
		t.forget()
		return
	}
	if err := t.end(used); err != nil {
		t.failover.failed(context.Background(), err)
		return
	}
	t.failover.answered(context.Background())
}
