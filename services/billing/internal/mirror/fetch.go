package mirror

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
)

// Outcome is the result of comparing a stored object with Stripe.
type Outcome string

// The outcomes.
const (
	// Same means that the object is equal, or unknown on both sides.
	Same Outcome = "same"
	// Repaired means that the stored object differed.
	Repaired Outcome = "repaired"
	// Created means that the object was not stored.
	Created Outcome = "created"
	// Removed means that Stripe no longer has the stored object.
	Removed Outcome = "removed"
)

// Change is how an object differed from its stored copy.
type Change struct {
	Kind    Kind
	ID      string
	Outcome Outcome
}

// few is how many objects are read from the store together.
const few = 100

// Fetch takes a sequence number and fetches an object. An object that Stripe does not have becomes a tombstone. Errors:
// ErrNoID, and those of the store and the source.
func (m *Mirror) Fetch(ctx context.Context, kind Kind, id string) (Object, error) {
	if !ValidID(id) {
		return Object{}, ErrNoID
	}
	sequence, err := m.Store.TakeSequence(ctx, kind, id)
	if err != nil {
		return Object{}, err
	}
	begun := m.Now().UTC()
	body, err := m.Source.Get(ctx, kind, id)
	if errors.Is(err, ErrGone) {
		return Object{Kind: kind, ID: id, Deleted: true, Sequence: sequence, FetchTime: begun}, nil
	}
	if err != nil {
		return Object{}, err
	}
	o, err := Parse(kind, body)
	if err == nil && o.ID != id {
		err = fmt.Errorf("mirror: Stripe answered with another %s than the requested one", kind)
	}
	o.Sequence, o.FetchTime = sequence, begun
	return o, err
}

// Look fetches an object and stores nothing. An object that Stripe does not have is a tombstone. Errors: those of Fetch.
func (m *Mirror) Look(ctx context.Context, kind Kind, id string) (Object, error) {
	if !ValidID(id) {
		return Object{}, ErrNoID
	}
	body, err := m.Source.Get(ctx, kind, id)
	if errors.Is(err, ErrGone) {
		return Object{Kind: kind, ID: id, Deleted: true}, nil
	}
	if err != nil {
		return Object{}, err
	}
	return Parse(kind, body)
}

// Sync fetches and stores an object, for example when a customer returns from Stripe's pages before the event arrives. It
// returns the stored object. Errors: those of Fetch.
func (m *Mirror) Sync(ctx context.Context, kind Kind, id string) (Object, error) {
	o, _, err := m.sync(ctx, kind, id)
	return o, err
}

func (m *Mirror) sync(ctx context.Context, kind Kind, id string) (Object, []Change, error) {
	o, err := m.Fetch(ctx, kind, id)
	if err != nil {
		return Object{}, nil, err
	}
	if _, err := m.Store.WriteObject(ctx, o, m.Written); err != nil {
		return Object{}, nil, err
	}
	changes, err := m.cascade(ctx, o)
	if err != nil {
		return Object{}, nil, err
	}
	now, err := m.Store.Object(ctx, kind, id)
	return now, changes, err
}

// Refresh fetches and stores the objects of a target, and reports how they differ from the stored copies. Errors: those of
// Fetch.
func (m *Mirror) Refresh(ctx context.Context, t Target) ([]Change, error) {
	if t.Charge == "" {
		stored, err := m.stored(ctx, t.Kind, t.ID)
		if err != nil {
			return nil, err
		}
		return m.syncAndDiff(ctx, t.Kind, t.ID, stored)
	}
	var changes []Change
	q := Query{Kind: t.Kind, Charge: t.Charge}
	for more := true; more; {
		begun := m.Now().UTC()
		page, err := m.Source.List(ctx, q)
		if errors.Is(err, ErrGone) {
			return changes, nil // charges are never deleted, so it belongs to another account or mode
		}
		if err != nil {
			return changes, err
		}
		q.After = ""
		for _, body := range page.Bodies {
			o, found, err := m.Compare(ctx, t.Kind, body, begun)
			if err != nil {
				return changes, err
			}
			q.After, changes = o.ID, append(changes, found...)
		}
		more = page.More && q.After != ""
	}
	return changes, nil
}

