package inbox

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/wait"
)

const (
	// recordTimeout bounds the writing of outcomes after the handlers were told to stop.
	recordTimeout = 5 * time.Second
	// claimGap is the least time between two claims while there are more workers than work: what comes meanwhile shares a
	// claim, and the effects then share commits. What comes alone does not wait.
	claimGap = 4 * time.Millisecond
	// announceGap is the least time between two notifications of other processes.
	announceGap = 50 * time.Millisecond
	// minBusy and maxBusy are the pauses before the next claim of subjects that other transactions held.
	minBusy = 5 * time.Millisecond
	maxBusy = 200 * time.Millisecond
	// maxFailed is the longest pause after a claim that failed.
	maxFailed = 5 * time.Second
	// pruneInterval is how often old rows are deleted.
	pruneInterval = time.Minute
)

// Run handles events until ctx ends and every goroutine has stopped. Then running handlers may continue for Options.Grace;
// those that have not finished are told by their contexts, and their events go back without a counted attempt. It waits for
// handlers, so they must heed their contexts. It fails only when it runs already.
func (in *Inbox) Run(ctx context.Context) error {
	if !in.running.CompareAndSwap(false, true) {
		return errors.New("inbox: Run is already running")
	}
	defer in.running.Store(false)
	defer in.observe()()
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	work, interrupt := context.WithCancelCause(life)
	defer interrupt(nil)
	d := &dispatcher{in: in, worker: worker{in: in, stop: ctx, work: work, life: life}, free: in.options.Workers, busy: map[string]int{}, fresh: map[string]bool{}}

	var side sync.WaitGroup
	side.Go(func() {
		in.awaitClock(ctx)
		in.takeOver(ctx)
		d.run(ctx)
	})
	side.Go(func() { in.notify(ctx) })
	side.Go(func() { in.pruneNowAndThen(ctx) })
	side.Go(func() { in.db.Listen(ctx, channel, in.Wake) })
	side.Wait()

	defer time.AfterFunc(in.options.Grace, func() { interrupt(errStopping) }).Stop()
	defer time.AfterFunc(in.options.Grace+recordTimeout, end).Stop()
	d.workers.Wait()
	return nil
}

