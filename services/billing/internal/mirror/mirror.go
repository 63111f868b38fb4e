// Package mirror keeps Stripe's objects as they were last fetched. An event is only a hint that an object changed: the
// object is fetched, and written under a number that was taken before the fetch, so that of two fetches the later one
// stands, whatever the order of the events and of the answers.
package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/services/billing/internal/intake"
)

// Stripe is the source of Stripe's webhooks in the inbox.
const Stripe = "stripe"

var (
	// ErrGone says that Stripe has no such object, any more or at all.
	ErrGone = errors.New("mirror: Stripe has no such object")
	// ErrNotFound says that the store has neither the object nor its tombstone.
	ErrNotFound = errors.New("mirror: no such object was fetched")
)

// Source is where the objects are.
type Source interface {
	// Get fetches an object at the pinned API version. Errors: ErrGone, and those that another attempt may mend.
	Get(ctx context.Context, kind Kind, id string) (body []byte, err error)
}

// Store keeps the objects.
type Store interface {
	// TakeSequence numbers a fetch of an object, each higher than all before; it returns after a durable commit.
	TakeSequence(ctx context.Context, kind Kind, id string) (int64, error)
	// PutObject writes what a fetch found, unless a later fetch was written.
	PutObject(ctx context.Context, tx database.Tx, o Object) (written bool, err error)
	// WriteObject is PutObject in a transaction of its own.
	WriteObject(ctx context.Context, o Object) (written bool, err error)
	// Object reads an object or its tombstone. Errors: ErrNotFound.
	Object(ctx context.Context, kind Kind, id string) (Object, error)
}

// Options are what a Mirror is made of.
type Options struct {
	Inbox *inbox.Inbox
	Store Store
	// Source is nil without a key to Stripe: then events wait.
	Source Source
	// Applied counts events by type and by what came of them: "changed", "removed", "late" (a later fetch was written) or
	// "none" (nothing of the kind is kept).
	Applied func(ctx context.Context, kind, outcome string)
	Now     func() time.Time
}

// Mirror applies events.
type Mirror struct{ Options }

// New makes a Mirror.
func New(o Options) *Mirror { return &Mirror{Options: o} }

// workers leaves some of the inbox's to other sources.
const workers = 8

// Handle sets what is done with Stripe's events: one fetch, however many wait for an object.
func (m *Mirror) Handle() error {
	if m.Source == nil {
		return nil
	}
	return m.Inbox.Handle(Stripe, inbox.Handler{Handle: m.apply, Coalesce: true, Workers: workers})
}

// Put stores a webhook.
func (m *Mirror) Put(ctx context.Context, message intake.Message) (duplicate bool, err error) {
	e := inbox.Event{
		Source: Stripe, ID: message.ID, Type: message.Type, Subject: message.Subject, Payload: message.Payload, LastError: message.Why,
	}
	switch message.Fate {
	case intake.Apply:
	case intake.Ignore:
		e.State = inbox.Ignored
	case intake.Bury:
		e.State = inbox.Dead
	}
	return m.Inbox.Put(ctx, e)
}

// apply fetches the object that the events are about, and commits it with the mark that they are done.
func (m *Mirror) apply(ctx context.Context, job *inbox.Job) error {
	var hint intake.Hint
	if err := json.Unmarshal(job.Payload, &hint); err != nil {
		return inbox.Permanent(errors.New("the stored payload can't be read"))
	}
	kind := Kind(hint.Object.Kind)
	if !Known(kind) || hint.Object.ID == "" {
		m.Applied(ctx, job.Type, "none")
		return nil
	}
	o, err := m.Fetch(ctx, kind, hint.Object.ID)
	if err != nil {
		return err
	}
	var written bool
	err = job.Complete(ctx, func(ctx context.Context, tx database.Tx) (err error) {
		written, err = m.Store.PutObject(ctx, tx, o)
		return err
	})
	if err == nil {
		m.Applied(ctx, job.Type, outcome(o, written))
	}
	return err
}

func outcome(o Object, written bool) string {
	switch {
	case !written:
		return "late"
	case o.Deleted:
		return "removed"
	default:
		return "changed"
	}
}

// Fetch numbers a fetch and does it; what Stripe does not have is a tombstone. Errors: those of the store and of the source.
func (m *Mirror) Fetch(ctx context.Context, kind Kind, id string) (Object, error) {
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
		err = fmt.Errorf("mirror: Stripe sent another %s than was asked for", kind)
	}
	o.Sequence, o.FetchTime = sequence, begun
	return o, err
}

// Sync fetches an object and writes it, as when its owner comes back from Stripe's pages before the event does. It returns
// what the store has then. Errors: those of the store and of the source.
func (m *Mirror) Sync(ctx context.Context, kind Kind, id string) (Object, error) {
	o, err := m.Fetch(ctx, kind, id)
	if err != nil {
		return Object{}, err
	}
	if _, err := m.Store.WriteObject(ctx, o); err != nil {
		return Object{}, err
	}
	return m.Store.Object(ctx, kind, id)
}

// Query chooses objects at Stripe.
type Query struct {
	Kind Kind
	// Customer narrows to one customer's; payment methods are listed by customer only.
	Customer string
	// Since leaves out objects that were made before; zero for none.
	Since time.Time
	// After is the id of the last object of the page before; empty for the first page.
	After string
}

// Page is a part of a list, newest first.
type Page struct {
	Bodies [][]byte
	// More tells whether there is another page.
	More bool
}

// Lister lists objects at Stripe.
type Lister interface {
	List(ctx context.Context, q Query) (Page, error)
}
