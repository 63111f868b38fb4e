// Package intake takes Stripe's webhooks: it verifies them and stores, durably, what is needed of each.
package intake

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"

	"github.com/trivet-dev/trivet/services/billing/internal/stripesig"
)

// ErrNotSetUp says that there is no secret to verify webhooks with.
var ErrNotSetUp = errors.New("intake: STRIPE_WEBHOOK_SECRET is not set")

// Fate is what becomes of a webhook whose signature is good.
type Fate int

// The fates.
const (
	// Apply is for a worker to do.
	Apply Fate = iota
	// Ignore is kept, counted, and never applied: it is about another account or mode.
	Ignore
	// Bury is kept for an operator to see: nobody can read it.
	Bury
)

// Message is a webhook to be stored.
type Message struct {
	// ID is Stripe's; it is the same at each attempt.
	ID string
	// Type is Stripe's; UnknownType when it can't be read.
	Type string
	// Subject orders messages; of a message about nothing in particular it is its own id.
	Subject string
	Payload []byte
	Fate    Fate
	// Why says, for an operator, what is wrong with a message that is buried, or why it is ignored.
	Why string
}

// UnknownType stands for the type of a message that can't be read.
const UnknownType = "malformed"

// Inbox stores messages.
type Inbox interface {
	// Put returns after a durable commit; duplicate is true for a message that it has.
	Put(ctx context.Context, m Message) (duplicate bool, err error)
}

// Options are what a Receiver is made of.
type Options struct {
	// Verifier is nil when webhooks are not set up.
	Verifier *stripesig.Verifier
	Inbox    Inbox
	// Livemode is the mode whose events count, that of the secret key; nil for any.
	Livemode *bool
	// Record counts webhooks by verdict: "stored", "duplicate", "ignored", "malformed", "not_set_up", "store_down", or
	// one of stripesig's.
	Record func(ctx context.Context, verdict string)
	Logger *slog.Logger
}

// Receiver takes webhooks.
type Receiver struct{ Options }

// New makes a Receiver.
func New(o Options) *Receiver { return &Receiver{Options: o} }

// Receive returns after a durable commit. Header names are in lower case. Errors: ErrNotSetUp, a stripesig.Verdict, and the
// inbox's own.
func (r *Receiver) Receive(ctx context.Context, headers map[string]string, body []byte) (duplicate bool, err error) {
	if r.Verifier == nil {
		r.Logger.ErrorContext(ctx, "a webhook of Stripe's can't be taken: STRIPE_WEBHOOK_SECRET is not set; copy the signing secret from Stripe's dashboard, under Webhooks")
		r.Record(ctx, "not_set_up")
		return false, ErrNotSetUp
	}
	if err := r.Verifier.Verify(headers, body); err != nil {
		r.refuse(ctx, err)
		return false, err
	}
	m := r.message(ctx, body)
	duplicate, err = r.Inbox.Put(ctx, m)
	switch {
	case err != nil:
		r.Record(ctx, "store_down")
	case duplicate:
		r.Record(ctx, "duplicate")
	default:
		r.Record(ctx, map[Fate]string{Apply: "stored", Ignore: "ignored", Bury: "malformed"}[m.Fate])
	}
	return duplicate, err
}

func (r *Receiver) refuse(ctx context.Context, err error) {
	verdict, _ := errors.AsType[stripesig.Verdict](err)
	r.Record(ctx, string(verdict))
	r.Logger.WarnContext(ctx, "a webhook was refused", slog.String("source", "stripe"), slog.String("verdict", string(verdict)))
}

// message reduces a body to what is stored of it. One that can't be read is known by its content.
func (r *Receiver) message(ctx context.Context, body []byte) Message {
	e, err := ParseEvent(body)
	if err != nil {
		sum := sha256.Sum256(body)
		id := UnknownType + "-" + hex.EncodeToString(sum[:])
		r.Logger.ErrorContext(ctx, "a webhook with a good signature can't be read; it is kept as a dead event",
			slog.String("source", "stripe"), slog.String("event", id), slog.Any("error", err))
		return Message{ID: id, Type: UnknownType, Subject: id, Payload: remains(body, err), Fate: Bury, Why: err.Error()}
	}
	m := Message{ID: e.ID, Type: e.Type, Subject: e.ObjectID, Payload: e.Payload}
	if m.Subject == "" {
		m.Subject = e.ID
	}
	switch {
	case e.Account != "":
		m.Fate, m.Why = Ignore, "it is about a connected account"
	case r.Livemode != nil && e.Livemode != nil && *e.Livemode != *r.Livemode:
		m.Fate, m.Why = Ignore, "its livemode is not that of STRIPE_SECRET_KEY"
	}
	return m
}

// remains are what is kept of a body that can't be read: it may hold anything.
func remains(body []byte, why error) []byte {
	sum := sha256.Sum256(body)
	raw, err := json.Marshal(map[string]any{
		"malformed": why.Error(), "bytes": len(body), "sha256": hex.EncodeToString(sum[:]),
	})
	if err != nil {
		return []byte("{}") // two strings and a number always encode
	}
	return raw
}
