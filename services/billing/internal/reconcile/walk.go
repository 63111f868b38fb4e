package reconcile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
)

// walk is one run.
type walk struct {
	*Reconciler
	state
	holder string
	report Report
	// seen are the ids of the kind that Stripe listed in this process.
	seen map[string]struct{}
}

// walk goes through Stripe's list of a kind, and then through ours.
func (w *walk) walk(ctx context.Context, kind mirror.Kind) error {
	w.seen = map[string]struct{}{}
	if !w.Listed {
		list := w.list
		if kind == mirror.PaymentMethod {
			list = w.listByCustomer
		}
		if err := list(ctx, kind); err != nil {
			return err
		}
		w.Listed, w.After = true, ""
	}
	if w.Since.IsZero() {
		if err := w.lookAtRest(ctx, kind); err != nil {
			return err
		}
	}
	return w.step(ctx, kind, true)
}

func (w *walk) list(ctx context.Context, kind mirror.Kind) error {
	for more := true; more; {
		page, last, err := w.page(ctx, mirror.Query{Kind: kind, Since: w.Since, After: w.After})
		if errors.Is(err, mirror.ErrGone) && w.After != "" {
			w.After = "" // the object that the list was to go on after went meanwhile
			continue
		}
		if err != nil {
			return err
		}
		w.After, more = last, page.More && last != ""
		if err := w.step(ctx, kind, false); err != nil {
			return err
		}
	}
	return nil
}

// listByCustomer is for what Stripe lists of one customer at a time.
func (w *walk) listByCustomer(ctx context.Context, kind mirror.Kind) error {
	for {
		customers, err := w.Store.Objects(ctx, mirror.Customer, w.After, pageSize)
		if err != nil || len(customers) == 0 {
			return err
		}
		for _, c := range customers {
			q := mirror.Query{Kind: kind, Customer: c.ID}
			for more := true; more; {
				page, last, err := w.page(ctx, q)
				if err != nil {
					return err
				}
				q.After, more = last, page.More && last != ""
			}
			w.After = c.ID
		}
		if err := w.step(ctx, kind, false); err != nil {
			return err
		}
	}
}

// page compares a page of Stripe's, and returns the id of its last object.
func (w *walk) page(ctx context.Context, q mirror.Query) (page mirror.Page, last string, err error) {
	err = w.ask(ctx, func() (err error) {
		page, err = w.Source.List(ctx, q)
		return err
	})
	if errors.Is(err, mirror.ErrGone) && q.Customer != "" {
		return mirror.Page{}, "", nil // the customer went meanwhile
	}
	if err != nil {
		return mirror.Page{}, "", err
	}
	for _, body := range page.Bodies {
		o, err := mirror.Parse(q.Kind, body)
		if err != nil {
			return mirror.Page{}, "", err
		}
		last = o.ID
		w.seen[o.ID] = struct{}{}
		if o.CreateTime.Before(w.Since) {
			continue
		}
		if err := w.compare(ctx, o); err != nil {
			return mirror.Page{}, "", err
		}
	}
	return page, last, nil
}

// compare repairs an object by a fetch of its own: what a list says may be older than what an event's fetch found since.
func (w *walk) compare(ctx context.Context, listed mirror.Object) error {
	had, err := w.Store.Object(ctx, listed.Kind, listed.ID)
	if err != nil && !errors.Is(err, mirror.ErrNotFound) {
		return err
	}
	if err == nil && !had.Deleted && bytes.Equal(had.Body, listed.Body) {
		w.count(listed.Kind, func(c *Counts) { c.Same++ })
		return nil
	}
	return w.repair(ctx, listed.Kind, listed.ID, had)
}

// repair fetches an object and counts what that changed; had is zero for one that was not known.
func (w *walk) repair(ctx context.Context, kind mirror.Kind, id string, had mirror.Object) error {
	var now mirror.Object
	err := w.ask(ctx, func() (err error) {
		now, err = w.Sync(ctx, kind, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("reconcile %s %s: %w", kind, id, err)
	}
	known := had.ID != "" && !had.Deleted
	w.count(kind, func(c *Counts) {
		switch {
		case !known && now.Deleted, known && bytes.Equal(had.Body, now.Body) && !now.Deleted:
			c.Same++
		case now.Deleted:
			c.Removed++
		case !known:
			c.Created++
		default:
			c.Repaired++
		}
	})
	return nil
}

// lookAtRest fetches what we have and Stripe did not list: what it does not have becomes a tombstone.
func (w *walk) lookAtRest(ctx context.Context, kind mirror.Kind) error {
	for {
		ours, err := w.Store.Objects(ctx, kind, w.After, pageSize)
		if err != nil || len(ours) == 0 {
			return err
		}
		for _, o := range ours {
			if _, listed := w.seen[o.ID]; !listed {
				if err := w.repair(ctx, kind, o.ID, o); err != nil {
					return err
				}
			}
			if c := w.Counts[kind]; kind == mirror.Customer && c.Removed >= strangers && c.Same+c.Repaired == 0 {
				return ErrStranger
			}
			w.After = o.ID
		}
		if err := w.step(ctx, kind, false); err != nil {
			return err
		}
	}
}

func (w *walk) count(kind mirror.Kind, change func(*Counts)) {
	c := w.Counts[kind]
	change(&c)
	w.Counts[kind] = c
}

// step saves and tells where the walk is.
func (w *walk) step(ctx context.Context, kind mirror.Kind, done bool) error {
	if err := w.save(ctx); err != nil {
		return err
	}
	return w.report(Progress{Kind: kind, Counts: w.Counts[kind], Done: done})
}

func (w *walk) save(ctx context.Context) error {
	raw, err := json.Marshal(w.state)
	if err != nil {
		return err
	}
	held, err := w.Store.SaveReconcile(ctx, w.holder, w.Now(), lease, raw)
	if err == nil && !held {
		err = errLost
	}
	return err
}

const (
	maxAttempts = 6
	firstPause  = time.Second
)

// ask calls Stripe, and again after a pause when it does not answer as it should.
func (w *walk) ask(ctx context.Context, call func() error) error {
	for attempt := 0; ; attempt++ {
		err := call()
		if err == nil || errors.Is(err, mirror.ErrGone) || ctx.Err() != nil {
			return err
		}
		if attempt == maxAttempts-1 {
			return fmt.Errorf("%w: %w", ErrAway, err)
		}
		pause := firstPause << attempt
		w.Logger.WarnContext(ctx, "reconciling waits for Stripe", slog.Duration("pause", pause), slog.Any("error", err))
		if err := errors.Join(w.save(ctx), w.Sleep(ctx, pause)); err != nil {
			return err
		}
	}
}