// Compare checks whether the stored object equals the listed one. begun is when the list was requested. A different object is
// fetched, because the list may be older than what an event's fetch has stored since. Only an object that was never fetched is
// written as listed, under the first number, so that every fetch of it is later. Errors: those of Fetch.
func (m *Mirror) Compare(ctx context.Context, kind Kind, body []byte, begun time.Time) (listed Object, changes []Change, err error) {
	if listed, err = Parse(kind, body); err != nil {
		return Object{}, nil, err
	}
	if !ValidID(listed.ID) {
		return listed, nil, ErrNoID
	}
	stored, err := m.stored(ctx, kind, listed.ID)
	switch {
	case err != nil:
		return listed, nil, err
	case listed.Partial || listed.Deleted:
	case stored.ID == "":
		listed.Sequence, listed.FetchTime = 1, begun
		written, err := m.Store.AdoptObject(ctx, listed, m.Written)
		if err != nil {
			return listed, nil, err
		}
		if written {
			changes, err = m.cascade(ctx, listed)
			return listed, append(changes, Change{kind, listed.ID, Created}), err
		}
	case !stored.Deleted && sameBody(stored.Body, listed.Body):
		return listed, []Change{{kind, listed.ID, Same}}, nil
	}
	changes, err = m.syncAndDiff(ctx, kind, listed.ID, stored)
	return listed, changes, err
}

// stored reads an object from the store. It returns the zero value for an unknown object.
func (m *Mirror) stored(ctx context.Context, kind Kind, id string) (Object, error) {
	stored, err := m.Store.Object(ctx, kind, id)
	if errors.Is(err, ErrNotFound) {
		return Object{}, nil
	}
	return stored, err
}

// syncAndDiff fetches and stores an object and reports how it differs from the previous copy.
func (m *Mirror) syncAndDiff(ctx context.Context, kind Kind, id string, stored Object) ([]Change, error) {
	now, changes, err := m.sync(ctx, kind, id)
	if err != nil {
		return nil, err
	}
	return append(changes, Change{kind, id, compare(stored, now)}), nil
}

func compare(stored, fetched Object) Outcome {
	known := stored.ID != "" && !stored.Deleted
	switch {
	case !known && fetched.Deleted, known && !fetched.Deleted && bytes.Equal(stored.Body, fetched.Body):
		return Same
	case fetched.Deleted:
		return Removed
	case !known:
		return Created
	default:
		return Repaired
	}
}

// cascades reports whether cascade may have work to do for an object.
func cascades(o Object) bool {
	return o.Kind == Customer && o.Deleted || o.Kind == PaymentMethod && !o.Deleted && o.Customer != ""
}

// cascade is called after an object has been written. Stripe sends no events for the payment methods of a deleted customer, so
// cascade fetches them: all stored ones when the customer is deleted, and each later one when it is written.
func (m *Mirror) cascade(ctx context.Context, o Object) (changes []Change, err error) {
	if !cascades(o) {
		return nil, nil
	}
	if o.Kind == PaymentMethod {
		customer, err := m.stored(ctx, Customer, o.Customer)
		if err != nil || !customer.Deleted {
			return nil, err
		}
		_, err = m.refetch(ctx, o)
		return nil, err
	}
	for after := ""; ; {
		methods, err := m.Store.CustomerObjects(ctx, o.ID, PaymentMethod, after, few)
		if err != nil || len(methods) == 0 {
			return changes, err
		}
		for _, method := range methods {
			found, err := m.refetch(ctx, method)
			if err != nil {
				return changes, err
			}
			after, changes = method.ID, append(changes, found...)
		}
	}
}

// refetch fetches and stores an object and reports how it differs from the previous copy, without cascading.
func (m *Mirror) refetch(ctx context.Context, stored Object) ([]Change, error) {
	o, err := m.Fetch(ctx, stored.Kind, stored.ID)
	if err != nil {
		return nil, err
	}
	if _, err := m.Store.WriteObject(ctx, o, m.Written); err != nil {
		return nil, err
	}
	return []Change{{stored.Kind, stored.ID, compare(stored, o)}}, nil
}
