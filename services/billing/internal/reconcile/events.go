package reconcile

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"github.com/trivet-dev/trivet/services/billing/internal/intake"
	"github.com/trivet-dev/trivet/services/billing/internal/mirror"
)

const (
	// eventsKept is how long Stripe keeps events.
	eventsKept = 30 * 24 * time.Hour
	// mostFetched limits how many fetched objects a run remembers. It may fetch forgotten ones again.
	mostFetched = 20_000
)

// goThroughEvents fetches the objects of Stripe's events since a time, newest event first. One fetch of an object covers all
// its older events.
func (w *walk) goThroughEvents(ctx context.Context) error {
	if age := w.Now().Sub(w.Since); age > eventsKept {
		w.Logger.WarnContext(ctx, "Stripe keeps events for 30 days: changes before that to objects made before the given time are not found; "+
			"reconcile without a time to compare everything", slog.Time("since", w.Since))
	}
	for more := true; more; {
		page, err := w.events(ctx)
		if errors.Is(err, mirror.ErrGone) && w.After != "" {
			w.After = "" // the event that the list was to continue after has expired meanwhile
			continue
		}
		if err != nil {
			return err
		}
		last, touched, err := w.fetch(ctx, page)
		if err != nil {
			return err
		}
		w.After, more = last, page.More && last != ""
		if !more {
			w.Told, w.After = true, ""
		}
		for _, kind := range mirror.Kinds() {
			if !touched[kind] {
				continue
			}
			if err := w.report(Progress{Kind: kind, Counts: w.Counts[kind]}); err != nil {
				return err
			}
		}
		if err := w.save(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) events(ctx context.Context) (page mirror.Page, err error) {
	err = w.ask(ctx, func() (err error) {
		page, err = w.Source.Events(ctx, w.Since, w.After)
		return err
	})
	return page, err
}

// fetch refreshes the objects of a page of events, each once, and returns the id of the last event.
func (w *walk) fetch(ctx context.Context, page mirror.Page) (last string, touched map[mirror.Kind]bool, err error) {
	touched = map[mirror.Kind]bool{}
	for _, body := range page.Bodies {
		hint, err := intake.ParseHint(body)
		if err != nil {
			w.Logger.ErrorContext(ctx, "event skipped: it cannot be read", slog.Any("error", err))
			continue
		}
		last = hint.ID
		targets, err := mirror.Targets(hint.Object)
		if err != nil {
			w.Logger.ErrorContext(ctx, "event skipped: its object's id cannot be used", slog.String("event", hint.ID),
				slog.String("id", strconv.QuoteToASCII(hint.Object.ID)), slog.Any("error", err))
		}
		for _, t := range targets {
			if w.knows(t) {
				continue
			}
			if err := w.refresh(ctx, t); err != nil {
				return "", nil, err
			}
			w.remember(t)
			touched[t.Kind] = true
		}
	}
	return last, touched, nil
}

func (w *walk) knows(t mirror.Target) bool {
	_, known := w.fetched[t]
	return known
}

func (w *walk) remember(t mirror.Target) {
	if len(w.fetched) >= mostFetched {
		clear(w.fetched)
	}
	w.fetched[t] = struct{}{}
}
