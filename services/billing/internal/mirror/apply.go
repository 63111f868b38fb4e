package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/services/billing/internal/intake"
)

// apply fetches the objects that the events are about. A single object is committed together with the mark that the events
// are done.
func (m *Mirror) apply(ctx context.Context, job *inbox.Job) error {
	targets, err := targetsOf(job)
	if err != nil {
		return inbox.Permanent(err)
	}
	if len(targets) == 0 {
		m.Applied(ctx, job.Type, "none")
		return nil
	}
	var outcome string
	if one := targets[0]; len(targets) == 1 && one.Charge == "" {
		outcome, err = m.applyOne(ctx, job, one)
	} else {
		outcome, err = m.applyAll(ctx, targets)
	}
	if err == nil {
		m.Applied(ctx, job.Type, outcome)
	}
	return patient(err, job.Attempts)
}

// patient waits as long as Stripe asks for, and longer each time. A busy hour must not exhaust an event's attempts.
func patient(err error, attempts int) error {
	later, ok := errors.AsType[*LaterError](err)
	if !ok {
		return err
	}
	return inbox.RetryAfter(err, pause(later.After, attempts))
}

// pause is how long to wait after that many attempts when Stripe asks for a time: at least that, doubling from a second to an hour.
func pause(asked time.Duration, attempts int) time.Duration {
	return max(asked, min(time.Second<<min(max(attempts-1, 0), 20), time.Hour))
}

// upcoming is the event about an invoice that does not exist yet and has no id.
const upcoming = "invoice.upcoming"

// targetsOf returns the objects that a job's events are about. The events share a subject, which is an object's id. Only the
// newest event has a payload; the others have a type.
func targetsOf(job *inbox.Job) ([]Target, error) {
	var hint intake.Hint
	if err := json.Unmarshal(job.Payload, &hint); err != nil {
		return nil, errors.New("the stored payload cannot be read")
	}
	if hint.ID == "" { // only a description of an unreadable body is stored; it must not count as an event without an object
		return nil, errors.New("the event could not be read when it arrived and was not stored whole; reconciliation repairs what it changed")
	}
	if len(job.Earlier) > 0 {
		hint.Object.Without = nil // an earlier event may differ
	}
	if hint.Object.Kind == "" {
		hint.Object.Kind = string(kindOf(hint.Type))
	}
	if hint.Object.ID == "" && hint.Type != upcoming && Known(Kind(hint.Object.Kind)) {
		return nil, errors.New("the event's object has no id; reconciliation repairs what it changed")
	}
	targets, err := Targets(hint.Object)
	if err != nil {
		return nil, err
	}
	kinds := map[Kind]bool{Kind(hint.Object.Kind): true}
	for _, earlier := range job.Earlier {
		kind := kindOf(earlier.Type)
		if kinds[kind] || resource(earlier.Type) == resource(job.Type) {
			continue
		}
		kinds[kind] = true
		more, err := Targets(intake.Object{ID: earlier.Subject, Kind: string(kind)})
		if err != nil {
			return nil, err
		}
		targets = append(targets, more...)
	}
	return targets, nil
}

// applyOne writes a single object and the mark in one transaction.
func (m *Mirror) applyOne(ctx context.Context, job *inbox.Job, t Target) (outcome string, err error) {
	o, err := m.Fetch(ctx, t.Kind, t.ID)
	if err != nil {
		return "", err
	}
	if cascades(o) {
		written, err := m.Store.WriteObject(ctx, o, m.Written)
		if err == nil {
			_, err = m.cascade(ctx, o)
		}
		return outcomeOf(o, written), err
	}
	var written bool
	err = job.Complete(ctx, func(ctx context.Context, tx database.Tx) (err error) {
		if written, err = m.Store.PutObject(ctx, tx, o); err != nil || !written {
			return err
		}
		return m.Written(ctx, tx, o)
	})
	return outcomeOf(o, written), err
}

// applyAll handles events about several objects.
func (m *Mirror) applyAll(ctx context.Context, targets []Target) (outcome string, err error) {
	outcome = "late"
	for _, t := range targets {
		changes, err := m.Refresh(ctx, t)
		if err != nil {
			return "", err
		}
		for _, c := range changes {
			switch c.Outcome {
			case Repaired, Created:
				outcome = "changed"
			case Removed:
				outcome = "removed"
			case Same:
			}
		}
	}
	return outcome, nil
}

func outcomeOf(o Object, written bool) string {
	switch {
	case !written:
		return "late"
	case o.Deleted:
		return "removed"
	default:
		return "changed"
	}
}
