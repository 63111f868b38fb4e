package customers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trivet-dev/trivet/platform/wait"
)

const (
	batch    = 20
	atOnce   = 4
	minPause = 10 * time.Second
	maxPause = time.Hour
	// keyLife is how long a key is relied on. Stripe forgets keys after a day.
	keyLife = 20 * time.Hour
	// findMargin allows for clocks that differ from the provider's clock.
	findMargin = time.Hour
)

// Options holds the dependencies of a Worker. All are required.
type Options struct {
	Store    Store
	Provider Provider
	Now      func() time.Time
	Logger   *slog.Logger
}

// Worker creates missing customers. Any number of replicas may run.
type Worker struct{ Options }

// NewWorker makes a worker.
func NewWorker(o Options) *Worker { return &Worker{o} }

// Run creates customers until ctx ends. It looks for accounts every interval and backs off after a batch of failures.
func (w *Worker) Run(ctx context.Context, interval time.Duration) {
	pause := interval
	for ctx.Err() == nil {
		made, failed, err := w.Work(ctx)
		if err != nil && ctx.Err() == nil {
			w.Logger.ErrorContext(ctx, "reading accounts without a Stripe customer failed; retrying", "error", err)
		}
		switch {
		case made > 0 && failed == 0:
			pause = 0 // there may be more
		case failed > 0 && made == 0:
			pause = min(max(pause, interval)*2, time.Minute)
		default:
			pause = interval
		}
		_ = wait.For(ctx, pause)
	}
}

// Work creates one batch of customers and counts successes and failures. It returns the store's error.
func (w *Worker) Work(ctx context.Context) (made, failed int, err error) {
	missing, err := w.Store.MissingCustomers(ctx, w.Now(), batch)
	if err != nil {
		return 0, 0, err
	}
	var done, undone atomic.Int64
	var group errgroup.Group
	group.SetLimit(atOnce)
	for _, m := range missing {
		group.Go(func() error {
			switch mine, err := w.one(ctx, m); {
			case err == nil && mine:
				done.Add(1)
			case err != nil:
				undone.Add(1)
				w.Logger.WarnContext(ctx, "creating a Stripe customer failed; retrying later", "account", m.AccountID, "attempt", m.Attempts+1, "error", err)
			}
			return nil
		})
	}
	err = group.Wait()
	return int(done.Load()), int(undone.Load()), err
}

// one creates one customer. It returns false when another replica is creating it.
func (w *Worker) one(ctx context.Context, m Missing) (mine bool, err error) {
	now := w.Now()
	mine, err = w.Store.LeaseCustomer(ctx, m, now, now.Add(backoff(m.Attempts)))
	if err != nil || !mine {
		return false, err
	}
	id, err := w.findOrCreate(ctx, m, now)
	if errors.Is(err, ErrKeySpent) {
		err = errors.Join(err, w.Store.SpendCustomerKey(ctx, m.AccountID))
	}
	if err != nil {
		return true, err
	}
	return true, w.Store.SaveCustomer(ctx, m.AccountID, id)
}

// findOrCreate searches first when an earlier attempt may have succeeded and its key is no longer usable.
func (w *Worker) findOrCreate(ctx context.Context, m Missing, now time.Time) (string, error) {
	if m.SpentKeys > 0 || m.Attempts > 0 && now.Sub(m.FirstTime) > keyLife {
		id, err := w.Provider.Find(ctx, m.AccountID, m.FirstTime.Add(-findMargin))
		if err != nil || id != "" {
			return id, err
		}
	}
	id, err := w.Provider.Create(ctx, m.AccountID, key(m))
	if err == nil && id == "" {
		return "", fmt.Errorf("the provider made a customer without an id for %s", m.AccountID)
	}
	return id, err
}

// key returns the idempotency key: the account's id, with a number after keys were spent.
func key(m Missing) string {
	if m.SpentKeys == 0 {
		return m.AccountID
	}
	return m.AccountID + "/" + strconv.FormatInt(m.SpentKeys, 10)
}

// backoff doubles from minPause to maxPause.
func backoff(attempts int64) time.Duration {
	return min(minPause<<min(attempts, 10), maxPause)
}