// takeOver ends the leases of an earlier process, if there can be no other. When it fails, they run out.
func (in *Inbox) takeOver(ctx context.Context) {
	if !in.options.Alone {
		return
	}
	err := in.db.Write(ctx, "inbox take over", func(ctx context.Context, tx database.Tx) error {
		in.mu.RLock()
		defer in.mu.RUnlock()
		for source := range in.handlers {
			if _, err := exec(ctx, tx, in.sql.orphans, source, in.now().UnixMicro()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		in.log.WarnContext(ctx, "ending the leases of an earlier process failed; its events wait until the leases end", slog.Any("error", err))
	}
}

// notify tells other processes of work that this one can't take.
func (in *Inbox) notify(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-in.announce:
		}
		if err := in.db.Notify(ctx, channel); err != nil && ctx.Err() == nil {
			in.log.WarnContext(ctx, "notifying other processes failed; they find the work by polling", slog.Any("error", err))
		}
		_ = wait.For(ctx, announceGap)
	}
}

// dispatcher gives leased subjects to workers.
type dispatcher struct {
	in      *Inbox
	worker  worker // what each starts as
	workers sync.WaitGroup
	busyFor time.Duration
	errors  int             // failed claims in a row
	turn    int             // which source comes first
	fresh   map[string]bool // by source: fresh subjects come first, in turn with those that are due

	mu      sync.Mutex
	free    int
	busy    map[string]int // workers by source
	starved bool           // there may be work that no worker was free for
	ends    int            // counts the workers that ended
}

// run claims and dispatches until ctx ends.
func (d *dispatcher) run(ctx context.Context) {
	for ctx.Err() == nil {
		deaf, pause := d.round(ctx)
		if deaf = min(deaf, pause); deaf > 0 {
			_ = wait.For(ctx, deaf)
		}
		timer := time.NewTimer(pause - deaf)
		select {
		case <-ctx.Done():
		case <-d.in.signal:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// round claims what there are workers for, and starts them. It returns how long to wait in any case, and how long, that
// included, if nothing is signalled.
func (d *dispatcher) round(ctx context.Context) (deaf, pause time.Duration) {
	total, wants, ends := d.wants()
	if total == 0 {
		raise(d.in.announce)
		return 0, d.in.options.PollInterval
	}
	begun := time.Now()
	c, err := d.in.claim(ctx, total, wants)
	if err != nil {
		pause = d.failed(ctx, err)
		return pause, pause
	}
	d.errors = 0
	if c.stolen > 0 {
		d.in.metrics.expired(ctx, c.stolen)
		d.in.log.WarnContext(ctx, "took over leases that had ended", slog.Int("subjects", c.stolen))
	}
	took := map[string]bool{}
	for _, g := range c.groups {
		took[g.source] = true
		d.start(g)
	}
	for source := range took { // a turn that took nothing does not count
		d.fresh[source] = !d.fresh[source]
	}
	if c.more {
		raise(d.in.announce)
		d.starve(ends)
		return 0, d.pause(c)
	}
	return claimGap - time.Since(begun), d.pause(c)
}

// failed logs a failed claim, and returns how long to wait.
func (d *dispatcher) failed(ctx context.Context, err error) time.Duration {
	if ctx.Err() == nil && d.errors == 0 {
		d.in.log.ErrorContext(ctx, "claiming work failed; retrying", slog.Any("error", err))
	}
	d.errors++
	return min(50*time.Millisecond<<min(d.errors, 10), maxFailed)
}

// pause returns how long there is nothing to do as far as a claim can tell.
func (d *dispatcher) pause(c *claim) time.Duration {
	pause := d.in.options.PollInterval
	if !c.next.IsZero() {
		pause = min(pause, max(c.next.Sub(d.in.now()), 0)+time.Millisecond)
	}
	if !c.busy {
		d.busyFor = minBusy
		return pause
	}
	busy := min(pause, d.busyFor)
	d.busyFor = min(2*d.busyFor, maxBusy)
	return busy
}

// wants returns how many workers are free, and for which sources, each in its turn the first; and how many ended till now.
func (d *dispatcher) wants() (total int, wants []want, ends int) {
	d.in.mu.RLock()
	defer d.in.mu.RUnlock()
	sources := slices.Sorted(maps.Keys(d.in.handlers))
	if len(sources) == 0 {
		return 0, nil, 0
	}
	d.turn = (d.turn + 1) % len(sources)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.starved = d.free == 0
	for _, s := range slices.Concat(sources[d.turn:], sources[:d.turn]) {
		h := d.in.handlers[s]
		wants = append(wants, want{source: s, free: min(d.free, h.Workers-d.busy[s]), limit: h.limit(), lease: h.Lease, fresh: d.fresh[s]})
	}
	return d.free, wants, d.ends
}

// starve notes that there is work for which no worker was free. One that has become free since did not know.
func (d *dispatcher) starve(ends int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.starved = true
	if d.ends != ends {
		d.in.Wake()
	}
}

// start has a worker handle a group.
func (d *dispatcher) start(g *group) {
	d.mu.Lock()
	d.free--
	d.busy[g.source]++
	d.mu.Unlock()
	w := d.worker
	d.workers.Go(func() {
		waits := false
		defer func() { d.ended(g.source, waits) }()
		waits = w.run(g)
	})
}

// ended frees a worker, and looks for work if some may be there.
func (d *dispatcher) ended(source string, waits bool) {
	d.mu.Lock()
	d.free++
	d.busy[source]--
	d.ends++
	wake := d.starved || waits
	d.mu.Unlock()
	if wake {
		d.in.Wake()
	}
}
