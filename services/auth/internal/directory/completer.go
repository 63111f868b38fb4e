package directory

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

const (
	completers    = 4
	queueSize     = 1024
	rememberedIDs = 16384
	// quiet is how long an id is not asked for again, whatever the result was.
	quiet       = time.Minute
	maxAttempts = 3
	firstPause  = time.Second
	longPause   = 30 * time.Second
	callTimeout = 10 * time.Second
)

// Completer reads from Clerk, in the background, the objects that are known only from tokens: one call for an id and any
// number of requests.
type Completer struct {
	store  Store
	source Source
	now    func() time.Time
	logger *slog.Logger
	queue  chan task

	mu    sync.Mutex
	until *lru.Cache[task, time.Time] // when an id may be asked for again
}

// task is one object to read.
type task struct {
	kind string
	id   string
}

const (
	kindUser         = "user"
	kindOrganization = "organization"
)

// NewCompleter makes a completer; it works while Run runs.
func NewCompleter(store Store, source Source, now func() time.Time, logger *slog.Logger) (*Completer, error) {
	until, err := lru.New[task, time.Time](rememberedIDs)
	if err != nil {
		return nil, err
	}
	return &Completer{store: store, source: source, now: now, logger: logger, queue: make(chan task, queueSize), until: until}, nil
}

// User asks for a user to be read; it never waits.
func (c *Completer) User(id string) { c.enqueue(task{kindUser, id}) }

// Organization asks for an organization to be read; it never waits.
func (c *Completer) Organization(id string) { c.enqueue(task{kindOrganization, id}) }

func (c *Completer) enqueue(t task) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if until, ok := c.until.Get(t); ok && now.Before(until) {
		return
	}
	select {
	case c.queue <- t:
		c.until.Add(t, now.Add(quiet))
	default: // full: the next request asks again
	}
}

// Run reads until ctx ends.
func (c *Completer) Run(ctx context.Context) {
	var workers sync.WaitGroup
	for range completers {
		workers.Go(func() { c.work(ctx) })
	}
	workers.Wait()
}

func (c *Completer) work(ctx context.Context) {
	for ctx.Err() == nil { // select alone would sometimes take from the queue
		select {
		case t := <-c.queue:
			c.complete(ctx, t)
		case <-ctx.Done():
		}
	}
}

// complete tries a few times; after that the object waits for the next request, its webhook or a reconciliation.
func (c *Completer) complete(ctx context.Context, t task) {
	for attempt := 1; ; attempt++ {
		err := c.read(ctx, t)
		if err == nil || ctx.Err() != nil {
			return
		}
		again, transient := errors.AsType[*RetryError](err)
		if !transient || attempt == maxAttempts {
			c.logger.WarnContext(ctx, "reading an object from Clerk failed", slog.String("kind", t.kind),
				slog.String("id", t.id), slog.Int("attempts", attempt), slog.Any("error", err))
			return
		}
		select {
		case <-time.After(pause(attempt, again.After)):
		case <-ctx.Done():
			return
		}
	}
}

// pause is what Clerk asks for, or else grows exponentially with jitter, so that workers do not retry all at once.
func pause(attempt int, asked time.Duration) time.Duration {
	d := max(firstPause<<(attempt-1), asked)
	return min(d, longPause) + rand.N(firstPause) //nolint:gosec // spreads load, guards nothing
}

func (c *Completer) read(ctx context.Context, t task) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if t.kind == kindOrganization {
		o, err := c.source.Organization(ctx, t.id)
		if err == nil {
			_, err = c.store.PutOrganization(ctx, o)
		}
		return err
	}
	u, err := c.source.User(ctx, t.id)
	if err == nil {
		_, err = c.store.PutUser(ctx, u)
	}
	return err
}
