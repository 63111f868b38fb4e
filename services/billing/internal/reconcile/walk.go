package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/trivet-dev/trivet/platform/job"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
)

// walk is one run.
type walk struct {
	Options
	state
	holder *job.Holder
	report Report
	// saved is the saved state of this run and of the other kind of run.
	saved progress
	// resumed is true while the walk compares the kind at which an earlier process stopped.
	resumed bool
	// seen holds the ids of the kind that Stripe listed.
	seen map[string]struct{}
	// fetched remembers the objects that this process fetched most recently for events.
	fetched map[mirror.Target]struct{}
}

// walk reads Stripe's list of a kind, and then the store's list.
func (w *walk) walk(ctx context.Context, kind mirror.Kind) error {
	w.seen = map[string]struct{}{}
	if w.resumed && kind == mirror.PaymentMethod { // Stripe has no list of all payment methods to recall them by, so this kind starts over
		w.Listed, w.After = false, ""
		delete(w.Counts, kind)
	}
	if err := w.recall(ctx, kind); err != nil {
		return err
	}
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

// recall lists again what an earlier process has compared, a hundred ids per call. Otherwise each object would be fetched by its
// own call, as if Stripe had not listed it.
func (w *walk) recall(ctx context.Context, kind mirror.Kind) error {
	if !w.resumed || !w.Since.IsZero() || kind == mirror.PaymentMethod {
		return nil
	}
	q := mirror.Query{Kind: kind}
	for more := w.Listed || w.After != ""; more; {
		var page mirror.Page
		err := w.ask(ctx, func() (err error) {
			page, err = w.Source.List(ctx, q)
			return err
		})
		if errors.Is(err, mirror.ErrGone) {
			return nil
		}
		if err != nil {
			return err
		}
		q.After = ""
		for _, body := range page.Bodies {
			o, err := mirror.Parse(kind, body)
			if err != nil {
				return err
			}
			if q.After = o.ID; !w.Listed && o.ID == w.After {
				w.seen[o.ID] = struct{}{}
				return nil
			}
			w.seen[o.ID] = struct{}{}
		}
		more = page.More && q.After != ""
		if err := w.save(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) list(ctx context.Context, kind mirror.Kind) error {
	for more := true; more; {
		page, last, err := w.page(ctx, mirror.Query{Kind: kind, Since: w.Since, After: w.After})
		if errors.Is(err, mirror.ErrGone) && w.After != "" {
			w.After = "" // the object that the list was to continue after has gone meanwhile
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

// listByCustomer lists the kinds that Stripe lists by customer only, with at least one call for each customer. In a run since a
// time, the events have covered the older customers.
func (w *walk) listByCustomer(ctx context.Context, kind mirror.Kind) error {
	for {
		customers, err := w.Store.Objects(ctx, mirror.Customer, w.After, pageSize)
		if err != nil || len(customers) == 0 {
			return err
		}
		for _, c := range customers {
			q := mirror.Query{Kind: kind, Customer: c.ID}
			for more := w.lists(c); more; {
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

// lists reports whether the objects of a customer must be listed.
func (w *walk) lists(customer mirror.Object) bool {
	return w.Since.IsZero() || !customer.CreateTime.Before(w.Since) || w.Now().Sub(w.Since) > eventsKept
}

// page compares a page from Stripe, and returns the id of its last object.
func (w *walk) page(ctx context.Context, q mirror.Query) (page mirror.Page, last string, err error) {
	begun := w.Now().UTC()
	err = w.ask(ctx, func() (err error) {
		begun = w.Now().UTC()
		page, err = w.Source.List(ctx, q)
		return err
	})
	if errors.Is(err, mirror.ErrGone) && q.Customer != "" {
		return mirror.Page{}, "", nil // the customer was deleted meanwhile
	}
	if err != nil {
		return mirror.Page{}, "", err
	}
	for _, body := range page.Bodies {
		if last, err = w.compare(ctx, q.Kind, body, begun); err != nil {
			return mirror.Page{}, "", err
		}
	}
	return page, last, nil
}

// compare compares and repairs a listed object, and returns its id.
func (w *walk) compare(ctx context.Context, kind mirror.Kind, body []byte, begun time.Time) (id string, err error) {
	listed, err := mirror.Parse(kind, body)
	if err != nil {
		return "", err
	}
	w.seen[listed.ID] = struct{}{}
	if listed.CreateTime.Before(w.Since) {
		return listed.ID, nil
	}
	var changes []mirror.Change
	err = w.ask(ctx, func() (err error) {
		_, changes, err = w.Mirror.Compare(ctx, kind, body, begun)
		return err
	})
	if errors.Is(err, mirror.ErrNoID) {
		w.Logger.ErrorContext(ctx, "object skipped: its id cannot be used", slog.String("kind", string(kind)), slog.String("id", strconv.QuoteToASCII(listed.ID)),
			slog.Any("error", err))
		return listed.ID, nil
	}
	if err != nil {
		return "", fmt.Errorf("reconcile %s %s: %w", kind, listed.ID, err)
	}
	if w.knows(mirror.Target{Kind: kind, ID: listed.ID}) {
		changes = changed(changes) // the object itself is counted already
	}
	w.count(changes)
	return listed.ID, nil
}

func changed(changes []mirror.Change) []mirror.Change {
	return slices.DeleteFunc(changes, func(c mirror.Change) bool { return c.Outcome == mirror.Same })
}

// refresh fetches the objects of a target and counts the changes.
func (w *walk) refresh(ctx context.Context, t mirror.Target) error {
	var changes []mirror.Change
	err := w.ask(ctx, func() (err error) {
		changes, err = w.Mirror.Refresh(ctx, t)
		return err
	})
	if err != nil {
		return fmt.Errorf("reconcile %s %s: %w", t.Kind, t.ID+t.Charge, err)
	}
	w.count(changes)
	if !w.Since.IsZero() {
		for _, c := range changes {
			w.remember(mirror.Target{Kind: c.Kind, ID: c.ID})
		}
	}
	return nil
}

// lookAtRest fetches the stored objects that Stripe did not list. Those that Stripe does not have become tombstones.
func (w *walk) lookAtRest(ctx context.Context, kind mirror.Kind) error {
	for {
		ours, err := w.Store.Objects(ctx, kind, w.After, pageSize)
		if err != nil || len(ours) == 0 {
			return err
		}
		for _, o := range ours {
			if err := w.lookAt(ctx, o); err != nil {
				return err
			}
			w.After = o.ID
		}
		if err := w.step(ctx, kind, false); err != nil {
			return err
		}
	}
}

// lookAt fetches one object that Stripe did not list.
func (w *walk) lookAt(ctx context.Context, o mirror.Object) error {
	if _, listed := w.seen[o.ID]; listed {
		return nil
	}
	if o.Kind == mirror.PaymentMethod && o.Customer == "" {
		w.count([]mirror.Change{{Kind: o.Kind, ID: o.ID, Outcome: mirror.Same}}) // detached payment methods are never listed or used again
		return nil
	}
	return w.refresh(ctx, mirror.Target{Kind: o.Kind, ID: o.ID})
}

func (w *walk) count(changes []mirror.Change) {
	for _, change := range changes {
		c := w.Counts[change.Kind]
		switch change.Outcome {
		case mirror.Same:
			c.Same++
		case mirror.Repaired:
			c.Repaired++
		case mirror.Created:
			c.Created++
		case mirror.Removed:
			c.Removed++
		}
		w.Counts[change.Kind] = c
	}
}

// step saves and reports the walk's progress.
func (w *walk) step(ctx context.Context, kind mirror.Kind, done bool) error {
	if err := w.save(ctx); err != nil {
		return err
	}
	return w.report(Progress{Kind: kind, Counts: w.Counts[kind], Done: done})
}

const (
	maxAttempts = 6
	firstPause  = time.Second
	// maxPause is the longest wait for Stripe while holding the lease.
	maxPause = lease - time.Minute
)

// ask calls Stripe and retries after a pause when the call fails.
func (w *walk) ask(ctx context.Context, call func() error) error {
	for attempt := 0; ; attempt++ {
		if err := w.holder.Keep(ctx); err != nil {
			return err
		}
		err := call()
		if err == nil || errors.Is(err, mirror.ErrGone) || errors.Is(err, mirror.ErrNoID) || errors.Is(err, mirror.ErrRefused) || ctx.Err() != nil {
			return err
		}
		pause := firstPause << attempt
		if later, ok := errors.AsType[*mirror.LaterError](err); ok {
			pause = max(pause, later.After)
		}
		if attempt == maxAttempts-1 || pause > maxPause {
			return fmt.Errorf("%w: %w", ErrAway, err)
		}
		w.Logger.WarnContext(ctx, "waiting for Stripe during reconciliation", slog.Duration("pause", pause), slog.Any("error", err))
		if err := errors.Join(w.save(ctx), w.Sleep(ctx, pause)); err != nil {
			return err
		}
	}
}
