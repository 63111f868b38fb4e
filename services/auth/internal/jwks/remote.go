package jwks

import (
	"context"
	"crypto/rsa"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// Fetcher gets the JWKS document; Endpoint is the real one.
type Fetcher interface {
	Fetch(ctx context.Context) ([]byte, error)
}

// Options are a Remote's settings.
type Options struct {
	// Refresh is how often keys are fetched in the background.
	Refresh time.Duration
	// MaxStale is how long keys serve after the last good fetch.
	MaxStale time.Duration
	// Timeout bounds one fetch.
	Timeout time.Duration
	// Logger gets failures and refused keys.
	Logger *slog.Logger
	// Now is the clock.
	Now func() time.Time
	// Changed is called after a key came, went or changed, so that verdicts of the old set are dropped; may be nil.
	Changed func()
	// Fetched is called with the result of each fetch, for metrics; may be nil.
	Fetched func(err error)
}

const (
	// demandGap is the least time between two fetches that tokens cause, however many key ids they name.
	demandGap = time.Minute
	// coldGap and maxColdGap bound the backoff while there is no key at all.
	coldGap, maxColdGap = time.Second, 30 * time.Second
)

// Remote is Clerk's key set, fetched once for any number of callers and kept while Clerk is away.
type Remote struct {
	fetcher Fetcher
	opts    Options
	current atomic.Pointer[snapshot]

	mu       sync.Mutex
	flight   *flight   // the fetch under way, if any
	attempt  time.Time // start of the last fetch; zero before the first
	demanded time.Time // start of the last fetch that a token caused which the keys at hand did not verify
	failures int       // fetches that failed since the last good one
	lastErr  error     // of the last fetch

	life  context.Context //nolint:containedctx // fetches belong to the Remote, not to the caller who happened to be first
	end   context.CancelFunc
	tasks sync.WaitGroup
}

// snapshot is one fetched set; it never changes.
type snapshot struct {
	keys    map[string]*rsa.PublicKey
	fetched time.Time
}

// flight is one fetch that any number of callers wait for.
type flight struct {
	start   time.Time
	done    chan struct{}
	err     error
	changed bool
}

// NewRemote returns a set that is empty until the first Find or Run. Close must be called.
func NewRemote(fetcher Fetcher, opts Options) *Remote {
	life, end := context.WithCancel(context.Background())
	return &Remote{fetcher: fetcher, opts: opts, life: life, end: end}
}

// Close stops fetches and waits for them.
func (r *Remote) Close() {
	r.mu.Lock()
	r.end()
	r.mu.Unlock()
	r.tasks.Wait()
}

// Age is how long ago the keys were fetched; false when there are none.
func (r *Remote) Age() (time.Duration, bool) {
	set := r.current.Load()
	if set == nil {
		return 0, false
	}
	return r.opts.Now().Sub(set.fetched), true
}

// Ready says why no token can be verified now; nil when keys are held, whether or not Clerk is up.
func (r *Remote) Ready() error {
	if r.usable() != nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.unavailable()
}

// Find returns the key of id kid. Without any key it waits for the fetch under way, or starts one.
func (r *Remote) Find(ctx context.Context, kid string) ([]*rsa.PublicKey, error) {
	if key := r.lookup(kid); key != nil {
		return []*rsa.PublicKey{key}, nil
	}
	f, wait := r.demand()
	if f == nil {
		return nil, wait
	}
	if err := f.wait(ctx); err != nil {
		return nil, err
	}
	if key := r.lookup(kid); key != nil {
		return []*rsa.PublicKey{key}, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if f.start.After(r.demanded) {
		r.demanded = f.start // fresh keys, and not this one: it was this minute's question
	}
	return nil, r.absent()
}

// Renew fetches the keys again, unless a token caused that less than a minute ago.
func (r *Remote) Renew(ctx context.Context) bool {
	f, _ := r.demand()
	if f == nil || f.wait(ctx) != nil {
		return false
	}
	return f.changed
}

// usable is the current set; nil when there is none or it is too old.
func (r *Remote) usable() *snapshot {
	set := r.current.Load()
	if set == nil || r.opts.Now().Sub(set.fetched) > r.opts.MaxStale {
		return nil
	}
	return set
}

func (r *Remote) lookup(kid string) *rsa.PublicKey {
	if set := r.usable(); set != nil {
		return set.keys[kid]
	}
	return nil
}

// demand joins the fetch under way or starts one that tokens ask for. When it is too early for one, it returns no
// flight and the reason that Find gives.
func (r *Remote) demand() (*flight, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.flight == nil {
		if r.dueIn() > 0 {
			return nil, r.absent()
		}
		if r.usable() != nil {
			r.demanded = r.opts.Now()
		}
	}
	return r.launch()
}

// launch returns the fetch under way, or a new one. It needs the lock.
func (r *Remote) launch() (*flight, error) {
	if r.life.Err() != nil {
		return nil, &UnavailableError{RetryAfter: coldGap, Cause: errors.New("the process is stopping")}
	}
	if r.flight == nil {
		f := &flight{start: r.opts.Now(), done: make(chan struct{})}
		r.flight, r.attempt = f, f.start
		r.tasks.Go(func() { r.fetch(f) })
	}
	return r.flight, nil
}

// dueIn is how long until tokens may cause a fetch. With keys, that is a minute after they last caused one; the first
// token of a new key is so heard at once, unless somebody has just been asking for keys that don't exist. Without any
// key it is a short and growing while after the last failure. It needs the lock.
func (r *Remote) dueIn() time.Duration {
	last, gap := r.demanded, demandGap
	if r.usable() == nil {
		last, gap = r.attempt, r.coldBackoff()
	}
	if last.IsZero() {
		return 0
	}
	return last.Add(gap).Sub(r.opts.Now())
}

func (r *Remote) coldBackoff() time.Duration {
	return min(maxColdGap, coldGap<<min(max(r.failures-1, 0), 10))
}

// absent says what a key that is not in the set means: Clerk has no such key if it was asked well, else nobody knows.
// It needs the lock.
func (r *Remote) absent() error {
	if r.usable() != nil && r.lastErr == nil {
		return ErrUnknownKey
	}
	return r.unavailable()
}

func (r *Remote) unavailable() error {
	cause := r.lastErr
	if cause == nil {
		cause = errors.New("they were not fetched yet")
	}
	return &UnavailableError{RetryAfter: max(r.dueIn(), coldGap), Cause: cause}
}

// fetch runs on its own, so that no caller's deadline ends it for the others.
func (r *Remote) fetch(f *flight) {
	ctx, cancel := context.WithTimeout(r.life, r.opts.Timeout)
	defer cancel()
	document, err := r.fetcher.Fetch(ctx)
	var keys map[string]*rsa.PublicKey
	if err == nil {
		var refused []error
		if keys, refused, err = parseSet(document); len(refused) > 0 {
			r.opts.Logger.WarnContext(ctx, "Clerk's key set has keys that must not be used", "error", errors.Join(refused...))
		}
	}
	if r.opts.Fetched != nil {
		r.opts.Fetched(err)
	}
	r.land(f, keys, err)
}

func (r *Remote) land(f *flight, keys map[string]*rsa.PublicKey, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flight, r.lastErr, f.err = nil, err, err
	if err != nil {
		r.failures++
		r.opts.Logger.Warn("Clerk's signing keys could not be fetched", "error", err, "failures", r.failures)
	} else {
		f.changed = r.swap(keys)
		r.failures = 0
	}
	close(f.done)
}

// swap puts the new set in place and reports whether it differs.
func (r *Remote) swap(keys map[string]*rsa.PublicKey) bool {
	old := r.current.Load()
	equal := func(a, b *rsa.PublicKey) bool { return a.Equal(b) }
	changed := old == nil || !maps.EqualFunc(old.keys, keys, equal)
	r.current.Store(&snapshot{keys: keys, fetched: r.opts.Now()})
	if old != nil && changed && r.opts.Changed != nil {
		r.opts.Changed()
	}
	return changed
}

// wait returns the caller's own error when the caller gives up; a failed fetch is for the caller to judge by the set.
func (f *flight) wait(ctx context.Context) error {
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
