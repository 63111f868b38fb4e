package revocation

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// ErrEnded says that a subscription ended, because the subscriber did not keep up or the feed stops: caches must be emptied.
var ErrEnded = errors.New("revocation: the subscription ended")

const (
	// pollEvery bounds how late another replica's revocation is seen.
	pollEvery = 250 * time.Millisecond
	batch     = 500
	backlog   = 64 // batches that a subscriber may leave unread
	// keep is how long a revocation is remembered: longer than any session token lives.
	keep       = 7 * 24 * time.Hour
	pruneEvery = time.Hour
)

// Feed reads revocations as they are committed, by this process or another, and hands them out.
type Feed struct {
	store   Store
	now     func() time.Time
	logger  *slog.Logger
	wake    chan struct{}
	started chan struct{} // closed when the position is known: revocations from then on are seen

	position int64 // the last revision handed out; only Run uses it

	mu          sync.Mutex
	subscribers map[*Subscription]struct{} // nil after Run ended
}

// NewFeed returns a feed that begins with Run.
func NewFeed(store Store, now func() time.Time, logger *slog.Logger) *Feed {
	return &Feed{
		store: store, now: now, logger: logger, wake: make(chan struct{}, 1), started: make(chan struct{}),
		subscribers: map[*Subscription]struct{}{},
	}
}

// Wake makes the feed look now: this process has just committed a revocation.
func (f *Feed) Wake() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Run reads until ctx ends; then every subscription ends.
func (f *Feed) Run(ctx context.Context) {
	defer f.endAll()
	failing := false
	prune := f.now().Add(pruneEvery)
	for ctx.Err() == nil {
		err := f.poll(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			f.logger.WarnContext(ctx, "revocations can't be read; caches may be late until the store answers", slog.Any("error", err))
		}
		failing = err != nil
		if now := f.now(); !failing && !now.Before(prune) {
			prune = now.Add(pruneEvery)
			f.prune(ctx, now)
		}
		select {
		case <-ctx.Done():
		case <-f.wake:
		case <-time.After(pollEvery):
		}
	}
}

func (f *Feed) prune(ctx context.Context, now time.Time) {
	if err := f.store.Prune(ctx, now.Add(-keep)); err != nil && ctx.Err() == nil {
		f.logger.WarnContext(ctx, "old revocations could not be removed; the next hour tries again", slog.Any("error", err))
	}
}

func (f *Feed) poll(ctx context.Context) error {
	select {
	case <-f.started:
	default:
		return f.begin(ctx)
	}
	for {
		news, err := f.store.Since(ctx, f.position, batch)
		if err != nil || len(news) == 0 {
			return err
		}
		f.position = news[len(news)-1].Revision
		f.publish(news)
	}
}

func (f *Feed) begin(ctx context.Context) error {
	position, err := f.store.Revision(ctx)
	if err != nil {
		return err
	}
	f.position = position
	close(f.started)
	return nil
}

// publish never waits: who does not keep up is dropped, and told so.
func (f *Feed) publish(news []Revocation) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for s := range f.subscribers {
		select {
		case s.news <- news:
		default:
			f.drop(s)
		}
	}
}

// drop needs the lock.
func (f *Feed) drop(s *Subscription) {
	delete(f.subscribers, s)
	close(s.news)
}

func (f *Feed) endAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for s := range f.subscribers {
		f.drop(s)
	}
	f.subscribers = nil
}

// Subscription gets every revocation that is committed after it was made.
type Subscription struct {
	feed *Feed
	news chan []Revocation
}

// Subscribe waits until the feed knows its position. Close must be called. The error is ctx's, or ErrEnded after Run ended.
func (f *Feed) Subscribe(ctx context.Context) (*Subscription, error) {
	select {
	case <-f.started:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.subscribers == nil {
		return nil, ErrEnded
	}
	s := &Subscription{feed: f, news: make(chan []Revocation, backlog)}
	f.subscribers[s] = struct{}{}
	return s, nil
}

// Next waits for revocations. The error is ctx's, or ErrEnded when the subscription ended.
func (s *Subscription) Next(ctx context.Context) ([]Revocation, error) {
	select {
	case news, ok := <-s.news:
		if !ok {
			return nil, ErrEnded
		}
		return news, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Close ends the subscription.
func (s *Subscription) Close() {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	if _, ok := s.feed.subscribers[s]; ok {
		s.feed.drop(s)
	}
}
