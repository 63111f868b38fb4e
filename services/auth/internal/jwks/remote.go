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
	// demandGap is the least time between two fetches for the same cause, for any number of tokens.
	demandGap = 10 * time.Second
	// retryGap is the pause of the background after a failed fetch, while the last keys still serve.
	retryGap = time.Minute
	// coldGap and maxColdGap bound the backoff while there is no key at all.
	coldGap, maxColdGap = time.Second, 30 * time.Second
	// absentFor is how long a key id that Clerk does not have is remembered. At most one is added every demandGap.
	absentFor = 5 * time.Minute
)

// cause is why a token asks for a fetch. Each cause has its own budget, so that forged signatures under a known key id
// cannot keep a new key from being found, nor the other way round.
type cause int

const (
	unknownID cause = iota
	badSignature
	causes // how many there are
)

// errBudget is why a key id was not looked up.
var errBudget = errors.New("the keys were fetched for another token a moment ago")

// Remote is Clerk's key set, fetched once for any number of callers and kept while Clerk is unreachable.
type Remote struct {
	fetcher Fetcher
	opts    Options
	current atomic.Pointer[snapshot]

	mu       sync.Mutex
	flight   *flight              // the fetch in progress, if any
	attempt  time.Time            // start of the last fetch; zero before the first
	demanded [causes]time.Time    // start of the last fetch that a token caused while there were keys
	absent   map[string]time.Time // key ids that Clerk does not have, and until when that is remembered
	failures int                  // failed fetches since the last good one
	lastErr  error                // of the last fetch

	life  context.Context //nolint:containedctx // fetches belong to the Remote, not to the caller who happened to be first
	end   context.CancelFunc
	tasks sync.WaitGroup
}

// snapshot is one fetched set; it never changes.
type snapshot struct {
	keys    keySet
	fetched time.Time
}

// flight is one fetch that any number of callers wait for.
type flight struct {
	start   time.Time
	cold    bool      // there was no key when it began
	spent   time.Time // what the budget of its cause was before it
	done    chan struct{}
	err     error // set before done is closed, as is changed
	changed bool
}

// NewRemote returns a set that is empty until the first Find or Run. Close must be called.
func NewRemote(fetcher Fetcher, opts Options) *Remote {
	life, end := context.WithCancel(context.Background())
	return &Remote{fetcher: fetcher, opts: opts, absent: map[string]time.Time{}, life: life, end: end}
}

// Close stops fetches and waits for them.
func (r *Remote) Close() {
	r.mu.Lock()
	r.end()
	r.mu.Unlock()
	r.tasks.Wait()
}

// Age is how long ago the keys were fetched; false if none exist.
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
	return r.unavailable(r.lastErr)
}

// Find returns the keys with id kid. Without any key it waits for the fetch in progress, or starts one. An id is unknown when a
// fetch that began after the question did not contain it; an id that was not looked up is unavailable.
func (r *Remote) Find(ctx context.Context, kid string) ([]*rsa.PublicKey, error) {
	if keys := r.lookup(kid); keys != nil {
		return keys, nil
	}
	if r.isAbsent(kid) {
		return nil, ErrUnknownKey
	}
	// A fetch that was already in progress may not know a key that is newer. The one after it does.
	for joined := false; ; joined = true {
		f, mine, err := r.demand(unknownID)
		if err != nil {
			return nil, err
		}
		if err := f.wait(ctx); err != nil {
			return nil, err
		}
		if keys := r.lookup(kid); keys != nil {
			if mine && f.cold {
				r.refund(f)
			}
			return keys, nil
		}
		if f.err != nil || mine || joined {
			return nil, r.missed(kid, f, mine)
		}
	}
}

// refund gives the budget back for the fetch that brought the first keys of all: it was for a key that Clerk has.
func (r *Remote) refund(f *flight) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.demanded[unknownID] = f.spent
}

// missed says what it means that a fetch that began after the question did not bring a key. Only the caller who began it has the id
// remembered, which bounds how many are.
func (r *Remote) missed(kid string, f *flight, mine bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f.err != nil {
		return r.unavailable(f.err)
	}
	if mine {
		r.absent[kid] = r.opts.Now().Add(absentFor)
	}
	return ErrUnknownKey
}

