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

// Heartbeat is how often a subscription gets a batch without revocations while the store can be read. It says that all
// revocations committed until then have been handed out.
const Heartbeat = time.Second

const (
	// pollTimeout bounds one look, so that a store which hangs counts as one that cannot be read.
	pollTimeout = time.Second
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
	store  Store
	now    func() time.Time
	logger *slog.Logger
	wake   chan struct{}

	// Only Run uses these.
	begun    bool  // the position is known: revocations from then on are seen
	position int64 // the last revision handed out

	mu          sync.Mutex
	readable    chan struct{}              // closed while the store can be read
	subscribers map[*Subscription]struct{} // nil after Run ended
}

// NewFeed returns a feed that begins with Run.
func NewFeed(store Store, now func() time.Time, logger *slog.Logger) *Feed {
	return &Feed{
		store: store, now: now, logger: logger, wake: make(chan struct{}, 1),
		readable: make(chan struct{}), subscribers: map[*Subscription]struct{}{},
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
	heartbeat := time.NewTicker(Heartbeat)
	defer heartbeat.Stop()
	for ctx.Err() == nil {
		err := f.poll(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			f.logger.WarnContext(ctx, "reading revocations failed; caches are emptied until the store answers", slog.Any("error", err))
		}
		failing = err != nil
		f.setReadable(!failing)
		if now := f.now(); !failing && !now.Before(prune) {
			prune = now.Add(pruneEvery)
			f.prune(ctx, now)
		}
		select {
		case <-ctx.Done():
		case <-f.wake:
		case <-heartbeat.C:
			f.beat(ctx)
		case <-time.After(pollEvery):
		}
	}
}

// beat looks once more and tells the subscribers that they have heard everything. A store that cannot be read gets no
// heartbeat: then the subscribers empty their caches.
func (f *Feed) beat(ctx context.Context) {
	if f.rewind(ctx) == nil && f.poll(ctx) == nil {
		f.publish(nil)
	}
}

// rewind begins again when the store's last revision is below the position: an older database was restored while this process ran, and
// its next revocations have numbers that were handed out before. The subscribers are dropped, so that they empty their caches.
func (f *Feed) rewind(ctx context.Context) error {
	if !f.begun {
		return nil
	}
	last, err := f.revision(ctx)
	if err != nil || last >= f.position {
		return err
	}
	f.logger.WarnContext(ctx, "the database of auth is older than it was, as after a restore; caches are emptied",
		slog.Int64("revision", last), slog.Int64("revision_before", f.position))
	f.mu.Lock()
	defer f.mu.Unlock()
	f.position = last
	for s := range f.subscribers {
		f.drop(s)
	}
	return nil
}

func (f *Feed) revision(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	return f.store.Revision(ctx)
}

// setReadable lets Subscribe through, or holds it up.
func (f *Feed) setReadable(readable bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.readable:
		if !readable {
			f.readable = make(chan struct{})
		}
	default:
		if readable {
			close(f.readable)
		}
	}
}

func (f *Feed) prune(ctx context.Context, now time.Time) {
	if err := f.store.Prune(ctx, now.Add(-keep)); err != nil && ctx.Err() == nil {
		f.logger.WarnContext(ctx, "deleting old revocations failed; retrying in an hour", slog.Any("error", err))
	}
}

func (f *Feed) poll(ctx context.Context) error {
	if !f.begun {
		return f.begin(ctx)
	}
	for {
		news, err := f.since(ctx)
		if err != nil || len(news) == 0 {
			return err
		}
		f.position = news[len(news)-1].Revision
		f.publish(news)
	}
}

func (f *Feed) since(ctx context.Context) ([]Revocation, error) {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	return f.store.Since(ctx, f.position, batch)
}

func (f *Feed) begin(ctx context.Context) error {
	position, err := f.revision(ctx)
	if err != nil {
		return err
	}
	f.position, f.begun = position, true
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
	select {
	case <-f.readable:
	default:
		close(f.readable) // whoever waits to subscribe hears that the feed has ended
	}
}

// Subscription gets every revocation that is committed after it was made.
type Subscription struct {
	feed *Feed
	news chan []Revocation
}

// Subscribe waits until the feed knows its position and can read the store. Close must be called. The error is ctx's, or
// ErrEnded after Run ended.
func (f *Feed) Subscribe(ctx context.Context) (*Subscription, error) {
	for {
		s, wait, err := f.trySubscribe()
		if wait == nil {
			return s, err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// trySubscribe returns what to wait for when the store cannot be read now.
func (f *Feed) trySubscribe() (s *Subscription, wait <-chan struct{}, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.subscribers == nil {
		return nil, nil, ErrEnded
	}
	select {
	case <-f.readable:
	default:
		return nil, f.readable, nil
	}
	s = &Subscription{feed: f, news: make(chan []Revocation, backlog)}
	f.subscribers[s] = struct{}{}
	return s, nil, nil
}

// Next waits for revocations or for a heartbeat, which is an empty batch. The error is ctx's, even if a batch is ready, or
// ErrEnded when the subscription ended.
func (s *Subscription) Next(ctx context.Context) ([]Revocation, error) {
	if err := ctx.Err(); err != nil {
		return nil, err // select would choose at random
	}
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
