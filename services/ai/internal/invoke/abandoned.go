package invoke

import "sync"

// accountParts is the share of the abandoned reads that one account may have: one in so many, rounded up. The others
// are left for other accounts, which would pay the bound of their holds if one account took all of them.
const accountParts = 4

// abandoned keeps the calls that outlive their callers until they are settled, and bounds how many of them are read to
// their end at once, in all and for each account.
type abandoned struct {
	size, share int

	mu      sync.Mutex
	empty   sync.Cond // of mu
	calls   map[*call]struct{}
	reads   map[string]int // by account, without zeros
	sum     int            // of reads
	stopped bool
}

func newAbandoned(size int) *abandoned {
	a := &abandoned{size: size, share: (size + accountParts - 1) / accountParts, calls: map[*call]struct{}{}, reads: map[string]int{}}
	a.empty.L = &a.mu
	return a
}

// add keeps a call until remove. After stop, its reading ends at once.
func (a *abandoned) add(c *call) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls[c] = struct{}{}
	if a.stopped {
		c.cancel(errStopping)
	}
}

func (a *abandoned) remove(c *call) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.calls, c)
	if len(a.calls) == 0 {
		a.empty.Broadcast()
	}
}

// acquire takes a slot of an account for reading an answer to its end, or returns why the account gets none. release gives it
// back.
func (a *abandoned) acquire(account string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.sum >= a.size:
		return errNoRoom
	case a.reads[account] >= a.share:
		return errNoShare
	}
	a.reads[account]++
	a.sum++
	return nil
}

func (a *abandoned) release(account string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sum--
	if a.reads[account]--; a.reads[account] == 0 {
		delete(a.reads, account)
	}
}

func (a *abandoned) reading() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sum
}

// stop ends all reading and waits until every call is settled.
func (a *abandoned) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stopped = true
	for c := range a.calls {
		c.cancel(errStopping)
	}
	for len(a.calls) > 0 {
		a.empty.Wait()
	}
}