// isAbsent reports whether Clerk was asked for the key a short while ago and did not have it.
func (r *Remote) isAbsent(kid string) bool {
	if r.usable() == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.opts.Now()
	maps.DeleteFunc(r.absent, func(_ string, until time.Time) bool { return !now.Before(until) })
	_, absent := r.absent[kid]
	return absent
}

// Renew fetches the keys again after a bad signature, unless that happened less than demandGap ago; it reports whether they
// changed.
func (r *Remote) Renew(ctx context.Context) bool {
	f, _, err := r.demand(badSignature)
	if err != nil || f.wait(ctx) != nil {
		return false
	}
	return f.changed
}

// usable is the current set; nil if none exists or it is too old.
func (r *Remote) usable() *snapshot {
	set := r.current.Load()
	if set == nil || r.opts.Now().Sub(set.fetched) > r.opts.MaxStale {
		return nil
	}
	return set
}

func (r *Remote) lookup(kid string) []*rsa.PublicKey {
	if set := r.usable(); set != nil {
		return set.keys[kid]
	}
	return nil
}

// demand joins the fetch in progress, or starts one if the cause's budget allows it; mine is true when it started one. The
// error is *UnavailableError.
func (r *Remote) demand(c cause) (f *flight, mine bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.flight != nil {
		return r.flight, false, nil
	}
	if r.dueIn(c) > 0 {
		reason := errBudget
		if r.usable() == nil || r.lastErr != nil {
			reason = r.lastErr
		}
		return nil, false, r.unavailable(reason)
	}
	f, err = r.fly()
	if err == nil {
		f.spent, r.demanded[c] = r.demanded[c], f.start
	}
	return f, true, err
}

// fly returns the fetch in progress, or starts one. It needs the lock.
func (r *Remote) fly() (*flight, error) {
	if r.life.Err() != nil {
		return nil, &UnavailableError{RetryAfter: coldGap, Cause: errors.New("the process is stopping")}
	}
	if r.flight == nil {
		f := &flight{start: r.opts.Now(), cold: r.usable() == nil, done: make(chan struct{})}
		r.flight, r.attempt = f, f.start
		r.tasks.Go(func() { r.fetch(f) })
	}
	return r.flight, nil
}

// dueIn is how long until tokens may cause a fetch. With keys, that is demandGap after the same cause had the last one, so
// that the first token with a new key is served at once. Without any key it is a growing backoff after the last failure. It
// needs the lock.
func (r *Remote) dueIn(c cause) time.Duration {
	last, gap := r.demanded[c], demandGap
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

// unavailable needs the lock.
func (r *Remote) unavailable(reason error) error {
	if reason == nil {
		reason = errors.New("the signing keys of Clerk have not been fetched yet")
	}
	return &UnavailableError{RetryAfter: max(r.dueIn(unknownID), coldGap), Cause: reason}
}

// fetch runs on its own, so that no caller's deadline ends it for the others.
func (r *Remote) fetch(f *flight) {
	ctx, cancel := context.WithTimeout(r.life, r.opts.Timeout)
	defer cancel()
	document, err := r.fetcher.Fetch(ctx)
	var keys keySet
	if err == nil {
		var refused []error
		if keys, refused, err = parseSet(document); len(refused) > 0 {
			r.opts.Logger.WarnContext(ctx, "ignored keys of Clerk's key set that must not be used", "error", errors.Join(refused...))
		}
	}
	if r.opts.Fetched != nil {
		r.opts.Fetched(err)
	}
	r.land(f, keys, err)
}

func (r *Remote) land(f *flight, keys keySet, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flight, r.lastErr, f.err = nil, err, err
	if err != nil {
		r.failures++
		r.opts.Logger.Warn("fetching Clerk's signing keys failed", "error", err, "failures", r.failures)
	} else {
		f.changed = r.swap(keys)
		r.failures = 0
	}
	close(f.done)
}

// swap puts the new set in place and reports whether it differs.
func (r *Remote) swap(keys keySet) bool {
	old := r.current.Load()
	changed := old == nil || !old.keys.equal(keys)
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
