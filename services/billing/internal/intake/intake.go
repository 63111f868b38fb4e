// Package intake takes Stripe's webhooks: it verifies them and stores, durably, what is needed of each.
package intake

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"time"

	"github.com/trivet-dev/trivet/platform/inbox"
	"github.com/trivet-dev/trivet/platform/telemetry"
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
	// Bury is kept for an operator to see: nobody can read it, or it can't be stored as it is.
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
	// Put returns after a durable commit; duplicate is true for a message that it has. The error wraps inbox.ErrInvalid
	// when no later attempt can succeed.
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
	// Now is the clock of the log lines that anybody can cause; nil means time.Now.
	Now func() time.Time
}

// Receiver takes webhooks.
type Receiver struct {
	Options
	seldom *telemetry.Seldom
}

// New makes a Receiver.
func New(o Options) *Receiver { return &Receiver{Options: o, seldom: telemetry.NewSeldom(o.Now)} }

// Receive returns after a durable commit. Header names are in lower case. Errors: ErrNotSetUp, a stripesig.Verdict, and the
// inbox's own.
func (r *Receiver) Receive(ctx context.Context, headers map[string]string, body []byte) (duplicate bool, err error) {
	if r.Verifier == nil {
		r.refuse(ctx, slog.LevelError, "not_set_up",
			"a webhook of Stripe's can't be taken: STRIPE_WEBHOOK_SECRET is not set; copy the signing secret from Stripe's dashboard, under Webhooks")
		return false, ErrNotSetUp
	}
	if err := r.Verifier.Verify(headers, body); err != nil {
		verdict, _ := errors.AsType[stripesig.Verdict](err)
		r.refuse(ctx, slog.LevelWarn, string(verdict), "a webhook was refused")
		return false, err
	}
	m := r.message(ctx, body)
	duplicate, err = r.Inbox.Put(ctx, m)
	if errors.Is(err, inbox.ErrInvalid) { // an answer of 500 would bring it back for days
		m = r.bury(ctx, body, err)
		duplicate, err = r.Inbox.Put(ctx, m)
	}
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

// refuse counts each, and logs few: whoever finds the address can send as many as they like.
func (r *Receiver) refuse(ctx context.Context, level slog.Level, verdict, text string) {
	r.Record(ctx, verdict)
	if left, write := r.seldom.Next(verdict); write {
		r.Logger.Log(ctx, level, text, slog.String("source", "stripe"), slog.String("verdict", verdict), slog.Int("left_out", left))
	}
}

// message reduces a body to what is stored of it.
func (r *Receiver) message(ctx context.Context, body []byte) Message {
	e, err := ParseEvent(body)
	if err != nil {
		return r.bury(ctx, body, err)
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

// bury keeps of a body only that it came, and why it can't be handled. It is known by its content: 128 bits of the sum are
// enough to tell bodies apart that only the provider can sign.
func (r *Receiver) bury(ctx context.Context, body []byte, why error) Message {
	sum := sha256.Sum256(body)
	id := UnknownType + "-" + hex.EncodeToString(sum[:16])
	r.Logger.ErrorContext(ctx, "a webhook with a good signature can't be handled; it is kept as a dead event",
		slog.String("source", "stripe"), slog.String("event", id), slog.Any("error", why))
	return Message{ID: id, Type: UnknownType, Subject: id, Payload: remains(body, why), Fate: Bury, Why: why.Error()}
}

// remains are what is kept of a body that is buried: it may hold anything.
func remains(body []byte, why error) []byte {
	sum := sha256.Sum256(body)
	raw, err := encode(map[string]any{
		"malformed": why.Error(), "bytes": len(body), "sha256": hex.EncodeToString(sum[:]),
	})
	if err != nil {
		return []byte("{}") // two strings and a number always encode
	}
	return raw
}
